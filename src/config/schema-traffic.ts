import type { Schema } from './field.ts';

/** Listeners, limits, answers, outgoing connections, caches and the log. */
export const TRAFFIC_SCHEMA = {
  listenerConfig: {
    doc: 'Where the gateway listens, its certificate, whom it trusts, and how large a request may be.',
    keys: {
      host: {
        kind: 'text',
        shape: 'host',
        default: '0.0.0.0',
        doc: 'Address that all listeners bind.',
      },
      httpPort: {
        kind: 'integer',
        default: 9090,
        min: 0,
        max: 65_535,
        doc: 'HTTP port of the APIs. 0 takes any free port.',
      },
      httpsPort: {
        kind: 'integer',
        default: 9095,
        min: 0,
        max: 65_535,
        doc: 'HTTPS port of the APIs. 0 takes any free port.',
      },
      tokenListenerPort: {
        kind: 'integer',
        default: 9096,
        min: 0,
        max: 65_535,
        doc: 'HTTPS port that hands `/token`, `/revoke`, `/authorize` and `/userinfo` to the key manager. 0 takes any free port.',
      },
      keyStorePath: {
        kind: 'path',
        example: '"${mgw-runtime.home}/conf/keystore.p12"',
        absent: 'a certificate of the local CA under `MGW_HOME`, made once',
        doc: 'Certificate and private key of the HTTPS listeners: PKCS12, JKS or PEM.',
      },
      keyStorePassword: {
        kind: 'text',
        default: 'ballerina',
        mayBeEmpty: true,
        secret: true,
        doc: "Password of the key store; WSO2's own default. A PEM file takes no notice of it.",
      },
      trustStorePath: {
        kind: 'path',
        example: '"${mgw-runtime.home}/conf/truststore.p12"',
        absent: 'the trust store under `MGW_HOME`, which holds the local CA',
        doc: 'Certificates that are trusted: issuers by alias, and every TLS server that the gateway calls. PKCS12, JKS or PEM.',
      },
      trustStorePassword: {
        kind: 'text',
        default: 'ballerina',
        mayBeEmpty: true,
        secret: true,
        doc: "Password of the trust store; WSO2's own default. A PEM file takes no notice of it.",
      },
      keepAlive: {
        kind: 'choice',
        default: 'AUTO',
        of: ['AUTO', 'ALWAYS', 'NEVER'],
        doc: '`NEVER` closes every connection after its first answer. `AUTO` and `ALWAYS` follow the HTTP version and the `Connection` header.',
      },
      maxPipelinedRequests: {
        kind: 'integer',
        default: 10,
        min: 1,
        max: 1000,
        doc: 'Requests of one HTTP/1.1 connection that may wait for their turn.',
      },
      maxUriLength: {
        kind: 'size',
        default: '4096 B',
        min: '64 B',
        max: '1 MiB',
        doc: 'Longest request target; a longer one is answered 414.',
      },
      maxHeaderSize: {
        kind: 'size',
        default: '8192 B',
        min: '512 B',
        max: '1 MiB',
        doc: 'Most bytes of all header fields of a request; more are answered 431.',
      },
      maxEntityBodySize: {
        kind: 'size',
        default: -1,
        minusOne: 'no limit',
        min: '0 B',
        max: '1024 GiB',
        doc: 'Largest request body; a larger one is answered 413.',
      },
      headersTimeout: {
        kind: 'duration',
        default: '30s',
        bare: 'milliseconds',
        min: '100ms',
        max: '1h',
        doc: 'How long a client may take to send a request head. Not a WSO2 key.',
      },
      keepAliveTimeout: {
        kind: 'duration',
        default: '60s',
        bare: 'milliseconds',
        min: '100ms',
        max: '1d',
        doc: 'How long a kept connection may stay without a request. Not a WSO2 key.',
      },
    },
  },
  http2: {
    doc: 'HTTP/2.',
    keys: {
      enable: {
        kind: 'flag',
        default: true,
        doc: 'HTTP/2 beside HTTP/1.1 on the HTTPS port of the APIs.',
      },
    },
  },
  server: {
    doc: 'How the gateway presents itself, whom it believes, and how it stops.',
    keys: {
      header: {
        kind: 'text',
        shape: 'headerValue',
        default: 'ballerina',
        mayBeEmpty: true,
        doc: 'The `Server` header of answers. Empty means `ballerina`, as in WSO2.',
      },
      threads: {
        kind: 'integer',
        default: 0,
        min: 0,
        max: 256,
        doc: 'Threads that handle requests, beside the one that keeps the revocation list. 0: one per core. Not a WSO2 key.',
      },
      timestampSkew: {
        kind: 'duration',
        default: '5s',
        bare: 'milliseconds',
        minusOne: 'what `keyManager.timestampSkew` says',
        min: '0ms',
        max: '1h',
        doc: "Tolerated difference between this clock and a token issuer's.",
      },
      trustedProxies: {
        kind: 'list',
        of: 'addresses',
        default: [],
        doc: 'IP addresses and CIDR blocks of proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed. Not a WSO2 key.',
      },
      drainTimeout: {
        kind: 'duration',
        default: '30s',
        bare: 'milliseconds',
        min: '0ms',
        max: '1h',
        doc: 'How long requests in flight may go on after SIGTERM or Ctrl-C. Not a WSO2 key.',
      },
    },
  },
  'server.headerConf': {
    doc: 'Headers that are replaced, one table each: `Server` in answers to clients, any other in requests to upstreams.',
    many: true,
    keys: {
      headerName: {
        kind: 'text',
        example: '"User-Agent"',
        shape: 'headerName',
        absent: 'required',
        doc: 'Name of the header.',
      },
      preserveHeader: {
        kind: 'flag',
        default: false,
        doc: '`true` leaves what is there, `false` replaces it.',
      },
      overrideValue: {
        kind: 'text',
        shape: 'headerValue',
        default: 'ballerina',
        mayBeEmpty: true,
        doc: 'The value that replaces it.',
      },
    },
  },
  httpClients: {
    doc: 'Outgoing connections: to upstreams, key manager, key sets and stores.',
    keys: {
      verifyHostname: {
        kind: 'flag',
        default: true,
        doc: 'Whether the host name must be in the certificate.',
      },
      disableSslVerification: {
        kind: 'flag',
        default: false,
        doc: '`true` switches every certificate check off. The gateway warns at every start.',
      },
    },
  },
  'httpClients.timeouts': {
    doc: 'Deadlines of a call to an upstream. Not a WSO2 table.',
    keys: {
      connect: {
        kind: 'duration',
        default: '5s',
        bare: 'milliseconds',
        min: '10ms',
        max: '10m',
        doc: 'To connect, TLS included.',
      },
      responseHeaders: {
        kind: 'duration',
        default: '60s',
        bare: 'milliseconds',
        min: '10ms',
        max: '1d',
        doc: "From the end of the request to the head of the answer. 60 s is WSO2's endpoint timeout.",
      },
      idleBody: {
        kind: 'duration',
        default: '60s',
        bare: 'milliseconds',
        min: '10ms',
        max: '1d',
        doc: 'Longest silence within a body, either way.',
      },
    },
  },
  'httpClients.poolConfig': {
    doc: 'Connections to one upstream.',
    keys: {
      maxActiveConnections: {
        kind: 'integer',
        default: -1,
        minusOne: "the gateway's own bound, 1000",
        min: 1,
        max: 1_000_000,
        doc: 'Calls to one upstream at one time; more are answered 503.',
      },
    },
  },
  'httpClients.responseLimits': {
    doc: 'How large an answer of an upstream may be.',
    keys: {
      maxHeaderSize: {
        kind: 'size',
        default: '8192 B',
        min: '512 B',
        max: '1 MiB',
        doc: 'Largest head of an answer; a larger one is answered 502.',
      },
    },
  },
  caching: {
    doc: 'Tokens whose signature was checked once. Whether they are revoked is never cached.',
    keys: {
      enabled: { kind: 'flag', default: true, doc: '`false` checks every signature every time.' },
      tokenCacheExpiryTime: {
        kind: 'duration',
        default: '15m',
        bare: 'milliseconds',
        min: '1s',
        max: '1d',
        doc: "Longest stay of an entry, and never past the token's `exp`. WSO2 documents 900000 as milliseconds but used it as seconds: here it is 15 minutes.",
      },
      tokenCacheCapacity: {
        kind: 'integer',
        default: 10_000,
        min: 0,
        max: 10_000_000,
        doc: 'Most entries of each thread (`server.threads`). 0 caches nothing.',
      },
    },
  },
  'b7a.log': {
    doc: 'The log.',
    keys: {
      level: {
        kind: 'choice',
        default: 'INFO',
        of: ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'OFF'],
        doc: 'The least severe lines that are written.',
      },
      format: {
        kind: 'choice',
        default: 'text',
        of: ['text', 'json'],
        doc: "`text` has WSO2's line shape, `json` is one object per line for machines. Not a WSO2 key.",
      },
    },
  },
} as const satisfies Schema;
