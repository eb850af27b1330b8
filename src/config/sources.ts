import type { Assembly } from './assembly.ts';
import type { Credentials, IssuerConfig, SourceConfig, StoreConfig } from './config.ts';
import { nearest } from '../nearest.ts';
import { isLoopback, urlProblem } from './read-value.ts';
import type { Settings } from './schema.ts';
import { AMQP_ONLY, STORE_ONLY } from './schema-revocation.ts';
import { unknownKey } from './settings.ts';

type Realtime = Settings['tokenRevocationConfig.realtime'];
type Persistent = Settings['tokenRevocationConfig.persistent'];
type Further = Settings['tokenRevocationConfig.sources'][number];

const REALTIME = 'tokenRevocationConfig.realtime';
const PERSISTENT = 'tokenRevocationConfig.persistent';
const FURTHER = 'tokenRevocationConfig.sources';

const BUILT_IN = ['default', 'etcd', 'event-stream'] as const;
type BuiltIn = (typeof BUILT_IN)[number];

/** What holds when a store's key is not written: WSO2's own values, by type. */
const STORE_DEFAULTS: Record<BuiltIn, { url?: string; credentials?: Credentials }> = {
  default: {
    url: 'https://localhost:9443/internal/data/v1',
    credentials: { username: 'admin', password: 'admin' },
  },
  etcd: {
    url: 'https://127.0.0.1:2379/v2/keys/jti/',
    credentials: { username: 'root', password: 'root' },
  },
  // Our own token service: it has no credential that everybody knows, and no anonymous reader.
  'event-stream': {},
};

/** How often a store is read whole where nothing is written, milliseconds; see {@link reconcileIntervalOf}. */
const RECONCILE_MS = 20_000;
/** The same for those that prove themselves in between: etcd's API v3, and the event stream. */
const V3_RECONCILE_MS = 300_000;
const STREAM_RECONCILE_MS = 3_600_000;

type Core = Pick<SourceConfig, 'name' | 'ttlUnit' | 'issuers' | 'rules' | 'required'>;

function coreOf(
  name: string,
  table: Realtime | Persistent | Further,
  requiredByDefault: boolean,
): Core {
  const { ttlUnit, issuers, rules } = table;
  return { name, ttlUnit, issuers, rules, required: table.required ?? requiredByDefault };
}

/** Milliseconds between whole reads. Where reading is what proves that nothing was missed it has to be more often than `maxStaleness`. */
function reconcileIntervalOf(
  at: string,
  type: BuiltIn | 'extension',
  urls: readonly string[],
  table: Persistent | Further,
  assembly: Assembly,
): number {
  if (type === 'event-stream') return table.reconcileInterval ?? STREAM_RECONCILE_MS;
  // Without a version in the URL the server decides: then it may be one that has nothing but readings.
  if (type === 'etcd' && urls.some((url) => url.includes('/v3/')))
    return table.reconcileInterval ?? V3_RECONCILE_MS;
  const { maxStaleness } = assembly.read.settings.tokenRevocationConfig;
  const written = table.reconcileInterval;
  if (written !== undefined && written > maxStaleness)
    assembly.contradiction(
      `${at}.reconcileInterval`,
      `is longer than \`tokenRevocationConfig.maxStaleness\` (${assembly.whereIs('tokenRevocationConfig.maxStaleness')}): the store would be stale between two reads`,
    );
  return written ?? Math.min(RECONCILE_MS, Math.floor(maxStaleness / 3));
}

function amqp(
  at: string,
  core: Core,
  table: Realtime | Further,
  assembly: Assembly,
): SourceConfig | undefined {
  const url = table.jmsConnectionProviderUrl;
  if (url === undefined) {
    assembly.contradiction(
      `${at}.jmsConnectionProviderUrl`,
      'is missing: a source of type "amqp" needs the JMS connection URL of its broker',
    );
    return undefined;
  }
  if (!url.startsWith('amqp://')) {
    assembly.badValue(
      `${at}.jmsConnectionProviderUrl`,
      "must be a JMS connection URL, `amqp://user:password@client/vhost?brokerlist='tcp://host:5672'`; TLS is the broker option `ssl='true'`",
    );
  }
  const username = table.jmsConnectionUsername;
  const password = table.jmsConnectionPassword;
  if ((username === '') !== (password === '')) {
    const [set, unset] = username === '' ? ['Password', 'Username'] : ['Username', 'Password'];
    assembly.contradiction(
      `${at}.jmsConnection${set}`,
      `is set, but \`jmsConnection${unset}\` is empty: set both, or neither and put them into the URL`,
    );
  }
  const { durableSubscription } = table;
  if (durableSubscription !== undefined && !/^[A-Za-z0-9][\w.-]{0,99}$/.test(durableSubscription))
    assembly.badValue(
      `${at}.durableSubscription`,
      'must be 1 to 100 letters, digits, `.`, `_` or `-`, a letter or digit first',
    );
  const topic = table.jmsConnectionTopic;
  return { ...core, type: 'amqp', url, topic, username, password, durableSubscription };
}

