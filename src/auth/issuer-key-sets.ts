import type { KeyRing } from './key-ring.ts';
import { type KeySetReading, RemoteKeySet } from './remote-key-set.ts';
import type { KeyRenewal } from './shared-key-ring.ts';
import { type TrustOptions, trustIssuers } from './trusted-issuers.ts';

export interface IssuerKeySetsOptions extends TrustOptions {
  /** Milliseconds of a clock that never steps and that every thread reads alike. */
  readonly monotonicNow: () => number;
  /** Called with every set that was read, before anybody who waits for it hears of it. */
  readonly onReading: (issuer: string, reading: KeySetReading) => void;
}

/**
 * The JWK Sets of all issuers, for threads that verify with {@link SharedKeyRing}: each is fetched here only, once for the whole gateway,
 * and what is weak or wrong in the issuers' configuration is said here.
 */
export class IssuerKeySets {
  readonly #rings: ReadonlyMap<string, KeyRing>;
  readonly #remote = new Map<string, RemoteKeySet>();
  readonly #monotonicNow: () => number;

  /** @throws OperatorError `ERR_ISSUER_KEY`, `ERR_ISSUER_TWICE`, `ERR_ISSUER_ALGORITHM`, `ERR_INTROSPECTION` */
  constructor(options: IssuerKeySetsOptions) {
    this.#monotonicNow = options.monotonicNow;
    const issuers = options.issuers.map((rules) => {
      const { issuer, keys } = rules;
      if (keys.kind !== 'jwks') return rules;
      const { onRead } = keys;
      return {
        ...rules,
        keys: {
          ...keys,
          onRead: (text: Parameters<NonNullable<typeof onRead>>[0]): void => {
            onRead?.(text);
            const reading = this.#remote.get(issuer)?.reading;
            if (reading !== undefined) options.onReading(issuer, reading);
          },
        },
      };
    });
    const trusted = trustIssuers({ ...options, issuers });
    this.#rings = new Map(trusted.map(({ rules, ring }) => [rules.issuer, ring]));
    for (const { rules, ring } of trusted)
      if (ring instanceof RemoteKeySet) this.#remote.set(rules.issuer, ring);
  }

  /** The keys themselves, for whoever verifies in this thread. */
  ringOf(issuer: string): KeyRing | undefined {
    return this.#rings.get(issuer);
  }

  /** What was read last, by issuer: what a new thread begins with. */
  get readings(): ReadonlyMap<string, KeySetReading> {
    const readings = new Map<string, KeySetReading>();
    for (const [issuer, { reading }] of this.#remote)
      if (reading !== undefined) readings.set(issuer, reading);
    return readings;
  }

  /** Asks an issuer anew, if that is due and possible. Never rejects. */
  async renew(issuer: string): Promise<KeyRenewal> {
    const ring = this.#remote.get(issuer);
    if (ring === undefined)
      return { renewal: { outcome: 'current' }, holdsUntilMs: Number.POSITIVE_INFINITY };
    const renewal = await ring.renew();
    const holdsUntilMs =
      renewal.outcome === 'current'
        ? ring.asksAgainAtMs
        : this.#monotonicNow() + renewal.retryAfterMs;
    return { renewal, holdsUntilMs };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#rings.values()].map((ring) => ring.close()));
  }
}
