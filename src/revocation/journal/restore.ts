import { CommitMark, COMMITTED, type Committed } from './commit-mark.ts';
import {
  type Damage,
  HEADER_BYTES,
  RECORD_WORDS,
  SEGMENT_TEMPORARY,
  segmentName,
  segmentNumber,
  SNAPSHOT,
  SNAPSHOT_TEMPORARY,
} from './format.ts';
import type { RecordVisitor } from './record-codec.ts';
import type { LiftRecord, RuleRecord } from './record.ts';
import { RuleBook } from './rule-book.ts';
import { SegmentFile, type SegmentPart } from './segment-file.ts';
import { Slices } from './slices.ts';
import { SnapshotFile, type SnapshotStats } from './snapshot-file.ts';
import type { StateFolder } from './state-folder.ts';

/** Where a restore puts what it reads, which may know some of it already. Calls are synchronous; a token may come more than once, with different ends. */
export interface JournalTarget {
  /** How many tokens are about to come, at least: said once, first, where it is known. */
  expect?(tokens: number): void;
  /** `fingerprints` holds the token's from word `at` on and is only good during the call. Epoch seconds. */
  token(fingerprints: Uint32Array, at: number, endSeconds: number): void;
  /** Called after all lifts. */
  rule(record: RuleRecord): void;
  lift(record: LiftRecord): void;
  /** Latest end among what was left out of the files, epoch milliseconds. */
  forgottenUntil(ms: number): void;
}

/** What a restore found. */
export interface RestoreResult {
  /** Records of tokens handed out. */
  readonly tokens: number;
  readonly rules: number;
  readonly lifts: number;
  /** Everything that was acknowledged was handed out. False: something is damaged; what is still good was handed out all the same. */
  readonly whole: boolean;
  /** Everything that was learnt up to then was handed out; epoch milliseconds of the wall clock. Undefined: nobody knows, start closed. */
  readonly knownAsOfWallMs: number | undefined;
  /** What is wrong, a line each; empty when all is well. */
  readonly damage: readonly string[];
  /** Bytes at the end of the newest segment that were being written when the process ended, and that nobody was told of. */
  readonly tornBytes: number;
}

/** What the writing end needs to go on. */
export interface ChainEnd {
  readonly closed: readonly SegmentPart[];
  readonly last: SegmentPart;
  /** Undefined: there is none, or none that can be read. */
  readonly snapshot: SnapshotStats | undefined;
  /** Some of the files are damaged: what is still good of them is to be saved. */
  readonly salvage: boolean;
}

/** Reads everything that the folder has. Holds up the event loop for a few milliseconds at a time. */
export async function restoreChain(
  folder: StateFolder,
  target: JournalTarget,
): Promise<{ readonly result: RestoreResult; readonly end: ChainEnd }> {
  const reading = new ChainReading(folder, target);
  await reading.tidy();
  const first = await reading.snapshot();
  const end = await reading.segments(first);
  return { result: reading.finish(), end };
}

class ChainReading {
  readonly #folder: StateFolder;
  readonly #target: JournalTarget;
  readonly #slices = new Slices();
  readonly #book = new RuleBook();
  readonly #damage: Damage[];
  readonly #visitor: RecordVisitor;
  #numbers: number[] = [];
  #mark: Committed | undefined;
  #snapshot: SnapshotStats | undefined;
  #tokens = 0;
  #knownAsOfMs = 0;
  #forgottenUntilMs = 0;
  #tornBytes = 0;

