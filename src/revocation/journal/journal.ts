import { type Clock, systemClock } from '../clock.ts';
import type { Lift, Rule } from '../rule.ts';
import { CommitMark } from './commit-mark.ts';
import { Compaction, type SnapshotStats } from './compaction.ts';
import { GapFile } from './gap-file.ts';
import { GroupCommit, JournalTrouble } from './group-commit.ts';
import type { JournalOptions } from './journal-options.ts';
import { KeySetFiles, type StoredKeySet } from './key-set-files.ts';
import {
  findToken,
  type JournalView,
  type ListPage,
  listPage,
  type ListQuery,
  readBook,
} from './look-up.ts';
import type { Known, LiftRecord, RuleRecord, TokenRecord } from './record.ts';
import { type Frame, storyJson } from './record-codec.ts';
import { type JournalTarget, restoreChain, type RestoreResult } from './restore.ts';
import { Repair } from './repair.ts';
import { SegmentGone, SegmentWriter } from './segment-writer.ts';
import { StateFolder } from './state-folder.ts';
import { Turns } from './turns.ts';

export type { JournalOptions } from './journal-options.ts';
export type { JournalTarget, RestoreResult } from './restore.ts';

const KEY = 'Journal';
const MEBIBYTE = 1_048_576;
const KNOWN_AS_OF_EVERY_MS = 1000;

export interface JournalStats {
  /** Memory in use for what is not on the disk yet, bytes. */
  readonly pendingBytes: number;
  readonly segments: number;
  readonly segmentBytes: number;
  /** Undefined until a snapshot was made since the start. */
  readonly snapshot: SnapshotStats | undefined;
  /** Why the last snapshot could not be made, where it could not. */
  readonly snapshotTrouble: string | undefined;
}

/**
 * What the gateway learnt, on disk: appended to segments with one fsync for many, and merged into a sorted snapshot. Call `restore` once,
 * then append; appends before that wait. No method that appends throws because of the disk or waits for it.
 */
export class Journal {
  readonly #options: JournalOptions;
  readonly #folder: StateFolder;
  readonly #clock: Clock;
  readonly #bufferBytes: number;
  readonly #keySets: KeySetFiles;
  readonly #gaps: GapFile;
  readonly #mark: CommitMark;
  readonly #commits: GroupCommit;
  /** Those who read files, and the change of files, one after another. */
  readonly #readers = new Turns();
  #writer: SegmentWriter | undefined;
  #compaction: Compaction | undefined;
  #restored = false;
  #closed = false;
  /** The folder or the newest segment was removed; nothing was written since. */
  #gone = false;
  readonly #repair: Repair;
  #knownAsOfMs = 0;
  #knownAsOfWritten = { ms: 0, at: Number.NEGATIVE_INFINITY };
  #said: string | undefined;

