import { deniedByCutoff } from './cutoff.ts';
import { FINGERPRINT_WORDS, Fingerprinter } from './fingerprint.ts';
import type { SharedList, Tables } from './revocation-list.ts';
import { MAX_RULE_NAMES, RuleShapesReader, shapeNames } from './rule-shapes.ts';
import { SharedState } from './shared-state.ts';
import { TableReader } from './table/table-reader.ts';
import type { TokenDigest, TokenIdentity } from './token-identity.ts';
import { classOf, keyOfDigest } from './token-key.ts';

/** The three things one can know of a token's revocation. */
export type RevocationAnswer = 'revoked' | 'clear' | 'unknown';

/** How much is known: `fresh`; `stale`: something may have been missed; `never`: nothing was known yet. */
export type Knowledge = 'fresh' | 'stale' | 'never';

export interface ReaderOptions {
  /** Milliseconds. */
  readonly maxStalenessMs: number;
  readonly clockSkewMs: number;
  /** A gap that is not closed counts as stale. */
  readonly staleInGap: boolean;
  /** Claims that hold a client id, beside those that always count. */
  readonly consumerKeyClaims: readonly string[];
  /**
   * A revoked token lives longer than its entry is kept: the entry has to be prolonged, by the list's only writer.
   * @param at word of `prints` at which the fingerprint begins
   */
  readonly onOutlived: (prints: Uint32Array, at: number, expiresAtMs: number) => void;
}

/** Stands for the prints of a token of which it cannot be said whether a rule matches it. */
const UNKNOWABLE = new Uint32Array(0);

/**
 * What the request path asks: reads the list in shared memory, synchronously, without locks and without I/O. Every thread has one.
 */
export class RevocationReader {
  readonly #options: ReaderOptions;
  readonly #state: SharedState;
  readonly #tokens: TableReader;
  readonly #rules: TableReader;
  readonly #shapes: RuleShapesReader;
  readonly #fingerprinter: Fingerprinter;

  constructor(list: SharedList, options: ReaderOptions) {
    this.#options = options;
    this.#state = new SharedState(list.state);
    this.#tokens = new TableReader(list.tokens);
    this.#rules = new TableReader(list.rules);
    this.#shapes = new RuleShapesReader(list.shapes);
    this.#fingerprinter = new Fingerprinter(list.secret);
  }

  /** Reads other tables from now on: they were rewritten into less memory. */
  replace(tables: Tables): void {
    this.#tokens.replace(tables.tokens);
    this.#rules.replace(tables.rules);
  }

  /** Asked on every request, after the verified-token cache. What is known revoked comes before unknown: 401 before 503. */
  check(token: TokenIdentity): RevocationAnswer {
    // Before the list is asked: what makes it fresh is written behind what was heard, and could be between the two.
    const fresh = this.knowledge() === 'fresh';
    if (this.revokedBy(token) !== undefined) return 'revoked';
    return fresh ? 'clear' : 'unknown';
  }

  /** What denies this verified token: an entry of its own, or a rule. Undefined: nothing does. */
  revokedBy(token: TokenIdentity): 'token' | 'rule' | undefined {
    if (this.#coversToken(token)) return 'token';
    return this.#coveredByRule(token) ? 'rule' : undefined;
  }

  /**
   * As long as this stays the same, {@link revokedBy} denies no token that it did not deny before (unless the clock is set back), and no rule was
   * lifted. Read it before asking: what is added while the answer is found is only behind the next reading of it.
   */
  get changes(): number {
    // Each grows by itself: a shape of rules that is looked for from now on shows in the second alone.
    return this.#state.changes + this.#shapes.version;
  }

  /** Whether an entry has this fingerprint: for the operator who waits until every thread sees a revocation. */
  holds(prints: Uint32Array, table: 'tokens' | 'rules'): boolean {
    if (table === 'rules') return this.#rules.latestCutoff(prints, 0) >= 0;
    for (let at = 0; at < prints.length; at += FINGERPRINT_WORDS)
      if (this.#tokens.endOf(prints, at) !== 0) return true;
    return false;
  }

  knowledge(): Knowledge {
    if (!this.#state.known) return 'never';
    if (this.#options.staleInGap && this.#state.gap) return 'stale';
    return this.#state.stalenessMs() > this.#options.maxStalenessMs ? 'stale' : 'fresh';
  }

  /**
   * The time that tokens are checked against, epoch milliseconds: the wall clock, but never before the end of a revocation that was
   * already forgotten. So a clock that is set back revives nothing, and one that was fast at start and is then corrected harms nobody.
   */
  now(): number {
    return Math.max(Date.now(), this.#state.forgottenUntilMs);
  }

  #coversToken(token: TokenIdentity): boolean {
    const { digests, scopes } = token;
    let covered = false;
    let at = -FINGERPRINT_WORDS;
    for (let s = 0; s < scopes.length; s++) {
      const scope = scopes[s] ?? null;
      for (let d = 0; d < digests.length; d++) {
        at += FINGERPRINT_WORDS;
        const name = digests[d];
        if (name === undefined || !this.#state.holdsClass(classOf(name.kind, scope))) continue;
        const prints = this.#printed(token, name, scope, at);
        const end = this.#tokens.endOf(prints, at);
        if (end === 0) continue;
        covered = true;
        if (end * 1000 < token.expiresAtMs) this.#options.onOutlived(prints, at, token.expiresAtMs);
      }
    }
    return covered;
  }

  /** The token's fingerprints, with that of this name at `at`. */
  #printed(
    token: TokenIdentity,
    { kind, digest }: TokenDigest,
    scope: string | null,
    at: number,
  ): Uint32Array {
    const { digests, scopes } = token;
    const prints = (token.prints ??= new Uint32Array(
      digests.length * scopes.length * FINGERPRINT_WORDS,
    ));
    // One that really is zero would only be made each time.
    for (let word = at; word < at + FINGERPRINT_WORDS; word++)
      if (prints[word] !== 0) return prints;
    this.#fingerprinter.write(keyOfDigest(kind, scope, digest), prints, at);
    return prints;
  }

  #coveredByRule(token: TokenIdentity): boolean {
    if (token.claims === undefined) return false;
    const { version } = this.#shapes;
    if (version === 0) return false;
    if (token.rulePrints?.version !== version) token.rulePrints = this.#rulePrints(token);
    const { prints } = token.rulePrints;
    if (prints === UNKNOWABLE) return true;
    let cutoff = -1;
    for (let at = 0; at < prints.length; at += FINGERPRINT_WORDS)
      cutoff = Math.max(cutoff, this.#rules.latestCutoff(prints, at));
    return deniedByCutoff(token.claims['iat'], cutoff, this.now(), this.#options.clockSkewMs);
  }

  #rulePrints({ claims = {}, issuers = [] }: TokenIdentity): {
    version: number;
    prints: Uint32Array;
  } {
    const { version, shapes } = this.#shapes.read();
    const names: string[] = [];
    for (const shape of shapes) {
      const some = shapeNames(shape, claims, issuers, this.#options.consumerKeyClaims);
      if (some === undefined || names.length + some.length > MAX_RULE_NAMES)
        return { version, prints: UNKNOWABLE };
      names.push(...some);
    }
    return { version, prints: this.#fingerprinter.of(names) };
  }
}
