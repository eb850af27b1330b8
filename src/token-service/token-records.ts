import type { StatementSync } from 'node:sqlite';
import { digestOf } from '../revocation/token-key.ts';
import type { TokenFormat } from './credentials.ts';
import type { TokenDatabase } from './database.ts';

/** One issued token, without its text. */
export interface TokenRecord {
  readonly jti: string;
  readonly format: TokenFormat;
  readonly issuer: string;
  readonly clientId: string;
  readonly subject: string;
  readonly audience: readonly string[];
  /** Blank-separated; empty when none was granted. */
  readonly scope: string;
  readonly keytype: string;
  /** Epoch milliseconds, whole seconds. */
  readonly issuedAtMs: number;
  readonly endsAtMs: number;
}

/** A live token and the SHA-256 of its exact text (base64url), the only trace of it that is kept. */
export type FoundToken = TokenRecord & { readonly digest: string };

/** The tokens issued here, until they are dead. */
export class TokenRecords {
  readonly #insert: StatementSync;
  readonly #byDigest: StatementSync;
  readonly #byJti: StatementSync;
  readonly #purge: StatementSync;

  constructor({ sql }: TokenDatabase) {
    this.#insert = sql.prepare(
      'INSERT INTO tokens (jti, digest, format, issuer, client_id, subject, audience, scope, keytype, issued_at_ms, ends_at_ms) ' +
        'VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
    );
    this.#byDigest = sql.prepare('SELECT * FROM tokens WHERE digest = ?');
    this.#byJti = sql.prepare('SELECT * FROM tokens WHERE jti = ?');
    this.#purge = sql.prepare(
      'DELETE FROM tokens WHERE jti IN (SELECT jti FROM tokens WHERE ends_at_ms < ? LIMIT ?)',
    );
  }

  /** Within a commit: remembers a token by the digest of its text. */
  add(token: TokenRecord, text: string): void {
    this.#insert.run(
      token.jti,
      digestOf(text),
      token.format,
      token.issuer,
      token.clientId,
      token.subject,
      JSON.stringify(token.audience),
      token.scope,
      token.keytype,
      token.issuedAtMs,
      token.endsAtMs,
    );
  }

  /** The token with exactly this text: no other spelling of it is known here. */
  byText(text: string): FoundToken | undefined {
    return toRecord(this.#byDigest.get(digestOf(text)));
  }

  byJti(jti: string): FoundToken | undefined {
    return toRecord(this.#byJti.get(jti));
  }

  /** Within a commit: forgets up to `limit` tokens that ended before `beforeMs`; answers how many. */
  purge(beforeMs: number, limit: number): number {
    return Number(this.#purge.run(beforeMs, limit).changes);
  }
}

function toRecord(row: Record<string, unknown> | undefined): FoundToken | undefined {
  if (row === undefined) return undefined;
  return {
    jti: String(row['jti']),
    digest: String(row['digest']),
    format: row['format'] === 'opaque' ? 'opaque' : 'jwt',
    issuer: String(row['issuer']),
    clientId: String(row['client_id']),
    subject: String(row['subject']),
    audience: JSON.parse(String(row['audience'])) as string[],
    scope: String(row['scope']),
    keytype: String(row['keytype']),
    issuedAtMs: Number(row['issued_at_ms']),
    endsAtMs: Number(row['ends_at_ms']),
  };
}
