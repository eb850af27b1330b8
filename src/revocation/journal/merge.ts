import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Damage,
  type Identity,
  RECORD_WORDS,
  SNAPSHOT,
  SNAPSHOT_TEMPORARY,
} from './format.ts';
import { compareFingerprints, heardFirst } from './record.ts';
import { learntAtMs, packToken, type RecordVisitor, sourceOf } from './record-codec.ts';
import { RuleBook } from './rule-book.ts';
import { SegmentFile, type SegmentPart } from './segment-file.ts';
import { Slices } from './slices.ts';
import { type Block, SnapshotFile } from './snapshot-file.ts';
import { SnapshotWriter } from './snapshot-writer.ts';
import { SortedRun } from './sorted-run.ts';

/** What a merge is to do; plain data, as it goes to another thread. */
export interface MergeOrder {
  readonly folder: string;
  readonly identity: Identity;
  /** Number of the first segment that is not to be in the snapshot. */
  readonly coversBelow: number;
  /** All that are not in the last snapshot yet, oldest first: by the number of the first a merge knows whether there must be one. */
  readonly segments: readonly SegmentPart[];
  /** What ended before is left out, epoch seconds. */
  readonly goneBeforeSeconds: number;
  /** Take what is still good of damaged files; what comes of it is not the whole truth, and says so. */
  readonly salvage: boolean;
}

export interface MergeOutcome {
  readonly tokens: number;
  readonly bytes: number;
  /** What was found to be wrong. Unless it is a salvage, nothing was written then. */
  readonly damage: readonly Damage[];
}

const MOST_SOURCES = 0xff_ff;

/** Makes the next snapshot of the last one and closed segments, in a temporary file on the disk. It is for the caller to give it its name. */
export async function merge(order: MergeOrder): Promise<MergeOutcome> {
  const job = new Merge(order);
  const path = job.file(SNAPSHOT_TEMPORARY);
  try {
    await job.readSegments();
    if (job.damage.length > 0 && !order.salvage) return { tokens: 0, bytes: 0, damage: job.damage };
    const outcome = await job.write(path);
    if (job.damage.length > 0 && !order.salvage) await rm(path, { force: true });
    return { ...outcome, damage: job.damage };
  } catch (error) {
    await rm(path, { force: true }).catch(() => undefined);
    throw error;
  } finally {
    await job.close();
  }
}

/** One of the sorted inputs, at its next record. */
interface Input {
  words: Uint32Array;
  at: number;
  /** First word of that record: most comparisons need no more. */
  first: number;
  /** Goes to the next record; a promise where that needs reading. @returns false at the end */
  next(): boolean | Promise<boolean>;
}

class Merge {
  readonly damage: Damage[] = [];
  readonly #order: MergeOrder;
  readonly #book = new RuleBook();
  readonly #runs: SortedRun[] = [];
  readonly #sources: string[] = [];
  readonly #sourceNumbers = new Map<string, number>([['', 0]]);
  #snapshot: SnapshotFile | undefined;
  #knownAsOfMs = 0;
  #forgottenUntilMs = 0;

  constructor(order: MergeOrder) {
    this.#order = order;
  }

