import type { StatementSync } from 'node:sqlite';
import type { TokenDatabase } from './database.ts';
import type { Outbox } from './outbox.ts';

/** What is to be revoked. At least one of `jti` and `digest` is set; a JWT has a `jti` only, an opaque token both when it is known. */
export interface RevokedToken {
  readonly jti: string | undefined;
  /** SHA-256 of an opaque token, base64url. */
  readonly digest: string | undefined;
  /** Whose tokens are meant; undefined: every issuer's. */
  readonly issuer: string | undefined;
  /** Epoch milliseconds. */
  readonly endsAtMs: number;
  /** What publishers send: the `jti` of a JWT, the text of an opaque token where it was given, else its `jti`. */
  readonly outgoing: { readonly token: string; readonly tokenType: 'JWT' | 'opaque' };
}

/** One line of the revocation list. */
export interface RevocationRecord {
  /** Position in the event stream: grows by every revocation, never used twice. */
  readonly seq: number;
  readonly jti: string | undefined;
  readonly digest: string | undefined;
  readonly issuer: string | undefined;
  readonly endsAtMs: number;
}

/** The revocations made here, until the tokens are dead. */
export class RevocationRecords {
  readonly #database: TokenDatabase;
  readonly #outbox: Outbox;
  readonly #find: StatementSync;
  readonly #findOf: StatementSync;
  readonly #delete: StatementSync;
  readonly #insert: StatementSync;
  readonly #after: StatementSync;
  readonly #newest: StatementSync;
  readonly #purgedThrough: StatementSync;
  readonly #listeners = new Set<() => void>();

  constructor(database: TokenDatabase, outbox: Outbox) {
    const { sql } = database;
    this.#database = database;
    this.#outbox = outbox;
    this.#find = sql.prepare('SELECT * FROM revocations WHERE jti = ? OR digest = ?');
    this.#findOf = sql.prepare(
      "SELECT 1 FROM revocations WHERE (jti = ? OR digest = ?) AND issuer IN ('', ?)",
    );
    this.#delete = sql.prepare('DELETE FROM revocations WHERE seq = ?');
    this.#insert = sql.prepare(
      'INSERT INTO revocations (jti, digest, issuer, by_text, ends_at_ms) VALUES (?, ?, ?, ?, ?)',
    );
    this.#after = sql.prepare('SELECT * FROM revocations WHERE seq > ? ORDER BY seq LIMIT ?');
    this.#newest = sql.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'revocations'");
    this.#purgedThrough = sql.prepare("SELECT value FROM meta WHERE name = 'purged_through'");
  }

  /**
   * Resolves when the revocation and one outgoing message per publisher are on the disk, in one transaction; rejects with a 503 OAuthError
   * when neither is. Revoking again changes nothing, unless the new end is later: an end never moves forward in time. The same `jti` of a
   * second issuer is revoked for every issuer.
   */
  async revoke(token: RevokedToken): Promise<void> {
    const added = await this.#database.commit(() => this.#add(token));
    if (!added) return;
    this.#outbox.wake();
    for (const listener of this.#listeners) listener();
  }

  #add(token: RevokedToken): boolean {
    const byText = token.outgoing.tokenType === 'opaque' && token.outgoing.token !== token.jti;
    const known = this.#find.all(token.jti ?? null, token.digest ?? null);
    const endsAtMs = Math.max(token.endsAtMs, ...known.map((row) => Number(row['ends_at_ms'])));
    const issuers = new Set([token.issuer ?? '', ...known.map((row) => String(row['issuer']))]);
    const issuer = issuers.size === 1 ? token.issuer : undefined;
    const covered = known.some(
      (row) =>
        Number(row['ends_at_ms']) === endsAtMs &&
        row['issuer'] === (issuer ?? '') &&
        (token.digest === undefined || row['digest'] === token.digest) &&
        // An opaque token that was revoked by its jti goes out once more when its text becomes known: WSO2's gateways look for that.
        (!byText || row['by_text'] === 1),
    );
    if (covered) return false;
    for (const row of known) this.#delete.run(Number(row['seq']));
    const jti = token.jti ?? known.find((row) => row['jti'] !== null)?.['jti'] ?? null;
    const digest = token.digest ?? known.find((row) => row['digest'] !== null)?.['digest'] ?? null;
    this.#insert.run(jti, digest, issuer ?? '', byText ? 1 : 0, endsAtMs);
    this.#outbox.add({
      ...token.outgoing,
      ...(issuer === undefined ? {} : { issuer }),
      expiresAtMs: endsAtMs,
    });
    return true;
  }

  isRevoked(token: {
    readonly jti: string;
    readonly digest: string;
    readonly issuer: string;
  }): boolean {
    return this.#findOf.get(token.jti, token.digest, token.issuer) !== undefined;
  }

  /** Up to `limit` revocations behind position `seq`, in order. */
  after(seq: number, limit: number): RevocationRecord[] {
    return this.#after.all(seq, limit).map((row) => ({
      seq: Number(row['seq']),
      jti: row['jti'] === null ? undefined : String(row['jti']),
      digest: row['digest'] === null ? undefined : String(row['digest']),
      issuer: row['issuer'] === '' ? undefined : String(row['issuer']),
      endsAtMs: Number(row['ends_at_ms']),
    }));
  }

  /** Position of the newest revocation ever made in this file; 0 when there was none. */
  newestSeq(): number {
    return Number(this.#newest.get()?.['seq'] ?? 0);
  }

  /** The highest position that was purged; 0 when nothing was. */
  purgedThrough(): number {
    return Number(this.#purgedThrough.get()?.['value'] ?? 0);
  }

  /** Calls `listener` after every commit that revoked something, until the returned function is called. */
  onRevoked(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Within a commit: forgets up to `limit` revocations that ended before `beforeMs`; answers how many. */
  purge(beforeMs: number, limit: number): number {
    const { sql } = this.#database;
    const ended = sql
      .prepare('SELECT seq FROM revocations WHERE ends_at_ms < ? LIMIT ?')
      .all(beforeMs, limit)
      .map((row) => Number(row['seq']));
    for (const seq of ended) this.#delete.run(seq);
    if (ended.length > 0) {
      const through = ended.reduce((highest, seq) => Math.max(highest, seq), this.purgedThrough());
      sql.prepare("INSERT OR REPLACE INTO meta VALUES ('purged_through', ?)").run(String(through));
    }
    return ended.length;
  }
}
