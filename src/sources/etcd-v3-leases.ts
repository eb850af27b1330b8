import { systemClock } from '../revocation/clock.ts';
import { int64, type EtcdV3Client } from './etcd-v3-client.ts';

/** Lookups under way at once. */
const AT_ONCE = 16;
/** Lookups for one reading of the whole list; entries beyond it are kept as long as any token may live. */
const MOST_PER_READ = 10_000;
/** Leases remembered. */
const MOST_KNOWN = 100_000;
/** Milliseconds for one lookup: a revocation waits for it. */
const TIMEOUT_MS = 2_000;

/** How long etcd's leases last. A lease that cannot be looked up has no known end, which keeps its entries longer, never shorter. */
export class EtcdLeases {
  readonly #client: EtcdV3Client;
  /** End in epoch milliseconds by lease id; null: asked without an answer. */
  readonly #ends = new Map<string, number | null>();
  #budget = MOST_PER_READ;

  constructor(client: EtcdV3Client) {
    this.#client = client;
  }

  /** Call before reading the whole list. */
  beginRead(): void {
    this.#budget = MOST_PER_READ;
    const now = systemClock.latest();
    for (const [id, end] of this.#ends) if (end !== null && end < now) this.#ends.delete(id);
    if (this.#ends.size > MOST_KNOWN) this.#ends.clear();
  }

  /** Looks up those of the ids that are not known yet; never rejects. */
  async lookUp(ids: Iterable<string>, signal: AbortSignal): Promise<void> {
    const unknown = [...new Set(ids)].filter((id) => !this.#ends.has(id));
    const asked = unknown.slice(0, this.#budget);
    this.#budget -= asked.length;
    const lookUpNext = async (): Promise<void> => {
      for (let id = asked.pop(); id !== undefined && !signal.aborted; id = asked.pop())
        this.#ends.set(id, await this.#endOf(id, signal));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lookUpNext));
  }

  /** Seconds left of a lease that was looked up; undefined when nobody knows. */
  secondsLeft(id: string, nowMs: number): number | undefined {
    const end = this.#ends.get(id);
    return typeof end === 'number' ? Math.max(0, Math.ceil((end - nowMs) / 1000)) : undefined;
  }

  async #endOf(id: string, signal: AbortSignal): Promise<number | null> {
    try {
      const answer = await this.#client.call(
        '/lease/timetolive',
        { ID: id },
        { signal, timeoutMs: TIMEOUT_MS },
      );
      const seconds = int64(answer['TTL']);
      // -1: it has just ended, and its entries with it. The whole second that etcd cut off is added.
      return seconds === undefined
        ? null
        : systemClock.latest() + (Math.max(0, seconds) + 1) * 1000;
    } catch {
      return null;
    }
  }
}
