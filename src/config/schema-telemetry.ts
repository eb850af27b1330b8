import type { Schema } from './field.ts';

/** What is written down of requests. */
export const TELEMETRY_SCHEMA = {
  'b7a.http.accesslog': {
    doc: 'The access log: one line for each request. docs/observability.md says what is in it.',
    keys: {
      console: {
        kind: 'flag',
        default: false,
        doc: 'Whether lines go to standard output, between those of the log.',
      },
      path: {
        kind: 'path',
        example: '"${mgw-runtime.home}/logs/access.log"',
        absent: 'no file',
        doc: 'File that lines are appended to, made if it is not there. SIGHUP opens it anew, after a rotation.',
      },
      format: {
        kind: 'choice',
        default: 'combined',
        of: ['combined', 'json'],
        doc: "`combined` is Apache's combined log format, as WSO2 writes; `json` is one object per line, with more in it. Not a WSO2 key.",
      },
      sample: {
        kind: 'integer',
        default: 1,
        min: 1,
        max: 1_000_000,
        doc: 'Of requests that were served, every n-th is written; those that were refused or broke, always. Not a WSO2 key.',
      },
    },
  },
  'b7a.observability.tracing': {
    doc: 'W3C trace context and OpenTelemetry spans. docs/observability.md says what is in them.',
    keys: {
      enabled: {
        kind: 'flag',
        default: false,
        doc: 'Whether the gateway has spans of its own. `false` passes `traceparent`, `tracestate` and `baggage` on untouched.',
      },
      endpoint: {
        kind: 'url',
        default: 'http://127.0.0.1:4318/v1/traces',
        doc: 'Where spans are taken, by OTLP over HTTP with JSON. Not a WSO2 key.',
      },
      sample: {
        kind: 'integer',
        default: 100,
        min: 1,
        max: 1_000_000,
        doc: 'Of the traces that begin here, every n-th is recorded; one that a client began is recorded if the client says so. Not a WSO2 key.',
      },
      serviceName: {
        kind: 'text',
        default: 'portcullis',
        doc: 'What the gateway is called in traces. Not a WSO2 key.',
      },
    },
  },
} as const satisfies Schema;
