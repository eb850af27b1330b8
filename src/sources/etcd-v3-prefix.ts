import { systemClock } from '../revocation/clock.ts';
import type { RevocationSink } from '../revocation/source.ts';
import { deliverEntry, entryHints, hintsOfValue } from './etcd-entry.ts';
import type { EntryLimit } from './entry-limit.ts';
import { keepMs, type EtcdLink } from './etcd-link.ts';
import { int64, type EtcdV3Client } from './etcd-v3-client.ts';
import { EtcdLeases } from './etcd-v3-leases.ts';
import { isJsonObject, type JsonObject } from './json-answer.ts';

const PAGE_LIMIT = 500;
/** Keys taken at a time, so that nobody waits for a long list. */
const KEYS_PER_REST = 100;
/** Changes that are caught up with beside the watch; beyond it everything is read again, which costs etcd less. */
const CATCH_UP_LIMIT = 5_000;
/** Milliseconds for one page, or one question whether anything was missed: the interval of these questions, within these bounds. */
const [SHORTEST_TIMEOUT_MS, LONGEST_TIMEOUT_MS] = [5_000, 10_000];
const NO_LEASE = new Set<unknown>([undefined, '0', 0]);

/** Where a watch goes on. */
export interface Position {
  /** First revision that was not seen yet. */
  nextRevision: number;
  /** Everything that is there and was written up to this revision was added, be it by the watch or not. */
  provedRevision: number;
  readonly clusterId: string;
}

/** The keys below one prefix of API v3. Several prefixes of one source share their client. */
export class EtcdV3Prefix {
  readonly #link: EtcdLink;
  readonly #client: EtcdV3Client;
  readonly #sink: RevocationSink;
  readonly #leases: EtcdLeases;
  readonly #prefix: Buffer;
  /** First and end key of the range, base64. */
  readonly range: { readonly key: string; readonly range_end: string };