  constructor(folder: StateFolder, target: JournalTarget) {
    this.#folder = folder;
    this.#target = target;
    this.#damage = [...folder.damage];
    this.#visitor = {
      token: (words, endSeconds) => {
        target.token(words, 0, endSeconds);
        this.#tokens++;
      },
      rule: (record) => this.#book.rule(record),
      lift: (record) => this.#book.lift(record),
      knownAsOf: (ms) => {
        this.#knownAsOfMs = Math.max(this.#knownAsOfMs, ms);
      },
    };
  }

  /** Removes what was not finished, and looks at what there is. */
  async tidy(): Promise<void> {
    const names = await this.#folder.names();
    for (const name of [SEGMENT_TEMPORARY, SNAPSHOT_TEMPORARY])
      if (names.includes(name)) await this.#folder.remove(name).catch(() => undefined);
    this.#numbers = names
      .map(segmentNumber)
      .filter((number) => number !== undefined)
      .sort((a, b) => a - b);
    const mark = await this.#opened(COMMITTED, CommitMark.read(this.#folder));
    if (mark !== undefined && 'kind' in mark) this.#damage.push(mark);
    else this.#mark = mark;
  }

  /** Reads the snapshot. @returns the number of the segment to go on with */
  async snapshot(): Promise<number> {
    const oldest = this.#numbers[0] ?? (this.#mark === undefined ? 1 : this.#mark.segment);
    const snapshot = await this.#opened(
      SNAPSHOT,
      SnapshotFile.open(this.#folder, this.#folder.identity),
    );
    if (snapshot === undefined) {
      if (oldest !== 1) this.#damaged(SNAPSHOT, 'is missing', 'missing');
      return oldest;
    }
    if (!(snapshot instanceof SnapshotFile)) {
      this.#damage.push(snapshot);
      return oldest;
    }
    const { number, tokens, knownAsOfMs, forgottenUntilMs } = snapshot.header;
    this.#snapshot = { tokens, bytes: snapshot.bytes };
    this.#target.expect?.(tokens);
    try {
      for (let n = 0; n < snapshot.blocks; n++) await this.#block(snapshot, n);
      if (!(await snapshot.tail(this.#visitor)))
        this.#damaged(SNAPSHOT, 'has damaged rules or sources');
    } catch (error) {
      this.#damaged(SNAPSHOT, `cannot be read: ${messageOf(error)}`);
    } finally {
      await snapshot.close();
    }
    this.#visitor.knownAsOf?.(knownAsOfMs);
    this.#forgottenUntilMs = forgottenUntilMs;
    // Merged already; they only had not been removed yet.
    if (this.#damage.length === 0)
      for (const stale of this.#numbers.filter((each) => each < number))
        await this.#folder.remove(segmentName(stale)).catch(() => undefined);
    this.#numbers = this.#numbers.filter((each) => each >= number);
    return number;
  }

  /** Reads the segments from `first` on, each as far as the next one says that it counts. */
  async segments(first: number): Promise<ChainEnd> {
    const newest = Math.max(this.#numbers.at(-1) ?? 0, this.#mark?.segment ?? 0);
    const closed: SegmentPart[] = [];
    const nothingYet = newest === 0 && first === 1;
    if (newest < first && !nothingYet) this.#damaged(segmentName(first), 'is missing', 'missing');
    let segment = newest < first ? undefined : await this.#open(first);
    let last: SegmentPart = { number: Math.max(newest, first - 1), bytes: 0 };
    for (let number = first; number <= newest; number++) {
      const next = number === newest ? undefined : await this.#open(number + 1);
      // Of a segment whose successor cannot be read nobody knows how much counts: all that is good is taken, and the damage is said.
      const counts = next?.header.previousBytes ?? Infinity;
      if (segment !== undefined) {
        last = { number, bytes: await this.#segment(segment, counts, number === newest) };
      } else last = { number, bytes: HEADER_BYTES };
      closed.push(last);
      segment = next;
    }
    // It is made before the first record is written, and never removed: without it nobody knows whether the end of the chain is there.
    if (this.#mark === undefined && (newest > 1 || last.bytes > HEADER_BYTES))
      this.#damaged(COMMITTED, 'is missing, or says nothing', 'missing');
    const salvage = this.#damage.length > this.#folder.damage.length;
    return { closed, last, snapshot: this.#snapshot, salvage };
  }

  finish(): RestoreResult {
    const rules = [...this.#book.rules()];
    const lifts = [...this.#book.lifts()];
    for (const [, record] of lifts) this.#target.lift(record);
    for (const [, record] of rules) this.#target.rule(record);
    if (this.#forgottenUntilMs > 0) this.#target.forgottenUntil(this.#forgottenUntilMs);
    const known = this.#damage.length === 0 && this.#knownAsOfMs > 0;
    return {
      tokens: this.#tokens,
      rules: rules.length,
      lifts: lifts.length,
      whole: this.#damage.length === 0,
      knownAsOfWallMs: known ? this.#knownAsOfMs : undefined,
      damage: this.#damage.map(({ file, detail }) => `${this.#folder.file(file)} ${detail}`),
      tornBytes: this.#tornBytes,
    };
  }

  async #block(snapshot: SnapshotFile, number: number): Promise<void> {
    const block = await snapshot.block(number);
    if (block === undefined) {
      this.#damaged(SNAPSHOT, `has a damaged block (${number})`);
      return;
    }
    const { words, count } = block;
    for (let at = 0; at < count * RECORD_WORDS; at += RECORD_WORDS) {
      this.#target.token(words, at, words[at + 3] ?? 0);
      if (at % (256 * RECORD_WORDS) === 0 && this.#slices.over) await this.#slices.pause();
    }
    this.#tokens += count;
  }

  async #open(number: number): Promise<SegmentFile | undefined> {
    const opened = await this.#opened(
      segmentName(number),
      SegmentFile.open(this.#folder, number, this.#folder.identity),
    );
    if (opened === undefined || opened instanceof SegmentFile) return opened;
    this.#damage.push(opened);
    return undefined;
  }

  /**
   * Reads one segment and judges it. @returns the bytes of it that count: of a damaged one with the damage, so that the next start, which
   * may come before it was salvaged, sees it too
   */
  async #segment(segment: SegmentFile, counts: number, newest: boolean): Promise<number> {
    try {
      const { goodBytes, sizeBytes, badAt } = await segment.read(
        counts,
        this.#visitor,
        this.#slices,
      );
      if (newest) {
        const acknowledged = this.#judgeTail(segment, sizeBytes, badAt);
        return goodBytes < acknowledged ? Math.max(sizeBytes, acknowledged) : goodBytes;
      }
      if (badAt !== undefined) this.#damaged(segment.name, `is damaged at byte ${badAt}`);
      else if (Number.isFinite(counts) && sizeBytes < counts)
        this.#damaged(segment.name, `has ${sizeBytes} bytes and should have ${counts}`);
      return Number.isFinite(counts) ? counts : sizeBytes;
    } catch (error) {
      this.#damaged(segment.name, `cannot be read: ${messageOf(error)}`);
      return Number.isFinite(counts) ? counts : Number.MAX_SAFE_INTEGER;
    } finally {
      await segment.close();
    }
  }

  /**
   * The newest segment may end in a batch that was being written; it must not end before, or be bad within, what was acknowledged.
   * @returns how many bytes were acknowledged
   */
  #judgeTail({ name, header }: SegmentFile, sizeBytes: number, badAt: number | undefined): number {
    const mark = this.#mark;
    if (mark === undefined && badAt !== undefined) {
      this.#damaged(name, `is damaged at byte ${badAt}; nothing tells if that was acknowledged`);
      return sizeBytes;
    }
    const acknowledged = mark?.segment === header.number ? mark.bytes : HEADER_BYTES;
    if (badAt === undefined) {
      if (sizeBytes < acknowledged)
        this.#damaged(name, `has ${sizeBytes} bytes and should have ${acknowledged} or more`);
    } else if (badAt < acknowledged) this.#damaged(name, `is damaged at byte ${badAt}`);
    else this.#tornBytes = sizeBytes - badAt;
    return acknowledged;
  }

  async #opened<T>(file: string, opening: Promise<T>): Promise<T | Damage> {
    try {
      return await opening;
    } catch (error) {
      return { file, kind: 'damaged', detail: `cannot be read: ${messageOf(error)}` };
    }
  }

  #damaged(file: string, detail: string, kind: Damage['kind'] = 'damaged'): void {
    if (!this.#damage.some((each) => each.file === file)) this.#damage.push({ file, kind, detail });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
