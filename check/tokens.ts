import { claimsOf, type TestIssuer } from '../test/support/issuer.ts';
import type { History } from './history.ts';
import type { Random } from './random.ts';

/** Seconds that most tokens live. */
const LONG_LIFE = 86_400;
/** Seconds of a token that a stepped clock takes for expired. */
const SHORT_LIFE = 600;

/** One token of a run. In the history it has its name only. */
export interface Token {
  /** `t1`, `t2`, ... */
  readonly name: string;
  readonly jwt: string;
  readonly jti: string;
  readonly issuer: string;
  readonly subject: string;
  /** Epoch seconds. */
  readonly issuedAt: number;
  /** Epoch seconds. */
  readonly expiresAt: number;
  readonly of: 'local' | 'service';
  /** Nobody is to revoke it. */
  readonly keeper: boolean;
  /** No client replays it: it is looked at when it matters only. A hit would make the gateway keep its entry. */
  readonly quiet: boolean;
  /** When somebody began to revoke it, by the history's clock. */
  revokedAt: number | undefined;
}

/** Every token of one run, and which to look at next. */
export class Tokens {
  readonly all: Token[] = [];
  readonly #byJti = new Map<string, Token>();
  readonly #history: History;
  readonly #prefix: string;

  /** @param prefix of the names, so that runs on the same servers are told apart */
  constructor(history: History, prefix: string) {
    this.#history = history;
    this.#prefix = prefix;
  }

  byJti(jti: string): Token | undefined {
    return this.#byJti.get(jti);
  }

  byName(name: string): Token | undefined {
    return this.all[Number(name.slice(this.#prefix.length)) - 1];
  }

  /** Signs a token here. `issuedAt` is in epoch seconds. */
  local(
    issuer: TestIssuer,
    how: {
      readonly keeper: boolean;
      readonly subject?: string;
      readonly short?: boolean;
      readonly issuedAt?: number;
      readonly quiet?: boolean;
    },
  ): Token {
    const issuedAt = how.issuedAt ?? Math.floor(Date.now() / 1000);
    const exp = Math.floor(Date.now() / 1000) + (how.short === true ? SHORT_LIFE : LONG_LIFE);
    const jwt = issuer.token({ iat: issuedAt, exp, sub: how.subject ?? 'kim' });
    return this.add(jwt, how.keeper, 'local', how.quiet);
  }

  /** Takes a token that somebody issued. */
  add(jwt: string, keeper: boolean, of: Token['of'], quiet = false): Token {
    const claims = claimsOf(jwt);
    const token: Token = {
      name: `${this.#prefix}${this.all.length + 1}`,
      jwt,
      jti: claims.jti,
      issuer: String(claims['iss']),
      subject: String(claims['sub']),
      issuedAt: Number(claims['iat']),
      expiresAt: Number(claims['exp']),
      of,
      keeper,
      quiet,
      revokedAt: undefined,
    };
    this.all.push(token);
    this.#byJti.set(token.jti, token);
    const at = this.#history.now();
    this.#history.add({
      type: 'issued',
      at,
      token: token.name,
      expiresAt: at + token.expiresAt * 1000 - Date.now(),
    });
    return token;
  }

  /** One to look at: newly revoked ones most often, for that is where mistakes show. */
  choose(random: Random): Token | undefined {
    const kind = random.next();
    const now = this.#history.now();
    const loud = this.all.filter(({ quiet }) => !quiet);
    const fitting = loud.filter(({ keeper, revokedAt }) => {
      if (kind < 0.45) return revokedAt !== undefined && now - revokedAt < 8_000;
      if (kind < 0.6) return revokedAt !== undefined;
      if (kind < 0.8) return keeper;
      return revokedAt === undefined;
    });
    const from = fitting.length > 0 ? fitting : loud;
    return from.length > 0 ? random.pick(from) : undefined;
  }
}