  file(name: string): string {
    return join(this.#order.folder, name);
  }

  async close(): Promise<void> {
    await this.#snapshot?.close();
  }

  /** Reads the snapshot's tail and all of the segments. */
  async readSegments(): Promise<void> {
    const { identity, segments } = this.#order;
    const slices = new Slices();
    const snapshot = await SnapshotFile.open(this, identity);
    if (snapshot instanceof SnapshotFile) {
      this.#snapshot = snapshot;
      this.#knownAsOfMs = snapshot.header.knownAsOfMs;
      this.#forgottenUntilMs = snapshot.header.forgottenUntilMs;
      const whole = await snapshot.tail({
        ...this.#visitor(),
        source: (number, name) => {
          this.#sources[number - 1] = name;
          this.#sourceNumbers.set(name, number);
        },
      });
      if (!whole) this.#damaged(SNAPSHOT, 'has damaged rules or sources');
      for (let i = 0; i < this.#sources.length; i++) this.#sources[i] ??= '';
    } else if (snapshot !== undefined) this.damage.push(snapshot);
    this.#missed(snapshot instanceof SnapshotFile ? snapshot.header.number : 1);
    for (const part of segments) {
      const segment = await SegmentFile.open(this, part.number, identity);
      if (!(segment instanceof SegmentFile)) {
        this.damage.push(segment);
        continue;
      }
      try {
        const reading = await segment.read(part.bytes, this.#visitor(), slices);
        if (Number.isFinite(part.bytes) && reading.goodBytes < part.bytes)
          this.#damaged(segment.name, `cannot be read from byte ${reading.goodBytes} on`);
      } catch (error) {
        this.#unreadable(segment.name, error);
      } finally {
        await segment.close();
      }
    }
    for (const run of this.#runs) run.sort();
  }

  /** Nothing but a merge takes a segment out of the chain: all before the oldest, counted from 1, are in the last snapshot, or that is not the last one. */
  #missed(snapshotCoversBelow: number): void {
    const { coversBelow, segments } = this.#order;
    const oldest = segments[0]?.number ?? coversBelow;
    if (snapshotCoversBelow >= oldest || this.damage.some(({ file }) => file === SNAPSHOT)) return;
    const detail =
      this.#snapshot === undefined
        ? 'is missing'
        : `is an older one: it has what came before segment ${snapshotCoversBelow}, and should have all before ${oldest}`;
    this.damage.push({ file: SNAPSHOT, kind: 'missing', detail });
  }

  /** Writes the snapshot to a file. */
  async write(path: string): Promise<{ tokens: number; bytes: number }> {
    const { coversBelow, identity, salvage, goneBeforeSeconds } = this.#order;
    const writer = await SnapshotWriter.create(path, coversBelow, identity);
    try {
      const inputs = this.#runs.filter((run) => run.count > 0).map(runInput);
      if (this.#snapshot !== undefined && this.#snapshot.blocks > 0) {
        const input = this.#snapshotInput(this.#snapshot);
        if (await input.next()) inputs.push(input);
      }
      await this.#mergeInputs(inputs, writer, goneBeforeSeconds);
      const forgotten = this.#book.forget(goneBeforeSeconds * 1000);
      const bytes = await writer.finish({
        knownAsOfMs: salvage ? 0 : this.#knownAsOfMs,
        forgottenUntilMs: Math.max(this.#forgottenUntilMs, forgotten),
        sources: this.#sources,
        book: this.#book,
      });
      return { tokens: writer.tokens, bytes };
    } finally {
      await writer.close();
    }
  }

  async #mergeInputs(inputs: Input[], writer: SnapshotWriter, goneBefore: number): Promise<void> {
    const record = new Uint32Array(RECORD_WORDS);
    let held = false;
    const put = async (): Promise<void> => {
      const end = record[3] ?? 0;
      if (end < goneBefore) this.#forgottenUntilMs = Math.max(this.#forgottenUntilMs, end * 1000);
      else if (writer.add(record)) await writer.flush();
    };
    while (inputs.length > 0) {
      let least = inputs[0] as Input;
      for (let i = 1; i < inputs.length; i++) {
        const input = inputs[i] as Input;
        if (input.first < least.first || (input.first === least.first && isBefore(input, least)))
          least = input;
      }
      if (held && compareFingerprints(record, 0, least.words, least.at) === 0)
        this.#combine(record, least.words, least.at);
      else {
        if (held) await put();
        for (let i = 0; i < RECORD_WORDS; i++) record[i] = least.words[least.at + i] ?? 0;
        held = true;
      }
      const more = least.next();
      if (!(typeof more === 'boolean' ? more : await more)) inputs.splice(inputs.indexOf(least), 1);
    }
    if (held) await put();
  }

  /** The later end, and who said it first: as `combineTokens`. */
  #combine(record: Uint32Array, words: Uint32Array, at: number): void {
    record[3] = Math.max(record[3] ?? 0, words[at + 3] ?? 0);
    const name = (number: number): string => this.#sources[number - 1] ?? '';
    if (
      !heardFirst(
        learntAtMs(record, 0),
        name(sourceOf(record, 0)),
        learntAtMs(words, at),
        name(sourceOf(words, at)),
      )
    ) {
      record[4] = words[at + 4] ?? 0;
      record[5] = words[at + 5] ?? 0;
    }
  }

  #snapshotInput(snapshot: SnapshotFile): Input {
    let number = 0;
    let block: Block = { words: new Uint32Array(0), count: 0 };
    let n = 0;
    const input: Input = {
      words: block.words,
      at: 0,
      first: 0,
      next: () => {
        n++;
        if (n === block.count || block.count === 0) return read();
        input.at = n * RECORD_WORDS;
        input.first = block.words[input.at] ?? 0;
        return true;
      },
    };
    const read = async (): Promise<boolean> => {
      while (number < snapshot.blocks) {
        const next = await snapshot.block(number).catch((error: unknown) => {
          this.#unreadable(SNAPSHOT, error);
          return undefined;
        });
        number++;
        if (next === undefined) {
          this.#damaged(SNAPSHOT, `has a damaged block (${number - 1})`);
          continue;
        }
        block = next;
        n = 0;
        input.words = block.words;
        input.at = 0;
        input.first = block.words[0] ?? 0;
        return true;
      }
      return false;
    };
    return input;
  }

  #visitor(): RecordVisitor {
    const record = new Uint32Array(RECORD_WORDS);
    let run: SortedRun | undefined;
    return {
      token: (words, endSeconds, source, learntAtMs) => {
        if (run === undefined || run.full) {
          const last = this.#runs.at(-1);
          run = last === undefined || last.full ? new SortedRun() : last;
          if (run !== last) this.#runs.push(run);
        }
        packToken(record, 0, words, 0, endSeconds, learntAtMs, this.#numberOf(source));
        run.add(record);
      },
      rule: (rule) => this.#book.rule(rule),
      lift: (lift) => this.#book.lift(lift),
      knownAsOf: (ms) => {
        this.#knownAsOfMs = Math.max(this.#knownAsOfMs, ms);
      },
    };
  }

  #numberOf(source: string): number {
    const known = this.#sourceNumbers.get(source);
    if (known !== undefined) return known;
    if (this.#sources.length === MOST_SOURCES) return 0;
    this.#sources.push(source);
    this.#sourceNumbers.set(source, this.#sources.length);
    return this.#sources.length;
  }

  /** A place of the disk that cannot be read is damage. Other errors are none: a process that has no descriptors left must not give up its files. */
  #unreadable(file: string, error: unknown): void {
    if (!(error instanceof Error && 'code' in error && error.code === 'EIO')) throw error;
    this.#damaged(file, `cannot be read: ${error.message}`);
  }

  #damaged(file: string, detail: string): void {
    if (!this.damage.some((each) => each.file === file))
      this.damage.push({ file, kind: 'damaged', detail });
  }
}

function isBefore(left: Input, right: Input): boolean {
  return compareFingerprints(left.words, left.at, right.words, right.at) < 0;
}

function runInput(run: SortedRun): Input {
  let n = 0;
  const input: Input = {
    words: run.words,
    at: run.at(0),
    first: run.words[run.at(0)] ?? 0,
    next: () => {
      n++;
      if (n === run.count) return false;
      input.at = run.at(n);
      input.first = run.words[input.at] ?? 0;
      return true;
    },
  };
  return input;
}
