import type { Field, Schema } from './field.ts';

const NOT_WSO2 = 'Not a WSO2 key.';

/** Keys that every source takes. */
const anySource = {
  ttlUnit: {
    kind: 'choice',
    default: 'auto',
    of: ['auto', 'seconds', 'milliseconds', 'epochSeconds', 'epochMilliseconds'],
    doc: `How this source's \`ttl\` and \`expiryTime\` are read. \`auto\` takes the longest that any unit can mean: a number below 1e12 as seconds from now, from there on as epoch milliseconds. An end that has passed counts as not known. \`longestTokenLife\` caps every end. ${NOT_WSO2}`,
  },
  issuers: {
    kind: 'list',
    example: '["https://localhost:9443/oauth2/token"]',
    of: 'texts',
    absent: 'all issuers',
    doc: `Issuers whose tokens this source may revoke. Each must be configured here. ${NOT_WSO2}`,
  },
} as const satisfies Record<string, Field>;

const jmsCredentials = {
  jmsConnectionUsername: {
    kind: 'text',
    default: '',
    mayBeEmpty: true,
    doc: "User at the broker. Wins over the URL's, when not empty.",
  },
  jmsConnectionPassword: {
    kind: 'text',
    default: '',
    mayBeEmpty: true,
    secret: true,
    doc: "Its password. Wins over the URL's, when not empty.",
  },
  jmsConnectioninitialContextFactory: {
    kind: 'text',
    default: 'wso2mbInitialContextFactory',
    doc: 'Accepted for the sake of existing files; has no effect.',
  },
} as const satisfies Record<string, Field>;

/** Keys of stores: `[tokenRevocationConfig.persistent]` and further sources. */
const store = {
  endpointURL: {
    kind: 'list',
    example: '"https://localhost:9443/internal/data/v1"',
    of: 'texts',
    mayBeEmpty: true,
    absent:
      '`https://localhost:9443/internal/data/v1` for `default`, `https://127.0.0.1:2379/v2/keys/jti/` for `etcd`; `event-stream` needs one',
    doc: 'URL of the store; for etcd an array may name several endpoints. An extension gets it as written.',
  },
  username: {
    kind: 'text',
    example: '"admin"',
    mayBeEmpty: true,
    absent:
      '`root` for `etcd`, `admin` for `default`, both only when there is no `password` either; none otherwise',
    doc: 'User at the store. Empty, with an empty password: no credentials.',
  },
  password: {
    kind: 'text',
    example: '"${file:/run/secrets/revocation-store}"',
    mayBeEmpty: true,
    secret: true,
    absent:
      '`root` for `etcd`, `admin` for `default`, both only when there is no `username` either',
    doc: 'Its password.',
  },
  clientKeyStorePath: {
    kind: 'path',
    example: '"${mgw-runtime.home}/conf/client.p12"',
    absent: 'no client certificate',
    doc: `Client certificate and key for \`etcd\` and \`event-stream\`: PKCS12, JKS or PEM. ${NOT_WSO2}`,
  },
  clientKeyStorePassword: {
    kind: 'text',
    default: 'ballerina',
    mayBeEmpty: true,
    secret: true,
    doc: `Password of that key store. ${NOT_WSO2}`,
  },
  reconcileInterval: {
    kind: 'duration',
    example: '"20s"',
    absent:
      '`20s` for `default`, `5m` for `etcd` and extensions, `1h` for `event-stream`, which hear of changes in between',
    bare: 'seconds',
    min: '100ms',
    max: '1d',
    doc: `How often the whole store is read again. ${NOT_WSO2}`,
  },
} as const satisfies Record<string, Field>;

