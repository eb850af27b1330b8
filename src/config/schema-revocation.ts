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
  rules: {
    kind: 'list',
    default: ['subject', 'session', 'client', 'claims'],
    of: ['subject', 'session', 'client', 'claims', 'issuer', 'lift'],
    mayBeEmpty: true,
    doc: `Kinds of rules that this source may make beside revoking single tokens; see docs/rules.md. \`issuer\` (all tokens of one issuer) and \`lift\` (take a rule back) have to be asked for. ${NOT_WSO2}`,
  },
  required: {
    kind: 'flag',
    absent: 'true for stores; for topics only where there is no store',
    example: 'true',
    doc: `Whether the gateway has to know of this source that nothing was missed: otherwise its knowledge is stale. ${NOT_WSO2}`,
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

const durableSubscription = {
  kind: 'text',
  example: '"gateway-1"',
  absent: 'what is published while the gateway is away is not heard',
  doc: `Name of a durable subscription of this gateway alone: the broker keeps what is published while it is away. ${NOT_WSO2}`,
} as const satisfies Field;

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
      '`20s`, or a third of `maxStaleness` where that is less; `5m` for `etcd` with `/v3/` in its URL and `1h` for `event-stream`, which prove themselves in between',
    bare: 'seconds',
    min: '100ms',
    max: '1d',
    doc: `How often the whole store is read again. Above \`maxStaleness\` it is refused where reading is what proves the store: for \`default\`, \`etcd\` without \`/v3/\` and extensions. ${NOT_WSO2}`,
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
      maxStaleness: {
        kind: 'duration',
        default: '60s',
        bare: 'seconds',
        min: '1s',
        max: '1d',
        doc: `How old the knowledge of revocations may be. Every source proves at least every third of it that nothing was missed; past it \`whenStale\` applies. ${NOT_WSO2}`,
      },
      whenStale: {
        kind: 'choice',
        default: 'deny',
        of: ['deny', 'introspect', 'allow'],
        doc: `What a call with a token that is not known to be revoked gets while knowledge is older than \`maxStaleness\`: \`deny\` answers 503, \`introspect\` asks the key manager about the token, \`allow\` lets it through, counted and marked in the log. A route's \`x-portcullis-when-stale\` wins. ${NOT_WSO2}`,
      },
      denyOnUnclosedGap: {
        kind: 'flag',
        default: false,
        doc: `Topics without a store: whether calls are treated as stale while revocations may have been missed (before the start, and in an outage) that could still matter, that is for \`longestTokenLife\`. \`durableSubscription\` avoids the gap. ${NOT_WSO2}`,
      },
      maxEntries: {
        kind: 'integer',
        default: 20_000_000,
        min: 1_000,
        max: 100_000_000,
        doc: `Most revoked tokens kept. What finds no room keeps the gateway stale; it is never half a list. What a topic without a store tells then is lost: that is a gap. About 19 bytes each, taken as they come. ${NOT_WSO2}`,
      },
      stateFolder: {
        kind: 'path',
        example: '"${mgw-runtime.home}/state"',
        absent: '`state` under `MGW_HOME`',
        doc: `Folder of the journal: what was learnt, so that a restart with everything else down forgets nothing. One gateway each. ${NOT_WSO2}`,
      },
      streamGrace: {
        kind: 'duration',
        default: '0s',
        bare: 'seconds',
        min: '0s',
        max: '1h',
        doc: `How long a WebSocket, event stream or other open response of a token may go on after the token was revoked. ${NOT_WSO2}`,
      },
      whenUnknown: {
        kind: 'choice',
        default: 'deny',
        of: ['deny', 'allow'],
        doc: `What a call to a secured operation gets before every required source was read once and where the journal knows nothing: \`deny\` answers 503, \`allow\` lets it through and is said at every start. ${NOT_WSO2}`,
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
      durableSubscription,
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
      durableSubscription,
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
  'durableSubscription',
]);
export const STORE_ONLY: ReadonlySet<string> = new Set(Object.keys(store));