/** The URLs of a store, each checked; the default of its type where none is written. */
function urlsOf(
  at: string,
  type: BuiltIn,
  table: Persistent | Further,
  assembly: Assembly,
): readonly string[] {
  const fromHostname = 'hostname' in table && (table.hostname?.length ?? 0) > 0;
  const key = fromHostname ? `${at}.hostname` : `${at}.endpointURL`;
  let written = fromHostname ? table.hostname : table.endpointURL;
  if (written === undefined) {
    const { url } = STORE_DEFAULTS[type];
    if (url !== undefined) return [url];
    assembly.contradiction(
      key,
      `is missing: a source of type "${type}" needs the URL of its store`,
    );
    return [];
  }
  if (written.length === 0) assembly.badValue(key, 'must not be empty');
  if (type === 'etcd')
    written = written.flatMap((text) => text.split(',')).map((text) => text.trim());
  if (type !== 'etcd' && written.length > 1)
    assembly.contradiction(key, `may name one URL only for type "${type}"; several are for etcd`);
  for (const text of written) {
    const problem = urlProblem(text);
    if (problem !== undefined) {
      assembly.badValue(key, problem);
      continue;
    }
    const url = new URL(text);
    if (url.protocol === 'https:' || isLoopback(url)) continue;
    if (type === 'event-stream')
      assembly.badValue(
        key,
        'must be https: plain http is for this very machine only (localhost, 127.0.0.1, ::1)',
      );
    else
      assembly.warn(
        `\`${key}\` is plain http to another machine: whoever is in between can read the credentials and hide revocations`,
      );
  }
  return written;
}

/** User and password together, or neither; both empty means none. */
function credentialsOf(
  at: string,
  type: BuiltIn,
  table: Persistent | Further,
  assembly: Assembly,
): Credentials | undefined {
  const { username, password } = table;
  if (username === undefined && password === undefined) return STORE_DEFAULTS[type].credentials;
  if (username === undefined || password === undefined) {
    const [set, unset] =
      password === undefined ? ['username', 'password'] : ['password', 'username'];
    if (!assembly.complaints.has(`${at}.${unset}`))
      assembly.contradiction(`${at}.${set}`, `is set, but \`${unset}\` is not: set both`);
    return undefined;
  }
  if (username === '' && password !== '')
    assembly.contradiction(`${at}.password`, 'is set, but `username` is empty: set both');
  return username === '' ? undefined : { username, password };
}

function clientKeyStoreOf(
  at: string,
  type: BuiltIn,
  table: Persistent | Further,
  assembly: Assembly,
): StoreConfig | undefined {
  if (table.clientKeyStorePath === undefined) return undefined;
  if (type === 'default')
    assembly.contradiction(
      `${at}.clientKeyStorePath`,
      'is for types "etcd" and "event-stream": the event hub is called with user name and password',
    );
  return { path: table.clientKeyStorePath, password: table.clientKeyStorePassword };
}

function store(
  at: string,
  type: BuiltIn,
  core: Core,
  table: Persistent | Further,
  assembly: Assembly,
): SourceConfig | undefined {
  const urls = urlsOf(at, type, table, assembly);
  const credentials = credentialsOf(at, type, table, assembly);
  const clientKeyStore = clientKeyStoreOf(at, type, table, assembly);
  const [url] = urls;
  if (url === undefined) return undefined;
  const reconcileIntervalMs = reconcileIntervalOf(at, type, urls, table, assembly);
  if (type === 'etcd')
    return { ...core, type, urls, credentials, clientKeyStore, reconcileIntervalMs };
  if (type === 'event-stream') {
    if (`${table.username ?? ''}${table.password ?? ''}` === '' && clientKeyStore === undefined)
      assembly.contradiction(
        `${at}.username`,
        'is missing: an event stream has no anonymous reader; set `username` and `password`, or `clientKeyStorePath`',
      );
    return { ...core, type, url, credentials, clientKeyStore, reconcileIntervalMs };
  }
  return {
    ...core,
    type: 'event-hub',
    url: url.replace(/\/+$/, ''),
    credentials,
    reconcileIntervalMs,
  };
}

/** What `type` and WSO2's old `useDefault` mean together. */
function persistentType(table: Persistent, assembly: Assembly): BuiltIn | 'extension' {
  const type = table.type ?? 'default';
  const builtIn = BUILT_IN.find((word) => word === type);
  const key = `${PERSISTENT}.useDefault`;
  if (table.useDefault && table.type === undefined)
    assembly.contradiction(
      key,
      'meant etcd in WSO2 3.0 and 3.1, but without `type` it is the event hub: write `type = "etcd"`, or remove it',
    );
  else if (table.useDefault && type === 'event-stream')
    assembly.contradiction(key, 'means etcd, but `type` is "event-stream": remove it');
  else if (table.useDefault && type === 'default')
    assembly.warn(`\`${key}\` has no effect where \`type\` is "default", as in WSO2: remove it`);
  else if (table.useDefault) return 'etcd';
  return builtIn ?? 'extension';
}

