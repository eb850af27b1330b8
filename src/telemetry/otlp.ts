import type { Log } from '../log.ts';
import type { HttpClient } from '../net/http-client.ts';
import { hostAndPort } from '../net/http-failure.ts';
import type { Span } from './span.ts';

export interface SpanExporterOptions {
  /** Where OTLP over HTTP is taken: `http://127.0.0.1:4318/v1/traces`. */
  readonly endpoint: string;
  /** `service.name`. */
  readonly serviceName: string;
  readonly version: string;
  readonly http: HttpClient;
  readonly log: Log;
  /** So many spans are lost. */
  readonly onDropped: (count: number) => void;
  /** Milliseconds between two batches that are not full. Default 5,000. */
  readonly intervalMs?: number;
}

const LOG_KEY = 'Tracing';
const MAX_QUEUE = 2_048;
const MAX_BATCH = 512;
const INTERVAL_MS = 5_000;
const TIMEOUT_MS = 5_000;
/** Milliseconds that the end waits for all that is left. */
const CLOSE_MS = 1_000;
/** A batch that its receiver does not take now is offered so often, an interval apart. */
const MAX_TRIES = 3;
/** The OTLP specification: try again. All others are final. */
const TRY_AGAIN: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** Numbers of the enumerations `SpanKind` and `StatusCode` (opentelemetry-proto, trace.proto). */
const KINDS = { server: 2, client: 3 } as const;
const STATUS_ERROR = 2;

/**
 * Hands spans over in OTLP/HTTP with JSON, in batches, one at a time. Nothing waits for it: what is beyond {@link MAX_QUEUE} spans, and what
 * the receiver does not take, is dropped and counted.
 */
export class SpanExporter {
  readonly #options: SpanExporterOptions;
  readonly #intervalMs: number;
  readonly #queue: Span[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #tries = 0;
  #troubled = false;
  #closed = false;
  /** Nothing is sent any more. */
  readonly #over = new AbortController();

  constructor(options: SpanExporterOptions) {
    this.#options = options;
    this.#intervalMs = options.intervalMs ?? INTERVAL_MS;
  }

  readonly add = (span: Span): void => {
    if (this.#closed || this.#queue.length >= MAX_QUEUE) {
      this.#options.onDropped(1);
      return;
    }
    this.#queue.push(span);
    // After a failure the next try has its time.
    if (this.#queue.length >= MAX_BATCH && this.#tries === 0) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), this.#intervalMs).unref();
  };

  /** One more try for what is left, for a second at most; what is not taken then is dropped. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const late = setTimeout(() => this.#over.abort(), CLOSE_MS);
    await this.#sending;
    while (this.#queue.length > 0) {
      this.#tries = MAX_TRIES - 1;
      this.#send();
      await this.#sending;
    }
    clearTimeout(late);
  }

  #send(): void {
    if (this.#sending !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending = this.#sendBatch().finally(() => {
      this.#sending = undefined;
      if (this.#queue.length === 0 || this.#closed) return;
      if (this.#queue.length >= MAX_BATCH && this.#tries === 0) this.#send();
      else this.#timer ??= setTimeout(() => this.#send(), this.#intervalMs).unref();
    });
  }

  async #sendBatch(): Promise<void> {
    const batch = this.#queue.slice(0, MAX_BATCH);
    const { refusal, again } = await this.#post(batch);
    this.#tries++;
    if (refusal !== undefined && again && this.#tries < MAX_TRIES) {
      this.#say(refusal);
      return;
    }
    this.#tries = 0;
    this.#queue.splice(0, batch.length);
    if (refusal !== undefined) this.#options.onDropped(batch.length);
    this.#say(refusal);
  }

  /** Never rejects. */
  async #post(
    batch: readonly Span[],
  ): Promise<{ readonly refusal?: string; readonly again: boolean }> {
    const { http, endpoint, serviceName, version } = this.#options;
    try {
      const { status } = await http.request({
        method: 'POST',
        url: endpoint,
        headers: { 'content-type': 'application/json' },
        body: spansJson(batch, serviceName, version),
        timeoutMs: TIMEOUT_MS,
        signal: this.#over.signal,
      });
      if (status >= 200 && status < 300) return { again: false };
      const place = hostAndPort(new URL(endpoint)); // its query may hold a key
      return { refusal: `${place} answered ${status}`, again: TRY_AGAIN.has(status) };
    } catch (error) {
      return { refusal: error instanceof Error ? error.message : String(error), again: true };
    }
  }

  /** One line for a trouble, however long it lasts. */
  #say(refusal: string | undefined): void {
    const { log } = this.#options;
    if (refusal === undefined) {
      if (this.#troubled) log.info(LOG_KEY, 'Spans are taken again');
      this.#troubled = false;
    } else if (!this.#troubled) {
      this.#troubled = true;
      log.warn(LOG_KEY, `Spans are not taken, and dropped if that goes on: ${refusal}`);
    }
  }
}

/** `ExportTraceServiceRequest` in the JSON encoding of OTLP 1.x: ids in hexadecimal, 64-bit numbers as text. */
export function spansJson(spans: readonly Span[], serviceName: string, version: string): string {
  return JSON.stringify({
    resourceSpans: [
      {
        resource: {
          attributes: attributes({ 'service.name': serviceName, 'service.version': version }),
        },
        scopeSpans: [{ scope: { name: 'portcullis', version }, spans: spans.map(spanView) }],
      },
    ],
  });
}

function spanView(span: Span): object {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentId === undefined ? {} : { parentSpanId: span.parentId }),
    name: span.name,
    kind: KINDS[span.kind],
    startTimeUnixNano: nanoseconds(span.startMs),
    endTimeUnixNano: nanoseconds(span.endMs),
    attributes: attributes(span.attributes),
    status: span.failed ? { code: STATUS_ERROR } : {},
  };
}

function attributes(values: Span['attributes']): object[] {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value:
      typeof value === 'number'
        ? { intValue: String(value) }
        : { stringValue: value.toWellFormed() },
  }));
}

/** To the microsecond: a double has no more of an epoch time. */
function nanoseconds(epochMs: number): string {
  return `${Math.round(epochMs * 1_000)}000`;
}
