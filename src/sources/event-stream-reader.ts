import type { EventSourceMessage } from 'eventsource-parser';
import type { RevocationSink } from '../revocation/source.ts';
import { ruleEventOf } from './decode/rule-text.ts';
import { EntryLimit } from './entry-limit.ts';
import { isJsonObject, parseJson, type JsonObject } from './json-answer.ts';

/** A place in the token service's sequence of revocations: event id `<generation>-<seq>`. */
export interface StreamPosition {
  readonly id: string;
  /** One run of the token service: numbers of different generations do not compare. */
  readonly generation: string;
  readonly seq: number;
}

/** What is known of a connection before its first event. */
interface StreamStart {
  /** When it was asked for, `performance.now()`. */
  readonly askedAt: number;
  /** What the server's monotonic clock said when it answered, milliseconds; undefined where it has not said. */
  readonly serverMs?: number | undefined;
  /** Revocations that a snapshot may have; absent: any number. */
  readonly maxEntries?: number | undefined;
}

/**
 * Applies the events of one connection, in order: `snapshot-begin`, `revoked`..., `snapshot-end`, or `revoked`..., `replay-end`; then `revoked`
 * and `heartbeat`. Throws when the order, a count or a heartbeat shows that something is missing.
 */
export class StreamReader {
  readonly #sink: RevocationSink;
  /** `start` is also the replay, until `replay-end`. */
  #phase: 'start' | 'snapshot' | 'live' = 'start';
  #position: StreamPosition | undefined;
  #snapshotGeneration = '';
  #snapshotCount = 0;
  #snapshotUsable = 0;
  readonly #start: StreamStart;
  readonly #limit: EntryLimit;

  /** @param from where an earlier connection ended, if the server was asked to go on from there */
  constructor(
    sink: RevocationSink,
    from: StreamPosition | undefined,
    start: StreamStart = { askedAt: performance.now() },
  ) {
    this.#sink = sink;
    this.#position = from;
    this.#start = start;
    this.#limit = new EntryLimit(start.maxEntries);
  }

  /** Everything up to here was applied without a gap; undefined while a snapshot is not complete. */
  get position(): StreamPosition | undefined {
    return this.#position;
  }

  /** @throws Error when the connection cannot be trusted to be gapless any more */
  take({ event, id, data }: EventSourceMessage): void {
    const value = parseJson(data);
    const body: JsonObject = isJsonObject(value) ? value : {};
    switch (event) {
      case 'snapshot-begin':
        return this.#beginSnapshot(body);
      case 'snapshot-end':
        return this.#endSnapshot(body, id);
      case 'replay-end':
        return this.#endReplay();
      case 'revoked':
        return this.#revoke(body, id);
      case 'heartbeat':
        return this.#compare(body);
      default:
      // Events of a newer server that this gateway does not know.
    }
  }

  #beginSnapshot(body: JsonObject): void {
    const { generation } = body;
    if (this.#phase !== 'start' || typeof generation !== 'string' || generation === '')
      throw new Error('a snapshot begins where none may');
    // The server could not go on from where we were: that place means nothing any more.
    this.#position = undefined;
    this.#phase = 'snapshot';
    this.#snapshotGeneration = generation;
  }

  #endSnapshot(body: JsonObject, id: string | undefined): void {
    const position = parsePosition(id);
    if (this.#phase !== 'snapshot' || position?.generation !== this.#snapshotGeneration)
      throw new Error('a snapshot ends where none was');
    if (body['count'] !== this.#snapshotCount) throw new Error('a snapshot is incomplete');
    // An unreadable list must never pass for an empty one.
    if (this.#snapshotCount > 0 && this.#snapshotUsable === 0)
      throw new Error(`none of the ${this.#snapshotCount} revocations of a snapshot could be read`);
    this.#position = position;
    this.#live();
  }

  #endReplay(): void {
    if (this.#phase !== 'start' || this.#position === undefined)
      throw new Error('a replay ends that was not asked for');
    this.#live();
  }

  #live(): void {
    this.#phase = 'live';
    this.#sink.complete();
    this.#sink.alive(this.#start.askedAt);
  }

  #revoke(body: JsonObject, id: string | undefined): void {
    const usable = this.#add(body);
    if (this.#phase === 'snapshot') {
      this.#snapshotCount++;
      this.#limit.count(1);
      if (usable) this.#snapshotUsable++;
      return;
    }
    const position = parsePosition(id);
    if (this.#position === undefined || position?.generation !== this.#position.generation)
      throw new Error('an event is of another store');
    // What comes twice is applied twice, which changes nothing.
    if (position.seq > this.#position.seq) this.#position = position;
  }

  /** Whether there was a revocation in it: of a token, or a rule of another token service. Ours sends no rules. */
  #add(body: JsonObject): boolean {
    if (body['claims'] !== undefined) {
      const event = ruleEventOf(body);
      if (typeof event === 'string') this.#sink.drop(event);
      else this.#sink.rule(event);
      return typeof event !== 'string';
    }
    const { token, digest, issuer, expiryTime, ttl } = body;
    const named = typeof issuer === 'string' ? { issuer } : {};
    const life = {
      ...(expiryTime !== undefined && { expiryTime }),
      ...(ttl !== undefined && { ttl }),
    };
    if (typeof token === 'string' && token !== '') this.#sink.add({ token, ...named, ...life });
    else if (typeof digest === 'string' && digest !== '')
      this.#sink.add({ digest, ...named, ...life });
    else {
      this.#sink.drop('no token in it');
      return false;
    }
    return true;
  }

  #compare(body: JsonObject): void {
    // Before the list is whole there is nothing to prove.
    if (this.#phase !== 'live') return;
    const newest = parsePosition(body['newest']);
    const { generation, seq } = this.#position ?? {};
    if (newest === undefined || newest.generation !== generation || newest.seq < (seq ?? 0)) {
      this.#position = undefined;
      throw new Error('the token service has another store now');
    }
    if (newest.seq !== seq) throw new Error('an event was missed');
    this.#sink.alive(this.#sentAt(body['at']));
  }

  /**
   * When a heartbeat was sent, by our clock, or a moment before: one that was held up on its way, or read late by a process that stood still,
   * proves nothing of the time since. Undefined where the server does not say.
   */
  #sentAt(at: unknown): number | undefined {
    const { askedAt, serverMs } = this.#start;
    if (typeof at !== 'number' || serverMs === undefined) return undefined;
    return Math.min(askedAt + Math.max(0, at - serverMs), performance.now());
  }
}

function parsePosition(id: unknown): StreamPosition | undefined {
  if (typeof id !== 'string' || id.length > 200) return undefined;
  const [, generation, digits] = /^([\x21-\x7e]+)-(\d{1,16})$/.exec(id) ?? [];
  if (generation === undefined || digits === undefined) return undefined;
  const seq = Number(digits);
  return Number.isSafeInteger(seq) ? { id, generation, seq } : undefined;
}