function persistent(assembly: Assembly): SourceConfig | undefined {
  const table = assembly.read.settings[PERSISTENT];
  const type = persistentType(table, assembly);
  if (type !== 'extension') {
    for (const { path, place } of assembly.read.extras.values())
      assembly.complaints.add(unknownKey(path, place));
  }
  if (!table.enablePersistentStorageRetrieval) return undefined;
  const core = coreOf('persistent', table, true);
  if (type !== 'extension') return store(PERSISTENT, type, core, table, assembly);
  const extensionType = table.type ?? '';
  const near = nearest(extensionType, BUILT_IN);
  if (near !== undefined)
    assembly.warn(
      `\`${PERSISTENT}.type\` is ${JSON.stringify(extensionType)}, which runs the project's extension: if "${near}" is meant, write that`,
    );
  return {
    ...core,
    type,
    extensionType,
    section: assembly.read.persistentSection,
    reconcileIntervalMs: reconcileIntervalOf(PERSISTENT, 'extension', [], table, assembly),
  };
}

function further(assembly: Assembly): (SourceConfig | undefined)[] {
  const names = new Map([
    ['realtime', `[${REALTIME}]`],
    ['persistent', `[${PERSISTENT}]`],
  ]);
  return assembly.read.settings[FURTHER].map((table, i) => {
    const at = `${FURTHER}.${i}`;
    const name = table.name ?? '';
    const taken = names.get(name);
    if (table.name === undefined)
      assembly.contradiction(`${at}.name`, 'is missing: every source needs a name of its own');
    else if (taken !== undefined)
      assembly.contradiction(`${at}.name`, `is the name of ${taken}: every source needs its own`);
    else names.set(name, `\`${at}\``);
    if (!assembly.has(`${at}.type`))
      assembly.contradiction(`${at}.type`, 'is missing: write which type of source it is');
    // What its other keys mean depends on the type.
    if (assembly.complaints.has(`${at}.type`)) return undefined;
    for (const key of table.type === 'amqp' ? STORE_ONLY : AMQP_ONLY) {
      if (assembly.has(`${at}.${key}`))
        assembly.contradiction(
          `${at}.${key}`,
          `has no meaning for a source of type "${table.type}"`,
        );
    }
    const core = coreOf(name, table, table.type !== 'amqp' || !hasStore(assembly));
    return table.type === 'amqp'
      ? amqp(at, core, table, assembly)
      : store(at, table.type, core, table, assembly);
  });
}

/** An issuer that nobody configured would confine a source to nothing: a mistyped one must not disarm it. */
function checkIssuers(
  issuers: readonly IssuerConfig[],
  opaqueIssuer: string,
  assembly: Assembly,
): void {
  const known = [...issuers.map(({ issuer }) => issuer), opaqueIssuer];
  const { settings } = assembly.read;
  const tables: (readonly [string, readonly string[] | undefined])[] = [
    [REALTIME, settings[REALTIME].issuers],
    [PERSISTENT, settings[PERSISTENT].issuers],
    ...settings[FURTHER].map((table, i) => [`${FURTHER}.${i}`, table.issuers] as const),
  ];
  for (const [at, list] of tables) {
    if (list?.length === 0)
      assembly.badValue(`${at}.issuers`, 'is empty, so the source could revoke nothing: remove it');
    for (const issuer of list ?? []) {
      if (!known.includes(issuer))
        assembly.badValue(
          `${at}.issuers`,
          `names ${JSON.stringify(issuer)}, which is no configured issuer`,
          nearest(issuer, known),
        );
    }
  }
}

/** Whether any source is a store: then topics need not prove themselves. */
function hasStore({ read: { settings } }: Assembly): boolean {
  return (
    settings[PERSISTENT].enablePersistentStorageRetrieval ||
    settings[FURTHER].some(({ type }) => type !== 'amqp')
  );
}

/** All enabled sources, in the order realtime, persistent, `[[tokenRevocationConfig.sources]]`. */
export function assembleSources(
  issuers: readonly IssuerConfig[],
  opaqueIssuer: string,
  assembly: Assembly,
): SourceConfig[] {
  checkIssuers(issuers, opaqueIssuer, assembly);
  const realtime = assembly.read.settings[REALTIME];
  const sources = [
    realtime.enableRealtimeMessageRetrieval
      ? amqp(REALTIME, coreOf('realtime', realtime, !hasStore(assembly)), realtime, assembly)
      : undefined,
    persistent(assembly),
    ...further(assembly),
  ].filter((source) => source !== undefined);
  if (sources.length > 0 && !sources.some(({ required }) => required)) {
    const at = [
      REALTIME,
      PERSISTENT,
      ...assembly.read.settings[FURTHER].map((_, i) => `${FURTHER}.${i}`),
    ]
      .map((table) => `${table}.required`)
      .find((key) => assembly.has(key));
    if (at !== undefined)
      assembly.contradiction(
        at,
        'is false, and no other source is required: nothing would ever tell whether a revocation was missed',
      );
  }
  if (
    issuers.length > 1 &&
    sources.length > 0 &&
    sources.every((source) => source.issuers === undefined)
  )
    assembly.warn(
      'more than one issuer is configured and no source is confined by `issuers`: each source may revoke the tokens of all of them',
    );
  return sources;
}