  private constructor(options: JournalOptions, folder: StateFolder) {
    this.#options = options;
    this.#folder = folder;
    this.#clock = options.clock ?? systemClock;
    this.#bufferBytes = options.bufferBytes ?? 128 * MEBIBYTE;
    this.#keySets = new KeySetFiles(folder, options.log);
    this.#gaps = new GapFile(folder);
    this.#mark = new CommitMark(folder);
    this.#commits = new GroupCommit({
      groupCommitMs: options.groupCommitMs ?? 50,
      bufferBytes: this.#bufferBytes,
      commit: (frames) => this.#commit(frames),
      changed: () => this.#changed(),
      committed: () => this.#committed(),
    });
    this.#repair = new Repair({
      log: options.log,
      everything: options.everything,
      salvage: async () => await this.#compaction?.salvage(),
      write: (known) => this.#append(known),
      durable: async (mostPending) => {
        if (this.#commits.pendingBytes > mostPending) await this.#commits.durable();
      },
      bufferBytes: this.#bufferBytes,
      changed: () => this.#changed(),
    });
  }

  /** See {@link openJournal}. */
  static async open(options: JournalOptions): Promise<Journal> {
    const { folder, takeoverMs = 0, log } = options;
    return new Journal(options, await StateFolder.open(folder, takeoverMs, log));
  }

  /** What fingerprints are keyed with: 32 bytes, this installation's own. */
  get secret(): Uint8Array {
    return this.#folder.secret;
  }

  /** UUID of this installation. */
  get installation(): string {
    return this.#folder.identity.installation;
  }

  /** Whether what is appended now gets to the disk. */
  get healthy(): boolean {
    return this.trouble === undefined;
  }

  /** Why not; undefined when it does. */
  get trouble(): string | undefined {
    if (this.#closed) return 'the state folder was left to another gateway';
    if (this.#commits.trouble !== undefined) return this.#commits.trouble;
    return this.#repair.trouble;
  }

  /** Whether the files lack something that the list holds or held. Then they claim no moment up to which everything is in them. */
  get incomplete(): boolean {
    return this.#repair.needed || this.#gone;
  }

  stats(): JournalStats {
    const parts = this.#writer?.parts ?? [];
    return {
      pendingBytes: this.#commits.pendingBytes,
      segments: parts.length,
      segmentBytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
      snapshot: this.#compaction?.last,
      snapshotTrouble: this.#compaction?.trouble,
    };
  }

  /** Hands out everything that was kept. Call it once, first. It never rejects because of what the files hold. */
  async restore(target: JournalTarget): Promise<RestoreResult> {
    if (this.#restored) throw new Error('a journal is restored once');
    this.#restored = true;
    const { result, end } = await restoreChain(this.#folder, target);
    const { log, segmentBytes = 8 * MEBIBYTE, snapshotBytes = 32 * MEBIBYTE } = this.#options;
    this.#writer = new SegmentWriter(this.#folder, this.#mark, segmentBytes, end.closed, end.last);
    this.#compaction = new Compaction({
      folder: this.#folder,
      writer: this.#writer,
      readers: this.#readers,
      log,
      snapshotBytes,
      goneBeforeSeconds: () =>
        Math.floor((this.#clock.earliest() - (this.#options.keepEndedMs ?? 86_400_000)) / 1000),
    });
    this.#commits.release();
    if (end.salvage) this.#repair.salvage();
    return result;
  }

  /** Keeps a token. `fingerprints` holds its fingerprint from word `at` on; the end is epoch seconds, the time epoch milliseconds. */
  token(
    fingerprints: Uint32Array,
    at: number,
    endSeconds: number,
    source: string,
    learntAtMs: number,
  ): void {
    if (
      !this.#commits.append((frame) =>
        frame.token(fingerprints, at, endSeconds, source, learntAtMs),
      )
    )
      this.#overflow();
  }

  /** Keeps a rule, with who made it and why. @throws RangeError when all that is longer than 128 KiB */
  rule(rule: Rule, source: string, learntAtMs: number, by?: string, reason?: string): void {
    this.#story({
      kind: 'rule',
      rule,
      source,
      learntAtMs,
      ...(by === undefined ? {} : { by }),
      ...(reason === undefined ? {} : { reason }),
    });
  }

  /** Keeps that a rule was lifted, by whom and why. @throws RangeError when all that is longer than 128 KiB */
  lift(lift: Lift, source: string, atMs: number, by: string, reason: string): void {
    this.#story({ kind: 'lift', lift, source, atMs, by, reason });
  }

  /** Says that everything learnt up to a moment was appended; epoch milliseconds of the wall clock. Written once a second at most. */
  knownAsOf(wallMs: number): void {
    this.#knownAsOfMs = Math.max(this.#knownAsOfMs, wallMs);
    if (performance.now() - this.#knownAsOfWritten.at >= KNOWN_AS_OF_EVERY_MS)
      this.#writeKnownAsOf();
  }

  /**
   * Resolves once everything appended so far is on the disk. Rejects with {@link JournalTrouble} while the disk fails; what was appended is
   * tried again in the background all the same, and `onChange` tells when that worked.
   */
  async durable(): Promise<void> {
    if (this.#repair.trouble === undefined) await this.#commits.durable();
    // Also what was lost meanwhile may be what the caller means.
    if (this.#repair.trouble !== undefined) throw new JournalTrouble(this.#repair.trouble);
  }

  /** What is kept of a token. Rejects when the files cannot be read. */
  async find(fingerprints: Uint32Array, at: number): Promise<TokenRecord | undefined> {
    return await this.#read((view) => findToken(view, fingerprints, at));
  }

  /** Rules in force (no lift undoes them; some may have ended) and lifts. Rejects when the files cannot be read. */
  async rules(): Promise<{ rules: readonly RuleRecord[]; lifts: readonly LiftRecord[] }> {
    const book = await this.#read(readBook);
    return {
      rules: Array.from(book.rules(), ([, record]) => record),
      lifts: Array.from(book.lifts(), ([, record]) => record),
    };
  }

  /** One page of what has not ended yet. Rejects with a RangeError when cursor or limit are none. */
  async list(query: ListQuery = {}): Promise<ListPage> {
    return await this.#read((view) => listPage(view, query, this.#clock.earliest()));
  }

  /** Merges everything so far into the next snapshot now. Rejects when that fails; nothing is lost then. */
  async snapshot(): Promise<void> {
    if (this.#compaction === undefined) throw new Error('a journal is restored first');
    await this.#commits.durable();
    if (!(await this.#compaction.run())) this.#repair.damaged();
  }

  /** Keeps the last good key set of an issuer; the time is epoch milliseconds of the wall clock. Rejects when the disk fails. */
  async saveKeySet(issuer: string, jwks: string, readAtWallMs: number): Promise<void> {
    await this.#keySets.save(issuer, jwks, readAtWallMs);
  }

  /** The last good key sets of all issuers. */
  async loadKeySets(): Promise<readonly StoredKeySet[]> {
    return await this.#keySets.load();
  }

  /** Keeps the gaps that are open: when each ended, epoch milliseconds, by source. Rejects when the disk fails. */
  async saveGaps(ends: ReadonlyMap<string, number>): Promise<void> {
    await this.#gaps.save(ends);
  }

  /** The gaps of the last run; undefined when they cannot be read. */
  async loadGaps(): Promise<ReadonlyMap<string, number> | undefined> {
    return await this.#gaps.load();
  }

  /** Writes what waits, as far as the disk takes it, and lets go of the folder. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#writeKnownAsOf();
    const repaired = this.#repair.close();
    if (!(await this.#commits.close()))
      this.#options.log.error(KEY, 'not all that was learnt could be written before the end');
    await this.#compaction?.close();
    await repaired;
    await this.#readers.take(async () => {
      await this.#writer?.close();
      await this.#mark.close();
    });
    this.#folder.close();
  }

  async #read<T>(work: (view: JournalView) => Promise<T>): Promise<T> {
    return await this.#readers.take(
      async () =>
        await work({
          folder: this.#folder,
          parts: this.#writer?.parts ?? [],
          pending: this.#commits.pending,
        }),
    );
  }

  #append(known: Known): void {
    if (known.kind === 'token') this.token(known.fingerprints, known.at, known.endSeconds, '', 0);
    else this.#story(known);
  }

  #story(record: RuleRecord | LiftRecord): void {
    const json = storyJson(record);
    if (!this.#commits.append((frame) => frame.story(json, record.kind), true)) this.#overflow();
  }

  #writeKnownAsOf(): void {
    const ms = this.#knownAsOfMs;
    if (this.incomplete || !this.#restored || ms <= this.#knownAsOfWritten.ms) return;
    if (!this.#commits.append((frame) => frame.knownAsOf(ms), true)) return;
    this.#knownAsOfWritten = { ms, at: performance.now() };
  }

  async #commit(frames: readonly Frame[]): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) throw new Error('a journal is restored first');
    if (!this.#folder.stands) {
      this.#gone = true;
      await this.#mark.close();
      await this.#folder.restoreFolder();
    }
    try {
      await writer.commit(frames);
    } catch (error) {
      if (error instanceof SegmentGone) {
        this.#gone = true;
        await this.#mark.close();
      }
      throw error;
    }
  }

  #committed(): void {
    if (this.#gone) {
      this.#gone = false;
      this.#repair.damaged();
    } else this.#repair.go();
    if (this.#compaction?.due === true && !this.#closed) void this.#compact();
  }

  async #compact(): Promise<void> {
    try {
      if ((await this.#compaction?.run()) === false) this.#repair.damaged();
    } catch (error) {
      if (!this.#closed) this.#options.log.warn(KEY, `no snapshot was made: ${messageOf(error)}`);
    }
  }

  #overflow(): void {
    if (!this.#closed) this.#repair.lost();
  }

  #changed(): void {
    const { trouble } = this;
    const { log, onChange } = this.#options;
    if (trouble !== this.#said) {
      if (trouble === undefined) log.info(KEY, 'the journal is written again');
      else log.error(KEY, trouble);
      this.#said = trouble;
    }
    onChange?.();
  }
}

/**
 * Opens the state folder and takes it for this process.
 * @throws OperatorError ERR_STATE_FOLDER: another gateway has it, or it cannot be read or written
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  return await Journal.open(options);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
