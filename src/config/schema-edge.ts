import type { Schema } from './field.ts';

/** What becomes of requests that two readers may understand in two ways. The consequence of each open value is in edge-rules.ts. */
export const EDGE_SCHEMA = {
  edgeRules: {
    doc: 'Requests that the gateway and an upstream could read differently. Each default is the closed one; a value that opens a rule is told in a warning at every start. docs/edge-rules.md says what each costs. Not a WSO2 table.',
    keys: {
      dotSegments: {
        kind: 'choice',
        default: 'refuse',
        of: ['refuse', 'normalise'],
        doc: '`/a/../b`, also as `%2e`: answered 400, or resolved, and the resolved path matched and forwarded.',
      },
      emptySegments: {
        kind: 'choice',
        default: 'refuse',
        of: ['refuse', 'merge'],
        doc: '`/a//b`: answered 400, or matched and forwarded as `/a/b`.',
      },
      encodedSlash: {
        kind: 'choice',
        default: 'refuse',
        of: ['refuse', 'keep'],
        doc: '`%2F` and `%5C` in a path: answered 400, or kept as text of their segment.',
      },
      pathParameters: {
        kind: 'choice',
        default: 'both',
        of: ['both', 'refuse', 'keep'],
        doc: '`/a;x=1`: looked up with and without parameters, and 400 where that makes two operations; answered 400 always; or taken for text.',
      },
      underscoreNames: {
        kind: 'choice',
        default: 'drop',
        of: ['drop', 'refuse', 'pass'],
        doc: 'Header fields with `_` in their name: not forwarded, answered 400, or forwarded unless they imitate a field that the gateway reads or sets.',
      },
      absoluteForm: {
        kind: 'choice',
        default: 'sameHost',
        of: ['sameHost', 'refuse'],
        doc: '`GET http://host/path`: served when `Host` says the same host, or never.',
      },
      methodOverride: {
        kind: 'choice',
        default: 'remove',
        of: ['remove', 'pass'],
        doc: '`X-HTTP-Method-Override`, `X-HTTP-Method`, `X-Method-Override` and `X-Original-Method` of clients.',
      },
      trace: {
        kind: 'choice',
        default: 'refuse',
        of: ['refuse', 'serve'],
        doc: '`TRACE`: answered 405, or served where a definition has it.',
      },
      duplicateCredentials: {
        kind: 'choice',
        default: 'refuse',
        of: ['refuse', 'first'],
        doc: 'Two credential headers in one request: answered 401, and 400 where no token is asked for; or only the first one counts and goes on.',
      },
      forwardedFields: {
        kind: 'choice',
        default: 'trusted',
        of: ['trusted', 'pass'],
        doc: '`X-Forwarded-*`, `Forwarded`, `X-Real-IP` and the like: only from `server.trustedProxies`, or from everybody.',
      },
      nominatedFields: {
        kind: 'choice',
        default: 'remove',
        of: ['remove', 'keep'],
        doc: 'Fields that the client names in `Connection`.',
      },
      requestBodyOnGet: {
        kind: 'choice',
        default: 'forward',
        of: ['forward', 'refuse'],
        doc: 'A body of GET or HEAD: forwarded, and both connections closed after it; or answered 400.',
      },
      upgrade: {
        kind: 'choice',
        default: 'websocket',
        of: ['websocket', 'none'],
        doc: '`Upgrade`: WebSockets, or nothing. Any other protocol is ignored and not forwarded.',
      },
    },
  },
} as const satisfies Schema;
