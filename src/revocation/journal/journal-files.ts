import type { Clock } from '../clock.ts';
import { CommitMark } from './commit-mark.ts';
import { Compaction } from './compaction.ts';
import { JournalTrouble } from './group-commit.ts';
import type { JournalOptions } from './journal-options.ts';
import type { JournalView } from './look-up.ts';
import type { Frame } from './record-codec.ts';
import { type JournalTarget, restoreChain, type RestoreResult } from './restore.ts';
import type { SegmentPart } from './segment-file.ts';
import { SegmentGone, SegmentWriter } from './segment-writer.ts';
import { SideFiles } from './side-files.ts';
import type { StateFolder } from './state-folder.ts';
import { Turns } from './turns.ts';

/** Why nothing is written while another gateway has the folder. */
export const LEFT = 'the state folder was left to another gateway';

/** The files cannot be read or written now: another gateway has the state folder. */
export class JournalLeft extends JournalTrouble {
  constructor() {
    super(LEFT);
  }
}

const MEBIBYTE = 1_048_576;

/** The files of the state folder for as long as it is ours: from {@link begin} to {@link end}, which may be followed by the next beginning. */
export class JournalFiles {
  /** What stands beside the journal. */
  readonly beside: SideFiles;
  readonly #options: JournalOptions;
  readonly #folder: StateFolder;
  readonly #clock: Clock;
  readonly #mark: CommitMark;
  /** Those who read files, and the change of files, one after another. */
  readonly #readers = new Turns();
  #writer: SegmentWriter | undefined;
  #compaction: Compaction | undefined;
  #ours = true;

  constructor(options: JournalOptions, folder: StateFolder, clock: Clock) {
    this.#options = options;
    this.#folder = folder;
    this.#clock = clock;
    this.beside = new SideFiles(
      folder,
      options.log,
      (change) => this.#whileOurs(change),
      () => options.onChange?.(),
    );
    this.#mark = new CommitMark(folder);
  }

  /** Segments that are not in the snapshot, oldest first. */
  get parts(): readonly SegmentPart[] {
    return this.#writer?.parts ?? [];
  }

  /** Undefined before the first {@link begin}. */
  get compaction(): Compaction | undefined {
    return this.#compaction;
  }

  /** Hands out all that the folder has, and makes ready to go on writing behind it. Call it while the folder is held. */
  async begin(target: JournalTarget): Promise<{ result: RestoreResult; salvage: boolean }> {
    const { result, end } = await this.#readers.take(() => restoreChain(this.#folder, target));
    const { log, segmentBytes = 8 * MEBIBYTE, snapshotBytes = 32 * MEBIBYTE } = this.#options;
    this.#writer = new SegmentWriter(this.#folder, this.#mark, segmentBytes, end.closed, end.last);
    this.#compaction = new Compaction({
      folder: this.#folder,
      writer: this.#writer,
      readers: this.#readers,
      log,
      snapshotBytes,
      last: end.snapshot,
      goneBeforeSeconds: () =>
        Math.floor((this.#clock.earliest() - (this.#options.keepEndedMs ?? 86_400_000)) / 1000),
    });
    if (!this.#ours) this.beside.again();
    this.#ours = true;
    return { result, salvage: end.salvage };
  }

  /** Lets go of the folder, once every change that has begun is made. */
  async end(): Promise<void> {
    await this.#readers.take(async () => {
      this.#ours = false;
      await this.#writer?.close();
      await this.#mark.close();
      this.#folder.close();
    });
  }

  /**
   * Writes frames; once this resolves, they are on the disk. A folder that was removed is made again.
   * @param onGone called when the folder or the newest segment was removed
   */
  async commit(frames: readonly Frame[], onGone: () => void): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) throw new Error('a journal is restored first');
    // Not even a folder that was removed: that is for whoever has it to notice.
    if (!this.#ours) throw new JournalLeft();
    const gone = async (): Promise<void> => {
      onGone();
      await this.#mark.close();
    };
    if (!this.#folder.stands) {
      await gone();
      if (!(await this.#folder.retake())) throw new Error('another gateway has the state folder');
    }
    try {
      await writer.commit(frames);
    } catch (error) {
      if (error instanceof SegmentGone) await gone();
      throw error;
    }
  }

  /** Reads files while none of them is changed. Rejects with {@link JournalLeft} while they are another gateway's, who changes them at any time. */
  async view<T>(
    work: (view: JournalView) => Promise<T>,
    pending: () => readonly Buffer[],
  ): Promise<T> {
    return await this.#whileOurs(
      async () => await work({ folder: this.#folder, parts: this.parts, pending: pending() }),
    );
  }

  async #whileOurs<T>(work: () => Promise<T>): Promise<T> {
    return await this.#readers.take(async () => {
      if (!this.#ours) throw new JournalLeft();
      return await work();
    });
  }
}