  constructor(link: EtcdLink, client: EtcdV3Client, sink: RevocationSink, prefix: string) {
    this.#link = link;
    this.#client = client;
    this.#sink = sink;
    this.#leases = new EtcdLeases(client);
    this.#prefix = Buffer.from(prefix, 'utf8');
    this.range = { key: firstKey(this.#prefix), range_end: endKey(this.#prefix) };
  }

  /** Adds everything that is there, page by page at one revision, and says from where to watch. */
  async readAll(limit: EntryLimit, signal: AbortSignal): Promise<Position> {
    this.#leases.beginRead();
    let position: Position | undefined;
    for (let key: string | undefined = this.range.key; key !== undefined;) {
      const page: JsonObject = await this.#client.call(
        '/kv/range',
        {
          key,
          range_end: this.range.range_end,
          limit: String(PAGE_LIMIT),
          ...(position && { revision: String(position.nextRevision - 1) }),
        },
        { signal, timeoutMs: this.#timeoutMs, maxBytes: this.#link.maxBytes },
      );
      if (position === undefined) {
        // Known before anything is added: of all pages together.
        limit.count(int64(page['count']) ?? 0);
        position = positionOf(page);
      }
      const kvs = page['kvs'] ?? [];
      if (!Array.isArray(kvs)) throw new Error("etcd's list of keys is no list");
      await this.addAll(kvs, signal);
      key = page['more'] === true ? keyAfter(kvs.at(-1)) : undefined;
    }
    if (position === undefined) throw new Error('etcd gave no revision');
    return position;
  }

  /**
   * Adds what was written behind `position` and may not have come over the watch. When it resolves to true, everything that is there at
   * that moment was added; false: there is too much of it to be caught up with here. The reads are linearizable, so a member of the cluster
   * that lost its leader cannot answer them.
   * @throws Error when the store is another one, or an older copy of it
   */
  async catchUp(position: Position, signal: AbortSignal): Promise<boolean> {
    const known = Math.max(position.nextRevision - 1, position.provedRevision);
    // One key first: etcd filters by revision only after it has read the whole range.
    const { key } = this.range;
    const now = await this.#ask({ key, keys_only: true }, position, known, signal);
    if (now.revision === known) return true;
    const { answer, revision } = await this.#ask(
      { ...this.range, limit: String(CATCH_UP_LIMIT), min_mod_revision: String(known + 1) },
      position,
      known,
      signal,
    );
    const kvs = answer['kvs'] ?? [];
    if (!Array.isArray(kvs)) throw new Error("etcd's list of keys is no list");
    await this.addAll(kvs, signal);
    if (answer['more'] === true || signal.aborted) return false;
    position.provedRevision = Math.max(position.provedRevision, revision);
    return true;
  }

  get #timeoutMs(): number {
    return Math.max(SHORTEST_TIMEOUT_MS, Math.min(this.#link.proofIntervalMs, LONGEST_TIMEOUT_MS));
  }

  async #ask(
    range: JsonObject,
    position: Position,
    known: number,
    signal: AbortSignal,
  ): Promise<{ readonly answer: JsonObject; readonly revision: number }> {
    const { maxBytes } = this.#link;
    const limits = { signal, timeoutMs: this.#timeoutMs, maxBytes };
    const answer = await this.#client.call('/kv/range', range, limits);
    const { provedRevision: revision, clusterId } = positionOf(answer);
    if (clusterId !== position.clusterId)
      throw new Error('the endpoint belongs to another cluster now');
    if (revision < known) throw new Error("the store's revision went back");
    return { answer, revision };
  }

  /** Adds key-value pairs as the gateway writes them. */
  async addAll(kvs: readonly unknown[], signal: AbortSignal): Promise<void> {
    const leases = kvs.filter(needsLease).map((kv) => String(kv['lease']));
    if (leases.length > 0) await this.#leases.lookUp(leases, signal);
    if (signal.aborted) return;
    const now = systemClock.latest();
    for (const [index, kv] of kvs.entries()) {
      this.#add(kv, now);
      if (index % KEYS_PER_REST === KEYS_PER_REST - 1) await this.#sink.rest?.();
    }
  }

  #add(kv: unknown, now: number): void {
    const key = isJsonObject(kv) ? kv['key'] : undefined;
    if (!isJsonObject(kv) || typeof key !== 'string') {
      this.#sink.drop('entry has no key');
      return;
    }
    const bytes = Buffer.from(key, 'base64');
    if (!bytes.subarray(0, this.#prefix.length).equals(this.#prefix)) {
      this.#sink.drop('key is outside the prefix');
      return;
    }
    const token = utf8(bytes.subarray(this.#prefix.length));
    if (token === undefined || token === '') {
      this.#sink.drop(token === '' ? 'no token in it' : 'key is not UTF-8');
      return;
    }
    const secondsLeft = NO_LEASE.has(kv['lease'])
      ? undefined
      : this.#leases.secondsLeft(String(kv['lease']), now);
    const hints = entryHints(valueOf(kv), secondsLeft, keepMs(this.#link), now);
    deliverEntry(this.#sink, [token], hints);
  }
}

/** Entries that we wrote say their end themselves; for the others the lease does. */
function needsLease(kv: unknown): kv is JsonObject {
  return (
    isJsonObject(kv) &&
    !NO_LEASE.has(kv['lease']) &&
    hintsOfValue(valueOf(kv)).expiryTime === undefined
  );
}

function valueOf(kv: JsonObject): string {
  const { value } = kv;
  return typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : '';
}

/** Strictly: U+FFFD in place of other bytes would be another token. A byte order mark is part of the key. */
function utf8(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function positionOf(answer: JsonObject): Position {
  const { header } = answer;
  const revision = isJsonObject(header) ? int64(header['revision']) : undefined;
  const clusterId = isJsonObject(header) ? header['cluster_id'] : undefined;
  if (revision === undefined || typeof clusterId !== 'string')
    throw new Error('etcd gave no revision');
  return { nextRevision: revision + 1, provedRevision: revision, clusterId };
}

/** An empty prefix is the whole store, whose first key and end etcd writes as one NUL. */
function firstKey(prefix: Buffer): string {
  return (prefix.length === 0 ? Buffer.of(0) : prefix).toString('base64');
}

/** The first key behind all that begin with `prefix`. A prefix here is text, so its last byte is never 0xff. */
function endKey(prefix: Buffer): string {
  if (prefix.length === 0) return Buffer.of(0).toString('base64');
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return end.toString('base64');
}

function keyAfter(kv: unknown): string {
  const key = isJsonObject(kv) ? kv['key'] : undefined;
  if (typeof key !== 'string') throw new Error("etcd's list of keys cannot be continued");
  return Buffer.concat([Buffer.from(key, 'base64'), Buffer.of(0)]).toString('base64');
}
