import { type Clock, systemClock } from '../clock.ts';
import type { Lift, Rule } from '../rule.ts';
import { Claim } from './claim.ts';
import { GroupCommit, JournalTrouble } from './group-commit.ts';
import { JournalFiles, JournalLeft, LEFT } from './journal-files.ts';
import type { JournalOptions } from './journal-options.ts';
import type { StoredKeySet } from './key-set-files.ts';
import {
  findToken,
  type JournalView,
  type ListPage,
  listPage,
  type ListQuery,
  readBook,
} from './look-up.ts';
import type { Known, LiftRecord, RuleRecord, TokenRecord } from './record.ts';
import { storyJson } from './record-codec.ts';
import type { JournalTarget, RestoreResult } from './restore.ts';
import { Repair } from './repair.ts';
import type { SnapshotStats } from './snapshot-file.ts';
import { StateFolder } from './state-folder.ts';
import { Turns } from './turns.ts';

export type { JournalOptions } from './journal-options.ts';
export type { JournalTarget, RestoreResult } from './restore.ts';

const KEY = 'Journal';
const MEBIBYTE = 1_048_576;

export interface JournalStats {
  /** Memory in use for what is not on the disk yet, bytes. */
  readonly pendingBytes: number;
  readonly segments: number;
  readonly segmentBytes: number;
  /** The last one, whoever made it. Undefined until there is one that can be read. */
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
  readonly #files: JournalFiles;
  readonly #commits: GroupCommit;
  /** What takes the folder or lets go of it, one after another. */
  readonly #tenures = new Turns();
  /** Where what the files have goes; undefined before {@link restore}. */
  #target: JournalTarget | undefined;
  #onTakenBack: ((found: RestoreResult) => void) | undefined;
  /** The folder is another gateway's for now. */
  #lent = false;
  #closed = false;
  /** The folder or the newest segment was removed; nothing was written since. */
  #gone = false;
  readonly #repair: Repair;
  readonly #knownAsOf = new Claim();
  #said: string | undefined;
  private constructor(options: JournalOptions, folder: StateFolder) {
    this.#options = options;
    this.#folder = folder;
    this.#clock = options.clock ?? systemClock;
    const bufferBytes = options.bufferBytes ?? 128 * MEBIBYTE;
    this.#files = new JournalFiles(options, folder, this.#clock);
    this.#commits = new GroupCommit({
      groupCommitMs: options.groupCommitMs ?? 50,
      bufferBytes,
      commit: (frames) =>
        this.#files.commit(frames, () => {
          this.#gone = true;
        }),
      changed: () => this.#changed(),
      committed: () => this.#committed(),
    });
    this.#repair = new Repair({
      log: options.log,
      everything: options.everything,
      salvage: async () => await this.#files.compaction?.salvage(),
      write: (known) => this.#append(known),
      durable: async (mostPending) => {
        if (this.#commits.pendingBytes > mostPending) await this.#commits.durable();
      },
      bufferBytes,
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

  /** Whether another gateway has the folder for now. */
  get lent(): boolean {
    return this.#lent;
  }

  /** Whether what is appended now gets to the disk. */
  get healthy(): boolean {
    return this.trouble === undefined;
  }

  /** Why not; undefined when it does. */
  get trouble(): string | undefined {
    if (this.#letsGo) return LEFT;
    if (this.#commits.trouble !== undefined) return this.#commits.trouble;
    return this.#repair.trouble;
  }

  /** Whether the files lack something that the list holds or held, or a gap. Then they claim no moment up to which everything is in them. */
  get incomplete(): boolean {
    return this.#repair.needed || this.#gone || this.#lent || this.#files.beside.gapsBehind;
  }

  stats(): JournalStats {
    const { parts, compaction } = this.#files;
    return {
      pendingBytes: this.#commits.pendingBytes,
      segments: parts.length,
      segmentBytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
      snapshot: compaction?.last,
      snapshotTrouble: compaction?.trouble,
    };
  }

  /**
   * Hands out everything that was kept. Call it once, first. It never rejects because of what the files hold.
   * @param onTakenBack told what each later {@link takeBack} has found, before anything is acknowledged or claimed again
   */
  async restore(
    target: JournalTarget,
    onTakenBack?: (found: RestoreResult) => void,
  ): Promise<RestoreResult> {
    if (this.#target !== undefined) throw new Error('a journal is restored once');
    this.#target = target;
    this.#onTakenBack = onTakenBack;
    return await this.#tenures.take(async () => {
      const { result, salvage } = await this.#files.begin(target);
      this.#commits.release();
      if (salvage) this.#repair.salvage();
      return result;
    });
  }

  /**
   * Lets go of the folder for another gateway. What is learnt from then on waits in memory, as while the disk fails, and nothing is
   * acknowledged, until {@link takeBack} or the end.
   */
  async lend(): Promise<void> {
    await this.#tenures.take(async () => {
      if (this.#lent || this.#closed) return;
      await this.#lastWords();
      this.#lent = true;
      this.#said = LEFT;
      await this.#letGo(this.#commits.hold());
      this.#options.onChange?.();
    });
  }

  /**
   * Takes the folder again once the other gateway has let go of it. What that one wrote stays and is handed out as in {@link restore}; what
   * this one knows is written to it.
   * @returns false when somebody has it. Rejects when it is another one by now, or cannot be used
   */
  async takeBack(): Promise<boolean> {
    return await this.#tenures.take(async () => {
      const target = this.#target;
      if (!this.#lent || this.#closed || target === undefined) return false;
      if (!(await this.#folder.retake())) return false;
      try {
        const { result, salvage } = await this.#files.begin(target);
        for (const note of result.damage) this.#options.log.warn(KEY, note);
        // What was said before was said of files that were whole.
        if (!result.whole) this.#knownAsOf.forget();
        this.#onTakenBack?.(result);
        this.#lent = false;
        this.#repair.resume();
        this.#commits.release();
        if (salvage) this.#repair.damaged();
        else this.#repair.rewrite();
      } catch (error) {
        this.#folder.close();
        throw error;
      }
      await this.#files.beside.catchUp(true);
      return true;
    });
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
    this.#knownAsOf.say(wallMs);
    if (this.#knownAsOf.due) this.#writeKnownAsOf();
  }

  /**
   * Resolves once everything appended so far is on the disk. Rejects with {@link JournalTrouble} while the disk fails; what was appended is
   * tried again in the background all the same, and `onChange` tells when that worked.
   */
  async durable(): Promise<void> {
    if (this.#lent) throw new JournalLeft();
    if (this.#repair.trouble === undefined) await this.#commits.durable();
    // Also what was lost meanwhile may be what the caller means.
    if (this.#repair.trouble !== undefined) throw new JournalTrouble(this.#repair.trouble);
  }

  /** What is kept of a token. Rejects when the files cannot be read: with {@link JournalLeft} while another gateway has them. */
  async find(fingerprints: Uint32Array, at: number): Promise<TokenRecord | undefined> {
    return await this.#view((view) => findToken(view, fingerprints, at));
  }

  /** Rules in force (no lift undoes them; some may have ended) and lifts. Rejects as {@link find}. */
  async rules(): Promise<{ rules: readonly RuleRecord[]; lifts: readonly LiftRecord[] }> {
    const book = await this.#view(readBook);
    return {
      rules: Array.from(book.rules(), ([, record]) => record),
      lifts: Array.from(book.lifts(), ([, record]) => record),
    };
  }

  /** One page of what has not ended yet. Rejects with a RangeError when cursor or limit are none, else as {@link find}. */
  async list(query: ListQuery = {}): Promise<ListPage> {
    return await this.#view((view) => listPage(view, query, this.#clock.earliest()));
  }

  /** Merges everything so far into the next snapshot now. Rejects when that fails; nothing is lost then. */
  async snapshot(): Promise<void> {
    const { compaction } = this.#files;
    if (compaction === undefined) throw new Error('a journal is restored first');
    await this.#commits.durable();
    if (!(await compaction.run())) this.#repair.damaged();
  }

  /**
   * Keeps the last good key set of an issuer; the time is epoch milliseconds of the wall clock. Rejects with a RangeError when it is larger than
   * 1 MiB, and when the disk fails or another gateway has the folder: then it is written as soon as that is otherwise.
   */
  async saveKeySet(issuer: string, jwks: string, readAtWallMs: number): Promise<void> {
    await this.#files.beside.saveKeySet(issuer, jwks, readAtWallMs);
  }

  /** The last good key sets of all issuers. */
  async loadKeySets(): Promise<readonly StoredKeySet[]> {
    return await this.#files.beside.loadKeySets();
  }

  /**
   * Keeps the gaps that are open: when each ended, epoch milliseconds, by source. Rejects when the disk fails or another gateway has the folder: then
   * they are written as soon as that is otherwise. Until they are, no moment is claimed.
   */
  async saveGaps(ends: ReadonlyMap<string, number>): Promise<void> {
    await this.#files.beside.saveGaps(ends);
  }

  /** The gaps of the last run; undefined when there is no file of them, and, logged, when it cannot be read as it was written. */
  async loadGaps(): Promise<ReadonlyMap<string, number> | undefined> {
    return await this.#files.beside.loadGaps();
  }

  /** Writes what waits, as far as the disk takes it, and lets go of the folder. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#tenures.take(async () => {
      if (this.#lent) return;
      await this.#lastWords();
      await this.#letGo(this.#commits.close());
    });
  }

  /** What is still to be said before the folder is let go of. */
  async #lastWords(): Promise<void> {
    await this.#files.beside.catchUp(true);
    this.#writeKnownAsOf();
  }

  /** @param written what waits is being written: whether all of it could be */
  async #letGo(written: Promise<boolean>): Promise<void> {
    const stopped = this.#repair.stop();
    if (!(await written))
      this.#options.log.error(KEY, 'not all that was learnt could be written before the end');
    await this.#files.compaction?.close();
    await stopped;
    await this.#files.end();
  }

  async #view<T>(work: (view: JournalView) => Promise<T>): Promise<T> {
    return await this.#files.view(work, () => this.#commits.pending);
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
    if (this.incomplete || this.#target === undefined) return;
    this.#knownAsOf.write((ms) => this.#commits.append((frame) => frame.knownAsOf(ms), true));
  }

  #committed(): void {
    void this.#files.beside.catchUp();
    if (this.#gone) {
      this.#gone = false;
      this.#repair.damaged();
    } else this.#repair.go();
    if (this.#files.compaction?.due === true && !this.#letsGo) void this.#compact();
  }

  async #compact(): Promise<void> {
    try {
      if ((await this.#files.compaction?.run()) === false) this.#repair.damaged();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (!this.#letsGo) this.#options.log.warn(KEY, `no snapshot was made: ${why}`);
    }
  }

  get #letsGo(): boolean {
    return this.#closed || this.#lent;
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
