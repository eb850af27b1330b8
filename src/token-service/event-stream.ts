import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { unavailable } from './oauth-error.ts';
import { deadBefore } from './options.ts';
import type { RevocationRecord } from './revocation-records.ts';
import { type Answer, NO_STORE } from './router.ts';
import type { ServiceState } from './service-state.ts';

/** Bounds of the interval between heartbeats that a reader may ask for, milliseconds. */
const SHORTEST_HEARTBEAT_MS = 250;
const LONGEST_HEARTBEAT_MS = 30_000;
/** Events written at one time: what a reader that stands still can cost, beside its socket's buffer. */
const PAGE = 200;

interface Reader {
  readonly response: ServerResponse;
  /** Everything up to this position was sent, or is dead. */
  seq: number;
  /** The last position that the reader was told: what it compares heartbeats with. */
  told: number;
  /** False while a page is on its way to it. */
  idle: boolean;
}

/**
 * `GET /internal/data/v1/revocation-events`: every revocation as server-sent events (WHATWG HTML section 9.2). A reader gets the whole list
 * first, or what came after its `Last-Event-ID` when that is a position in this very state; then each revocation as it is committed.
 *
 * Readers pull: each holds a position in the database and gets the next page when it took the last one, so none holds memory. One that
 * takes nothing for `slowReaderMs` is cut off and comes back with its position.
 *
 * `?heartbeat=<ms>` asks for another interval between heartbeats; the field `Heartbeat-Interval` answers which one it is. Heartbeats and the
 * field `Stream-Time` carry one monotonic clock of this service in milliseconds, so that a reader knows how old a heartbeat is that was long on
 * its way.
 */
export class EventStream {
  readonly #state: ServiceState;
  readonly #readers = new Set<Reader>();
  readonly #unsubscribe: () => void;