/** Where revocations come from and what holds without them. */
export const REVOCATION_SCHEMA = {
  tokenRevocationConfig: {
    doc: 'What holds for all sources of revocations.',
    keys: {
      longestTokenLife: {
        kind: 'duration',
        default: '30d',
        bare: 'seconds',
        min: '1s',
        max: '3650d',
        doc: `Caps every revocation, and stands in for a lifetime that is missing. A token whose \`exp\` is further away is refused. ${NOT_WSO2}`,
      },
      whenUnknown: {
        kind: 'choice',
        default: 'deny',
        of: ['deny', 'allow'],
        doc: `What a call to a secured operation gets before every enabled store was read once: \`deny\` answers 503, \`allow\` lets it through and is said at every start. ${NOT_WSO2}`,
      },
    },
  },
  'tokenRevocationConfig.realtime': {
    doc: 'Revocations as they happen: a JMS topic.',
    keys: {
      enableRealtimeMessageRetrieval: {
        kind: 'flag',
        default: false,
        doc: 'Whether the topic is followed.',
      },
      jmsConnectionTopic: {
        kind: 'text',
        default: 'tokenRevocation',
        doc: 'Name of the topic.',
      },
      jmsConnectionProviderUrl: {
        kind: 'text',
        secret: true,
        default: "amqp://admin:admin@carbon/carbon?brokerlist='tcp://localhost:5672'",
        doc: 'JMS connection URL of the broker, with failover and TLS options.',
      },
      ...jmsCredentials,
      ...anySource,
    },
  },
  'tokenRevocationConfig.persistent': {
    doc: 'The store that knows everything that is revoked: read at start, then followed.',
    open: true,
    keys: {
      enablePersistentStorageRetrieval: {
        kind: 'flag',
        default: false,
        doc: 'Whether the store is read.',
      },
      type: {
        kind: 'text',
        example: '"etcd"',
        absent: '`default`',
        doc: "`default` (WSO2's event hub), `etcd`, `event-stream` (a Portcullis token service), or any other word: `extensions/token_revocation_extension.ts` of the project, which also gets every key of this table that is not listed here.",
      },
      hostname: {
        kind: 'list',
        example: '"https://localhost:9443/internal/data/v1"',
        of: 'texts',
        mayBeEmpty: true,
        absent: '`endpointURL` counts',
        doc: "`endpointURL`'s name in WSO2 3.0 and 3.1. Wins over it, when not empty.",
      },
      useDefault: {
        kind: 'flag',
        default: false,
        doc: 'From WSO2 3.0 and 3.1: `true` means etcd, and only counts when `type` is another word than `default`. Write `type = "etcd"` instead.',
      },
      ...store,
      ...anySource,
    },
  },
  'tokenRevocationConfig.sources': {
    doc: 'Further sources, one table each, with the keys of their type: those of `[tokenRevocationConfig.realtime]` for `amqp`, those of `[tokenRevocationConfig.persistent]` for the others. Not a WSO2 table.',
    many: true,
    keys: {
      name: {
        kind: 'text',
        example: '"second-store"',
        absent: 'required',
        doc: 'A name of its own, for the log. `realtime` and `persistent` are taken.',
      },
      type: {
        kind: 'choice',
        default: 'default',
        of: ['amqp', 'default', 'etcd', 'event-stream'],
        doc: 'What it is; write it always.',
      },
      jmsConnectionTopic: {
        kind: 'text',
        default: 'tokenRevocation',
        doc: 'Name of the topic (`amqp`).',
      },
      jmsConnectionProviderUrl: {
        kind: 'text',
        secret: true,
        example: `"amqp://admin:admin@carbon/carbon?brokerlist='tcp://localhost:5672'"`,
        absent: 'required for `amqp`',
        doc: 'JMS connection URL of the broker (`amqp`).',
      },
      ...jmsCredentials,
      ...store,
      ...anySource,
    },
  },
} as const satisfies Schema;

/** Which keys of `[[tokenRevocationConfig.sources]]` serve only one kind of source. */
export const AMQP_ONLY: ReadonlySet<string> = new Set([
  'jmsConnectionTopic',
  'jmsConnectionProviderUrl',
  ...Object.keys(jmsCredentials),
]);
export const STORE_ONLY: ReadonlySet<string> = new Set(Object.keys(store));
