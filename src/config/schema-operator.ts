import type { Schema } from './field.ts';

/** The operator's own listener. */
export const OPERATOR_SCHEMA = {
  operatorConfig: {
    doc: "The operator's API: revoke, list, explain, metrics, readiness with reasons. Not a WSO2 table.",
    keys: {
      enable: { kind: 'flag', default: true, doc: 'Whether it listens.' },
      host: {
        kind: 'text',
        shape: 'host',
        default: '127.0.0.1',
        doc: 'Address that it binds. One that is not loopback needs `keyStorePath`.',
      },
      port: {
        kind: 'integer',
        default: 9097,
        min: 0,
        max: 65_535,
        doc: 'Its port. 0 takes any free port.',
      },
      tokenPath: {
        kind: 'path',
        example: '"${mgw-runtime.home}/security/operator.token"',
        absent: '`security/operator.token` under `MGW_HOME`',
        doc: 'File with the bearer token that calls need; made at the first start, readable by its owner only. `micro-gw` reads it too.',
      },
      keyStorePath: {
        kind: 'path',
        example: '"${mgw-runtime.home}/conf/operator.p12"',
        absent: 'plain HTTP, on loopback only',
        doc: 'Certificate and private key for TLS: PKCS12, JKS or PEM.',
      },
      keyStorePassword: {
        kind: 'text',
        default: 'ballerina',
        mayBeEmpty: true,
        secret: true,
        doc: 'Password of that key store. A PEM file takes no notice of it.',
      },
      clientCaPath: {
        kind: 'path',
        example: '"${mgw-runtime.home}/conf/operators.pem"',
        absent: 'no client certificates',
        doc: 'PEM certificates: whoever shows a client certificate of theirs needs no token. Needs `keyStorePath`.',
      },
      allowedHosts: {
        kind: 'list',
        default: [],
        of: 'texts',
        mayBeEmpty: true,
        doc: 'Names that the `Host` field may have beside `localhost`, `127.0.0.1`, `[::1]` and `host`.',
      },
    },
  },
} as const satisfies Schema;
