import type { Log } from '../../log.ts';
import type { Clock } from '../clock.ts';
import type { Known } from './record.ts';

export interface JournalOptions {
  /** Absolute path of the state folder; made with mode 0700 where it is missing. */
  readonly folder: string;
  readonly log: Log;
  /** How long to wait at the start for another gateway to let go of the folder, milliseconds. Default 0: refuse at once. */
  readonly takeoverMs?: number;
  /** Longest time between an append and its write, milliseconds. Default 50. */
  readonly groupCommitMs?: number;
  /** Most memory for what could not be written yet, bytes. Default 128 MiB: 5 million tokens. */
  readonly bufferBytes?: number;
  /** Bytes of a segment from which on the next one is begun. Default 8 MiB. */
  readonly segmentBytes?: number;
  /** Bytes of closed segments from which on they are merged into the snapshot. Default 32 MiB. */
  readonly snapshotBytes?: number;
  /** How long after its end something is kept, milliseconds. Default 24 h: a clock that was set wrongly takes nothing away. */
  readonly keepEndedMs?: number;
  readonly clock?: Clock;
  /**
   * All that the list holds now. Asked for when the disk failed for so long that not all of what was learnt fitted in memory, or when files
   * were found to be damaged or removed under way: then all of it is written again. It is read in slices while the list goes on changing, and must tell of
   * everything that was in the list from beginning to end of the reading; more than once does no harm. Without it, such a journal stays in trouble until
   * the gateway is started again.
   */
  readonly everything?: () => Iterable<Known>;
  /** Called when `healthy` or `incomplete` changes. */
  readonly onChange?: () => void;
}
