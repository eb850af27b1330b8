import type { Log } from '../../log.ts';
import { GapFile } from './gap-file.ts';
import { JournalTrouble } from './group-commit.ts';
import { KeySetFiles, type StoredKeySet } from './key-set-files.ts';
import type { StateFolder } from './state-folder.ts';

const RETRY_MS = 1000;

/**
 * What stands in the state folder beside the journal: key sets and gaps. What cannot be written at once, because the disk fails or because another
 * gateway has the folder, is written later.
 */
export class SideFiles {
  readonly #log: Log;
  readonly #whileOurs: (change: () => Promise<void>) => Promise<void>;
  readonly #caughtUp: () => void;
  readonly #keySets: KeySetFiles;
  readonly #gaps: GapFile;
  #catchingUp: Promise<void> | undefined;
  #notBefore = Number.NEGATIVE_INFINITY;
  #planned = false;
  #said: string | undefined;

  /**
   * @param whileOurs changes files, one change after another; rejects with {@link JournalTrouble} while another gateway has them
   * @param caughtUp called when gaps that could not be written before are written
   */
  constructor(
    folder: StateFolder,
    log: Log,
    whileOurs: (change: () => Promise<void>) => Promise<void>,
    caughtUp: () => void,
  ) {
    this.#log = log;
    this.#caughtUp = caughtUp;
    this.#whileOurs = whileOurs;
    this.#keySets = new KeySetFiles(folder, log);
    this.#gaps = new GapFile(folder, log);
  }

  /** Whether the gaps on the disk are not those that are to be kept: the next start would not know them. */
  get gapsBehind(): boolean {
    return this.#gaps.behind;
  }

  async saveKeySet(issuer: string, jwks: string, readAtWallMs: number): Promise<void> {
    this.#keySets.keep(issuer, jwks, readAtWallMs);
    this.#plan();
    await this.#whileOurs(() => this.#keySets.write());
  }

  async loadKeySets(): Promise<readonly StoredKeySet[]> {
    return await this.#keySets.load();
  }

  async saveGaps(ends: ReadonlyMap<string, number>): Promise<void> {
    this.#gaps.keep(ends);
    this.#plan();
    await this.#whileOurs(() => this.#gaps.write());
  }

  async loadGaps(): Promise<ReadonlyMap<string, number> | undefined> {
    return await this.#gaps.load();
  }

  /** Another gateway has had the folder. */
  again(): void {
    this.#gaps.again();
    this.#keySets.again();
  }

  /**
   * Writes what could not be written before; a second after a failure at the earliest, unless that is `urgent`. It is tried by itself too, every
   * second. Never rejects.
   */
  async catchUp(urgent = false): Promise<void> {
    if (urgent) await this.#catchingUp;
    if (this.#catchingUp !== undefined || !this.#behind) return;
    if (!urgent && performance.now() < this.#notBefore) return;
    this.#catchingUp = this.#catchUp();
    try {
      await this.#catchingUp;
    } finally {
      this.#catchingUp = undefined;
    }
  }

  get #behind(): boolean {
    return this.#gaps.behind || this.#keySets.behind;
  }

  /** Has it looked at in a second whether something is left to be written. */
  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    setTimeout(() => {
      this.#planned = false;
      void this.catchUp(true);
    }, RETRY_MS).unref();
  }

  async #catchUp(): Promise<void> {
    const { gapsBehind } = this;
    try {
      await this.#whileOurs(async () => {
        // Gaps first: until they are written, the journal claims no moment.
        await this.#gaps.write();
        await this.#keySets.write();
      });
      this.#said = undefined;
      if (gapsBehind) this.#caughtUp();
    } catch (error) {
      // Whoever takes the folder again, urges.
      if (error instanceof JournalTrouble) return;
      this.#notBefore = performance.now() + RETRY_MS;
      this.#say(error);
      this.#plan();
    }
  }

  #say(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    if (why !== this.#said)
      this.#log.warn('Journal', `gaps or key sets could not be written yet: ${why}`);
    this.#said = why;
  }
}
