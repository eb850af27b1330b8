import { randomFillSync } from 'node:crypto';
import type { Span } from '../telemetry/span.ts';
import { methodOf, pathOf } from './access-line.ts';
import type { TrustedProxies } from './client-address.ts';
import type { Finished } from './finished.ts';

/** Where one request stands in a trace (W3C Trace Context). Ids are lower-case hexadecimal. */
export interface Trace {
  readonly traceId: string;
  /** The span that called; undefined: the trace begins here. */
  readonly parentId: string | undefined;
  /** Of the request as the gateway served it. */
  readonly spanId: string;
  /** Of the call of the upstream; it is the parent of whatever is there. */
  readonly callId: string;
  /** Whether its spans are recorded, here and, if they follow, by others. */
  readonly sampled: boolean;
  /** Origin of the upstream; undefined: none was called. */
  readonly origin: string | undefined;
}

export interface TracingOptions {
  /** Of the traces that begin here, every n-th is recorded. One that began elsewhere is recorded if its caller says so. */
  readonly sample: number;
  /** Takes a span. Never waits. */
  readonly record: (span: Span) => void;
}

/** What the client sent, where it can be used. */
interface Parent {
  readonly traceId: string;
  readonly parentId: string;
  readonly sampled: boolean;
}

/** Version 00; later versions may go on behind a dash (section 4.3). */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const MAX_TRACEPARENT = 256;

/**
 * Passes traces on and records what the gateway did of them. A valid `traceparent` is gone on from with a new span id; one that is not is
 * replaced, and its `tracestate` with it (sections 3.3, 4.3).
 *
 * **Security**: what a span says of a request is what the access log says: no query, no header field, no token.
 */
export class Tracer {
  readonly #options: TracingOptions;
  readonly #proxies: Pick<TrustedProxies, 'clientAddress'>;

  constructor(options: TracingOptions, proxies: Pick<TrustedProxies, 'clientAddress'>) {
    this.#options = options;
    this.#proxies = proxies;
  }

  /**
   * A request is about to go upstream: says where it stands.
   * @param fields of it, name in lower case and value, alternating
   * @returns its fields with the trace in them
   */
  pass(request: { trace: Trace | undefined }, fields: readonly string[], origin: string): string[] {
    const parent = parentOf(fields);
    const trace = this.#begin(parent, origin);
    request.trace = trace;
    const next = fields.filter((_, at) => {
      const name = fields[at - (at % 2)];
      return name !== 'traceparent' && (name !== 'tracestate' || parent !== undefined);
    });
    next.push('traceparent', `00-${trace.traceId}-${trace.callId}-${trace.sampled ? '01' : '00'}`);
    return next;
  }

  /** @param tookMs milliseconds */
  finished(request: Finished, tookMs: number): void {
    const trace = request.trace ?? this.#begin(parentOf(request.head?.fields ?? []), undefined);
    if (!trace.sampled) return;
    const endMs = Date.now();
    const startMs = endMs - tookMs;
    const { record } = this.#options;
    const { connection, head, calledAt, startedAt } = request;
    const client = this.#proxies.clientAddress(connection.peer, head?.forwardedFor);
    record(serverSpan(request, trace, client, startMs, endMs));
    if (trace.origin !== undefined && calledAt > 0)
      record(clientSpan(request, trace, trace.origin, startMs + (calledAt - startedAt), endMs));
  }

  #begin(parent: Parent | undefined, origin: string | undefined): Trace {
    const traceId = parent?.traceId ?? randomHex(16);
    return {
      traceId,
      parentId: parent?.parentId,
      spanId: randomHex(8),
      callId: randomHex(8),
      sampled:
        parent?.sampled ?? Number.parseInt(traceId.slice(-8), 16) % this.#options.sample === 0,
      origin,
    };
  }
}

/** The one usable `traceparent` among the fields. */
function parentOf(fields: readonly string[]): Parent | undefined {
  let value: string | undefined;
  for (let at = 0; at < fields.length; at += 2) {
    if (fields[at] !== 'traceparent') continue;
    if (value !== undefined) return undefined;
    value = fields[at + 1];
  }
  if (value === undefined || value.length > MAX_TRACEPARENT) return undefined;
  const [, version, traceId = '', parentId = '', flags = '', more] = TRACEPARENT.exec(value) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined))
    return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(parentId)) return undefined;
  return { traceId, parentId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

function serverSpan(
  request: Finished,
  { traceId, spanId, parentId }: Trace,
  client: string,
  startMs: number,
  endMs: number,
): Span {
  const { operation, status, outcome, id, degraded } = request;
  const method = methodName(request.method);
  const failed = status === 0 || status >= 500 || outcome === 'brokenOff';
  return {
    traceId,
    spanId,
    parentId,
    kind: 'server',
    name:
      operation === undefined
        ? method === OTHER
          ? 'HTTP'
          : method
        : `${method} ${operation.name}`,
    startMs,
    endMs,
    failed,
    attributes: {
      'http.request.method': method,
      'url.path': pathOf(request.target),
      'url.scheme': request.site.scheme,
      'network.protocol.version': request.version === '2.0' ? '2' : request.version,
      'client.address': client,
      'http.request.body.size': request.bytesIn,
      'http.response.body.size': request.bytesOut,
      'portcullis.request_id': id,
      'portcullis.outcome': outcome,
      ...(operation === undefined ? {} : { 'http.route': operation.name }),
      ...(status === 0 ? {} : { 'http.response.status_code': status }),
      ...(failed ? { 'error.type': status >= 500 ? String(status) : outcome } : {}),
      ...(degraded === undefined ? {} : { 'portcullis.degraded': degraded }),
    },
  };
}

function clientSpan(
  request: Finished,
  { traceId, spanId, callId }: Trace,
  origin: string,
  startMs: number,
  endMs: number,
): Span {
  const { upstreamMs, status, outcome } = request;
  const method = methodName(request.method);
  const answered = upstreamMs >= 0;
  const failed = !answered || status >= 400 || outcome === 'brokenOff';
  const { hostname, port, protocol } = new URL(origin);
  return {
    traceId,
    spanId: callId,
    parentId: spanId,
    kind: 'client',
    name: method === OTHER ? 'HTTP' : method,
    startMs,
    endMs,
    failed,
    attributes: {
      'http.request.method': method,
      'server.address': hostname.replaceAll(/[[\]]/g, ''), // of IPv6
      'server.port': port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
      ...(answered ? { 'http.response.status_code': status } : {}),
      ...(failed ? { 'error.type': answered && status >= 400 ? String(status) : outcome } : {}),
    },
  };
}

const OTHER = '_OTHER';

function methodName(method: string): string {
  const known = methodOf(method);
  return known === '-' ? OTHER : known;
}

/** Random bytes are cheap by the page, and dear one id at a time. */
const pool = Buffer.alloc(4_096);
let used = pool.length;

function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.toString('hex', used - bytes, used);
}
