import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Published } from '../admin/operations.ts';
import type { Lift, Rule } from '../revocation/rule.ts';
import type { OutgoingRevocation, RevocationPublisher } from '../revocation/source.ts';
import { readWholeJwt } from '../revocation/whole-jwt.ts';

/** How long an operator waits for a broker or store, milliseconds. What it has not taken by then is said to be not published. */
const PUBLISH_TIMEOUT_MS = 5_000;

/**
 * The token of an operator's revocation as other gateways are to hear of it: a JWT by its `jti`, where it has one. A bare value may be a
 * `jti`, so it goes as that of a JWT too: WSO2's gateways deny no `jti` that comes as anything else.
 * @param expiresAtMs epoch milliseconds
 */
export function outgoingToken(
  token: string,
  issuer: string | undefined,
  expiresAtMs: number,
): OutgoingRevocation {
  const jwt = readWholeJwt(token);
  const named = jwt?.jti === undefined || jwt.jti === '' ? undefined : jwt;
  const of = named?.issuer ?? issuer;
  return {
    eventId: randomUUID(),
    token: named?.jti ?? token,
    tokenType: 'JWT',
    ...(of === undefined ? {} : { issuer: of }),
    expiresAtMs,
  };
}

/** Hands a revocation, a rule or a lift to every channel that can take it, all at once. Never rejects. */
export class Publishing {
  readonly #publishers: readonly RevocationPublisher[];
  /** How often each channel took or refused something. */
  readonly counts = new Map<string, { done: number; failed: number }>();

  constructor(publishers: readonly RevocationPublisher[]) {
    this.#publishers = publishers;
    for (const { name } of publishers) this.counts.set(name, { done: 0, failed: 0 });
  }

  has(source: string): boolean {
    return this.counts.has(source);
  }

  token(revocation: OutgoingRevocation): Promise<readonly Published[]> {
    return this.#all((publisher) => publisher.publish(revocation));
  }

  rule(action: 'revoke' | 'lift', rule: Rule | Lift): Promise<readonly Published[]> {
    const outgoing = { eventId: randomUUID(), action, rule };
    return this.#all(
      (publisher) =>
        publisher.publishRule?.(outgoing) ??
        Promise.reject(new Error('this channel has no form for rules')),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#publishers.map((publisher) => publisher.close()));
  }

  #all(publish: (publisher: RevocationPublisher) => Promise<void>): Promise<readonly Published[]> {
    return Promise.all(
      this.#publishers.map(async (publisher): Promise<Published> => {
        const { name } = publisher;
        const count = this.counts.get(name) ?? { done: 0, failed: 0 };
        const over = new AbortController();
        const late = pause(PUBLISH_TIMEOUT_MS, undefined, { signal: over.signal }).then(() => {
          throw new Error(`no answer within ${PUBLISH_TIMEOUT_MS / 1000} s`);
        });
        late.catch(() => undefined);
        try {
          await Promise.race([publish(publisher), late]);
          count.done++;
          return { source: name, ok: true };
        } catch (error) {
          count.failed++;
          const reason = error instanceof Error ? error.message : 'failed without saying why';
          return { source: name, ok: false, reason };
        } finally {
          over.abort();
        }
      }),
    );
  }
}
