import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { OperatorError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { HttpClient } from '../net/http-client.ts';
import type { RevocationSink, RevocationSource } from '../revocation/source.ts';
import { StreamReader, type StreamPosition } from './event-stream-reader.ts';
import { headerOf, statusReason } from './json-answer.ts';
import { Bell, Round, together } from './rounds.ts';
import {
  basicAuthorization,
  isLoopback,
  parseSourceAddress,
  type SourceCredentials,
} from './source-address.ts';

export interface EventStreamOptions {
  readonly name: string;
  /** `endpointURL`: the token service's event stream. TLS, unless the host is this machine. */
  readonly url: string;
  /** HTTP Basic. Absent: what the URL says, or a client certificate. */
  readonly credentials?: SourceCredentials | undefined;
  /** True when `http` offers a client certificate. */
  readonly hasClientCertificate?: boolean;
  readonly http: HttpClient;
  readonly log: Log;
  /** Milliseconds from one whole snapshot to the next. Default 3,600,000: heartbeats prove completeness in between. */
  readonly reconcileIntervalMs?: number | undefined;
  /** Milliseconds between the heartbeats that the token service is asked for. Default: as it is configured, which is 5,000. */
  readonly proofIntervalMs?: number | undefined;
  /**
   * Milliseconds without an event after which the link counts as broken, where the token service does not say how often its heart beats; where
   * it does, it is three beats. Default 15,000.
   */
  readonly idleTimeoutMs?: number;
  /** Revocations that one snapshot may have. Default: no limit. */
  readonly maxEntries?: number | undefined;
}

const RECONCILE_INTERVAL_MS = 3_600_000;
const IDLE_TIMEOUT_MS = 15_000;
/** Heartbeats that may be missing, and the least milliseconds that this is taken for. */
const MISSING_BEATS = 3;
const SHORTEST_SILENCE_MS = 1_000;
/** Least milliseconds that the head of the answer is waited for: one that does not come keeps the next attempt waiting. */
const SHORTEST_ANSWER_MS = 5_000;
const LONGEST_HEARTBEAT_MS = 30_000;
/** Events taken at a time, so that nobody waits for a long snapshot. */
const EVENTS_PER_REST = 100;
/** Characters of one event; a whole JWT fits. */
const MAX_EVENT_LENGTH = 64 * 1024;
const LOG_KEY = 'TokenRevocationEventStream';

/**
 * The event stream of Portcullis's own token service: a snapshot, then server-sent events. After a break it asks with `Last-Event-ID` only
 * for what is newer; heartbeats name the newest event, so that a gap is noticed at once and closed by a new connection.
 * @throws OperatorError when the address cannot be used, is not TLS, or nobody would be authenticated
 */
export function createEventStreamSource(options: EventStreamOptions): RevocationSource {
  const { name, http, log } = options;
  const { url, credentials: own } = parseSourceAddress(options.url, name);
  const credentials = options.credentials ?? own;
  if (url.protocol !== 'https:' && !isLoopback(url))
    throw new OperatorError(
      'ERR_SOURCE_ADDRESS',
      `source ${name}: an event stream of another machine needs https://`,
    );
  if (credentials === undefined && options.hasClientCertificate !== true)
    throw new OperatorError(
      'ERR_SOURCE_ADDRESS',
      `source ${name}: an event stream needs a user name and password, or a client certificate`,
    );
  const idleTimeoutMs = options.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
  const answerTimeoutMs = Math.min(
    idleTimeoutMs,
    Math.max(SHORTEST_ANSWER_MS, MISSING_BEATS * (options.proofIntervalMs ?? idleTimeoutMs)),
  );
  const asked = new URL(url);
  if (options.proofIntervalMs !== undefined)
    asked.searchParams.set('heartbeat', String(Math.max(1, Math.floor(options.proofIntervalMs))));
  const bell = new Bell();
  /** How far a sink was served: another sink has seen nothing of it. */
  let served: { readonly sink: RevocationSink; readonly position: StreamPosition } | undefined;

  /** One connection, until it breaks, is not gapless any more, or `signal` aborts. */
  async function connection(sink: RevocationSink, signal: AbortSignal): Promise<void> {
    const round = new Round(signal, answerTimeoutMs);
    let quietMs = answerTimeoutMs;
    const allow = (ms: number): void => {
      quietMs = ms;
      round.allow(ms);
    };
    try {
      await read(sink, round, allow);
    } catch (error) {
      throw round.quiet ? new Error(`nothing came for ${quietMs} ms`, { cause: error }) : error;
    } finally {
      round.close();
    }
  }

  async function read(
    sink: RevocationSink,
    round: Round,
    allow: (quietMs: number) => void,
  ): Promise<void> {
    const from = served?.sink === sink ? served.position : undefined;
    const askedAt = performance.now();
    const { status, headers, body } = await http.stream({
      method: 'GET',
      url: asked.href,
      headers: {
        accept: 'text/event-stream',
        'cache-control': 'no-store',
        ...(credentials && { authorization: basicAuthorization(credentials) }),
        ...(from && { 'last-event-id': from.id }),
      },
      // The round is stricter.
      idleTimeoutMs: 2 * Math.max(idleTimeoutMs, MISSING_BEATS * LONGEST_HEARTBEAT_MS),
      timeoutMs: answerTimeoutMs,
      signal: round.signal,
    });
    // A body that nobody reads closes by itself.
    if (status !== 200) throw new Error(`the event stream answers ${statusReason(status)}`);
    if (headerOf(headers, 'content-type')?.split(';')[0]?.trim() !== 'text/event-stream')
      throw new Error('the answer is not an event stream');
    const beatMs = milliseconds(headerOf(headers, 'heartbeat-interval'));
    allow(
      beatMs === undefined
        ? idleTimeoutMs
        : Math.max(SHORTEST_SILENCE_MS, MISSING_BEATS * Math.min(beatMs, LONGEST_HEARTBEAT_MS)),
    );

    const reader = new StreamReader(sink, from, {
      askedAt,
      serverMs: milliseconds(headerOf(headers, 'stream-time')),
      maxEntries: options.maxEntries,
    });
    let taken = 0;
    try {
      for await (const event of serverSentEvents(body)) {
        if (round.signal.aborted) break;
        round.touch();
        reader.take(event);
        if (++taken % EVENTS_PER_REST === 0) await sink.rest?.();
      }
    } finally {
      const { position } = reader;
      served = position && { sink, position };
    }
    throw new Error('the token service ended the event stream');
  }

  return {
    name,
    kind: 'list',
    reread: () => bell.ring(),
    async follow(sink, signal) {
      while (!signal.aborted) {
        let reread = false;
        await together(signal, [
          (signal) => connection(sink, signal),
          async (signal) => {
            await bell.pause(options.reconcileIntervalMs ?? RECONCILE_INTERVAL_MS, signal);
            reread = !signal.aborted;
          },
        ]);
        if (!reread) continue;
        served = undefined;
        log.debug(LOG_KEY, `Source ${name} asks for a whole snapshot`);
      }
    },
  };
}

/** The value of a field that is a number of milliseconds. */
function milliseconds(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}

/** Server-sent events of a body (WHATWG HTML, section 9.2), each of bounded length. */
async function* serverSentEvents(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<EventSourceMessage> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let events: EventSourceMessage[] = [];
  let failure: Error | undefined;
  const parser = createParser({
    maxBufferSize: MAX_EVENT_LENGTH,
    onEvent: (event) => events.push(event),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') failure = new Error('an event is too large');
    },
  });
  for await (const chunk of body) {
    parser.feed(decoder.decode(chunk, { stream: true }));
    const ready = events;
    events = [];
    yield* ready;
    if (failure !== undefined) throw failure;
  }
}