  constructor(state: ServiceState) {
    this.#state = state;
    this.#unsubscribe = state.revocations.onRevoked(() => {
      for (const reader of this.#readers) this.#wake(reader);
    });
  }

  /** Serves one reader until it leaves, is too slow, or the service closes. Rejects with OAuthError before the first byte only. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<Answer | undefined> {
    if (request.method === 'HEAD') return { status: 405, headers: { Allow: 'GET' } };
    await this.#state.principals.reader(request);
    const { accept } = request.headers;
    if (accept !== undefined && !/text\/event-stream|text\/\*|\*\/\*/i.test(accept)) {
      return { status: 406, headers: NO_STORE };
    }
    if (this.#readers.size >= this.#state.settings.maxEventReaders) {
      throw unavailable('There are too many readers');
    }
    // Not idle until the greeting is through: what is committed meanwhile comes after it.
    const reader: Reader = { response, seq: 0, told: 0, idle: false };
    this.#readers.add(reader);
    const heartbeatMs = askedHeartbeatMs(request.url) ?? this.#state.settings.heartbeatMs;
    const heart = setInterval(() => this.#beat(reader), heartbeatMs).unref();
    response.once('close', () => {
      clearInterval(heart);
      this.#readers.delete(reader);
    });
    response.writeHead(200, {
      ...NO_STORE,
      'Content-Type': 'text/event-stream',
      'Heartbeat-Interval': String(heartbeatMs),
      // Rounded up here and down in heartbeats, so that no heartbeat seems later than it is.
      'Stream-Time': String(Math.ceil(performance.now())),
    });
    await this.#greet(reader, request.headers['last-event-id']);
    return undefined;
  }

  close(): void {
    this.#unsubscribe();
    for (const { response } of this.#readers) response.end();
  }

  async #greet(reader: Reader, lastEventId: string | string[] | undefined): Promise<void> {
    const { revocations, database } = this.#state;
    const newest = revocations.newestSeq();
    const resumed = this.#usable(lastEventId, newest);
    let sent = true;
    if (resumed === undefined) {
      sent = await this.#write(
        reader,
        `event: snapshot-begin\ndata: ${JSON.stringify({ generation: database.generation })}\n\n`,
      );
    } else {
      reader.seq = resumed;
      reader.told = resumed;
    }
    let count = 0;
    while (sent && reader.seq < newest) {
      const page = revocations.after(reader.seq, PAGE).filter(({ seq }) => seq <= newest);
      count += this.#live(page).length;
      sent = await this.#send(reader, page);
      reader.seq = page.at(-1)?.seq ?? newest;
    }
    const data = JSON.stringify({ count });
    if (resumed === undefined) {
      reader.told = newest;
      sent &&= await this.#write(
        reader,
        `event: snapshot-end\nid: ${this.#id(newest)}\ndata: ${data}\n\n`,
      );
    } else {
      sent &&= await this.#write(reader, `event: replay-end\ndata: ${data}\n\n`);
    }
    if (!sent) return;
    reader.idle = true;
    this.#wake(reader);
  }

  /** The position in a `Last-Event-ID`, when nothing that came after it can be missing here. */
  #usable(lastEventId: string | string[] | undefined, newest: number): number | undefined {
    const [, generation, digits] = /^([0-9a-f]{32})-(\d{1,15})$/.exec(String(lastEventId)) ?? [];
    if (generation !== this.#state.database.generation) return undefined;
    const seq = Number(digits);
    return seq <= newest && seq >= this.#state.revocations.purgedThrough() ? seq : undefined;
  }

  #wake(reader: Reader): void {
    if (!reader.idle) return;
    reader.idle = false;
    void this.#catchUp(reader).catch(() => {
      // The database failed: without its list this reader must not believe that it misses nothing.
      reader.response.destroy();
    });
  }

  async #catchUp(reader: Reader): Promise<void> {
    for (;;) {
      const page = this.#state.revocations.after(reader.seq, PAGE);
      const last = page.at(-1);
      if (last === undefined) break;
      if (!(await this.#send(reader, page))) return;
      reader.seq = last.seq;
    }
    reader.idle = true;
  }

  async #send(reader: Reader, page: readonly RevocationRecord[]): Promise<boolean> {
    const live = this.#live(page);
    reader.told = live.at(-1)?.seq ?? reader.told;
    return await this.#write(reader, live.map((record) => this.#event(record)).join(''));
  }

  /** True when the reader took it; false when it is gone, or was cut off because it takes nothing. */
  async #write({ response }: Reader, text: string): Promise<boolean> {
    if (response.destroyed || response.writableEnded) return false;
    if (text === '' || response.write(text)) return true;
    const tooSlow = AbortSignal.timeout(this.#state.settings.slowReaderMs);
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    response.once('close', onClose);
    try {
      await once(response, 'drain', { signal: AbortSignal.any([tooSlow, gone.signal]) });
      return true;
    } catch {
      if (!gone.signal.aborted) {
        this.#state.log.warn('TokenService', 'a reader of the event stream is too slow: cut off');
        response.destroy();
      }
      return false;
    } finally {
      response.off('close', onClose);
    }
  }

  /** Only to a reader that has everything, with the last position that it was told: a proof that nothing is missing up to now. */
  #beat(reader: Reader): void {
    if (!reader.idle) return;
    reader.idle = false;
    const data = JSON.stringify({
      newest: this.#id(reader.told),
      at: Math.floor(performance.now()),
    });
    void this.#write(reader, `event: heartbeat\ndata: ${data}\n\n`).then((sent) => {
      if (!sent) return;
      reader.idle = true;
      this.#wake(reader);
    });
  }

  #live(page: readonly RevocationRecord[]): readonly RevocationRecord[] {
    const before = deadBefore(this.#state.settings);
    return page.filter(({ endsAtMs }) => endsAtMs >= before);
  }

  #event({ seq, jti, digest, issuer, endsAtMs }: RevocationRecord): string {
    const which = digest === undefined ? { token: jti } : { digest };
    const data = JSON.stringify({ ...which, issuer, expiryTime: endsAtMs });
    return `event: revoked\nid: ${this.#id(seq)}\ndata: ${data}\n\n`;
  }

  #id(seq: number): string {
    return `${this.#state.database.generation}-${seq}`;
  }
}

/** Milliseconds between heartbeats that the query asks for, within the bounds; undefined when it asks for none. */
function askedHeartbeatMs(target: string | undefined): number | undefined {
  const query = target?.split('?', 2)[1];
  const asked = query === undefined ? null : new URLSearchParams(query).get('heartbeat');
  if (asked === null || !/^\d{1,9}$/.test(asked)) return undefined;
  return Math.min(Math.max(Number(asked), SHORTEST_HEARTBEAT_MS), LONGEST_HEARTBEAT_MS);
}
