import type { Log } from '../../log.ts';
import { SNAPSHOT, SNAPSHOT_TEMPORARY, segmentName } from './format.ts';
import { mergeInThread } from './merger.ts';
import type { SegmentWriter } from './segment-writer.ts';
import type { SnapshotStats } from './snapshot-file.ts';
import type { StateFolder } from './state-folder.ts';
import type { Turns } from './turns.ts';

const KEY = 'Journal';
/** So many segments are merged however small they are: each start of a gateway begins a new one. */
const MOST_SEGMENTS = 64;
const RETRY_MS = 30_000;

export interface CompactionOptions {
  readonly folder: StateFolder;
  readonly writer: SegmentWriter;
  /** Those who read segments and snapshot take turns with the change of both. */
  readonly readers: Turns;
  readonly log: Log;
  /** Bytes of closed segments from which on they are merged. */
  readonly snapshotBytes: number;
  /** The snapshot that is there to begin with, as far as it can be read. */
  readonly last?: SnapshotStats | undefined;
  /** What ended before may go, epoch seconds. */
  goneBeforeSeconds(): number;
}

/** Makes snapshots of segments: when there is enough of them, and when somebody asks. One at a time. */
export class Compaction {
  readonly #options: CompactionOptions;
  readonly #stop = new AbortController();
  #running: Promise<boolean> | undefined;
  #notBefore = 0;
  #last: SnapshotStats | undefined;
  #trouble: string | undefined;

  constructor(options: CompactionOptions) {
    this.#options = options;
    this.#last = options.last;
  }

  /** The last snapshot, whoever made it; undefined where there is none yet. */
  get last(): SnapshotStats | undefined {
    return this.#last;
  }

  /** Why the last merge failed; undefined when it did not. Nothing is lost by that: the segments stay. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Whether there is enough for a merge, and none runs. */
  get due(): boolean {
    const { writer, snapshotBytes } = this.#options;
    if (this.#stop.signal.aborted || this.#running !== undefined) return false;
    if (performance.now() < this.#notBefore) return false;
    const bytes = writer.closed.reduce((sum, part) => sum + part.bytes, 0);
    // A quarter of a large snapshot: each byte learnt is written about five times, however large it grows.
    const enough = Math.max(snapshotBytes, (this.#last?.bytes ?? 0) / 4);
    return bytes >= enough || writer.closed.length >= MOST_SEGMENTS;
  }

  /**
   * Merges everything so far into the next snapshot. Rejects when that fails.
   * @returns false when something was found to be damaged; then nothing was changed
   */
  async run(): Promise<boolean> {
    while (this.#running !== undefined) await this.#running.catch(() => false);
    return await this.#start(false);
  }

  /** The same with what is still good of damaged files; those are kept aside. */
  async salvage(): Promise<void> {
    while (this.#running !== undefined) await this.#running.catch(() => false);
    await this.#start(true);
  }

  /** Stops what runs, for good. The files stay as they were. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running?.catch(() => undefined);
  }

  async #start(salvage: boolean): Promise<boolean> {
    const running = this.#merge(salvage);
    this.#running = running;
    try {
      const whole = await running;
      this.#trouble = undefined;
      return whole;
    } catch (error) {
      this.#trouble = error instanceof Error ? error.message : String(error);
      this.#notBefore = performance.now() + RETRY_MS;
      throw error;
    } finally {
      this.#running = undefined;
    }
  }

  async #merge(salvage: boolean): Promise<boolean> {
    const { folder, writer, readers, log } = this.#options;
    // The next segment is not begun in a folder that may be another gateway's.
    this.#stop.signal.throwIfAborted();
    const began = performance.now();
    const coversBelow = await writer.rotate();
    const { damage, tokens, bytes } = await mergeInThread(
      {
        folder: folder.path,
        identity: folder.identity,
        coversBelow,
        segments: writer.closed.filter((part) => part.number < coversBelow),
        goneBeforeSeconds: this.#options.goneBeforeSeconds(),
        salvage,
      },
      this.#stop.signal,
    );
    for (const { file, detail } of damage) log.error(KEY, `${folder.file(file)} ${detail}`);
    if (damage.length > 0 && !salvage) return false;
    const harmed = new Set(damage.map(({ file }) => file));
    await readers.take(async () => {
      this.#stop.signal.throwIfAborted();
      if (harmed.has(SNAPSHOT)) await folder.setAside(SNAPSHOT);
      await folder.publish(SNAPSHOT_TEMPORARY, SNAPSHOT);
      // On the disk now, and by its new name: only now what it was made of may go.
      for (const { number } of writer.drop(coversBelow)) {
        const name = segmentName(number);
        if (harmed.has(name)) await folder.setAside(name);
        else await folder.remove(name);
      }
    });
    this.#last = { tokens, bytes };
    const took = Math.round(performance.now() - began);
    log.debug(KEY, `snapshot of ${tokens} tokens, ${bytes} bytes, made in ${took} ms`);
    return true;
  }
}
