import type { Schema } from './field.ts';

/** What holds off clients and upstreams that would take the gateway from the others. */
export const PROTECTION_SCHEMA = {
  failedVerifications: {
    doc: 'Tokens that have to be verified and turn out to be bad, from one client address. Who sends more is answered 429, without a look at the token, until it has been quiet for long enough; tokens that were verified before are served all the same. docs/protection.md. Not a WSO2 table.',
    keys: {
      enable: {
        kind: 'flag',
        default: true,
        doc: '`false` verifies whatever comes. Behind a proxy that is not in `server.trustedProxies` all clients are one address.',
      },
      perSecond: {
        kind: 'integer',
        default: 20,
        min: 1,
        max: 1_000_000,
        doc: 'Bad tokens of one address in a second, for long. Shared out among the threads (`server.threads`), each with 1 at least.',
      },
      burst: {
        kind: 'integer',
        default: 100,
        min: 1,
        max: 1_000_000,
        doc: 'Bad tokens of one address at once, after a time without any. Shared out as `perSecond` is.',
      },
    },
  },
  loadShedding: {
    doc: 'Requests that come while a thread is about to run out of memory, or is far behind, are answered 503 unread. docs/protection.md. Not a WSO2 table.',
    keys: {
      enable: {
        kind: 'flag',
        default: true,
        doc: '`false` takes every request, whatever becomes of the thread.',
      },
      heapPercent: {
        kind: 'integer',
        default: 85,
        min: 20,
        max: 99,
        doc: 'So much of its heap a thread may use; ten less, and requests are served again.',
      },
    },
  },
  'httpClients.circuitBreaker': {
    doc: 'Upstreams that cannot be reached or do not answer: their requests are answered 503 at once, until one that is let through is answered. docs/protection.md. Not a WSO2 table.',
    keys: {
      enable: {
        kind: 'flag',
        default: true,
        doc: '`false` asks an upstream whatever came of the last calls.',
      },
      failures: {
        kind: 'integer',
        default: 5,
        min: 1,
        max: 1_000_000,
        doc: 'Failures in a row, in one thread, after which an upstream is not asked any more. What it answers is no failure, whatever its status.',
      },
      openFor: {
        kind: 'duration',
        default: '1s',
        bare: 'milliseconds',
        min: '10ms',
        max: '30s',
        doc: 'How long it is not asked then; twice as long each time that it fails again, 30 seconds at most.',
      },
    },
  },
} as const satisfies Schema;
