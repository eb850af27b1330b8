import type { AmqpSourceConfig, SourceConfig } from './config/config.ts';
import { OperatorError } from './errors.ts';
import type { RevocationExtension } from './extension.ts';
import type { Log } from './log.ts';
import type { HttpClient, HttpClientOptions } from './net/http-client.ts';
import { type PlaceOf, withPlace } from './place.ts';
import type { RevocationPublisher, RevocationSource } from './revocation/source.ts';
import { loadKeyStore } from './tls/key-store.ts';
import { loadTrustStore } from './tls/trust-store.ts';

/** What sources are made with. */
export interface SourceContext {
  readonly log: Log;
  readonly placeOf: PlaceOf;
  /** PEM certificates that brokers are checked against, where their URL names no trust store. */
  readonly ca: readonly string[];
  /** For sources that show no client certificate. */
  readonly http: HttpClient;
  /** Another client, with a client certificate; closed by whoever closes `http`. */
  readonly httpWith: (certificate: Pick<HttpClientOptions, 'cert' | 'key'>) => HttpClient;
  /** The artifact's `token_revocation_extension`, if it has one. */
  readonly extension: RevocationExtension | undefined;
  /** Asks every store for a whole new read. */
  readonly rereadStores: () => void;
  /** Milliseconds between two proofs of a source that it missed nothing. */
  readonly proofIntervalMs: number;
  /** Milliseconds; what was revoked longer ago denies nobody any more. */
  readonly longestTokenLifeMs: number;
  /** Entries that one reading of a store may have. */
  readonly maxEntries: number;
}

type Maker<T extends SourceConfig['type']> = (
  config: Extract<SourceConfig, { type: T }>,
  context: SourceContext,
) => Promise<RevocationSource>;

/** The sources there are. Each is loaded when one of its type is configured, and can be deleted with its line here. */
const MAKERS: { readonly [T in SourceConfig['type']]: Maker<T> } = {
  amqp: async (config, context) => {
    const { createAmqpSource } = await import('./sources/amqp.ts');
    const { durableSubscription } = config;
    const durableExpiresMs = context.longestTokenLifeMs;
    return createAmqpSource(
      {
        ...amqpPeer(config, context),
        onReloadHint: context.rereadStores,
        proofIntervalMs: context.proofIntervalMs,
        ...(durableSubscription === undefined ? {} : { durableSubscription, durableExpiresMs }),
      },
      context.log,
    );
  },
  'event-hub': async (config, { log, http, maxEntries }) => {
    const { createEventHubSource } = await import('./sources/event-hub.ts');
    return createEventHubSource({ ...config, http, log, maxEntries });
  },
  etcd: async (config, context) => {
    const { createEtcdSource } = await import('./sources/etcd.ts');
    const { http } = await clientFor(config, context);
    const { log, proofIntervalMs, maxEntries } = context;
    return createEtcdSource({ ...config, http, log, proofIntervalMs, maxEntries });
  },
  'event-stream': async (config, context) => {
    const { createEventStreamSource } = await import('./sources/event-stream.ts');
    const client = await clientFor(config, context);
    const { log, proofIntervalMs, maxEntries } = context;
    return createEventStreamSource({ ...config, ...client, log, proofIntervalMs, maxEntries });
  },
  extension: async (config, { log, extension, maxEntries }) => {
    if (extension === undefined)
      throw new OperatorError(
        'ERR_EXTENSION_MISSING',
        `"${config.extensionType}" asks for extensions/token_revocation_extension.ts, and the artifact has none. Write it and build the project again, or use "default", "etcd" or "event-stream"`,
      );
    const { createExtensionSource } = await import('./sources/extension.ts');
    return createExtensionSource({
      name: config.name,
      extension,
      config: config.section,
      log,
      reconcileIntervalMs: config.reconcileIntervalMs,
      maxEntries,
    });
  },
};

/** A broker with what it is reached by. */
function amqpPeer(config: AmqpSourceConfig, { ca }: SourceContext) {
  const { name, url, topic, username, password } = config;
  return {
    name,
    providerUrl: url,
    topic,
    username,
    password,
    ca,
    loadTrust: async (path: string, password: string | undefined) =>
      (await loadTrustStore(path, password ?? '')).pem,
    loadKeyPair: (path: string, password: string | undefined, alias: string | undefined) =>
      loadKeyStore(path, password ?? '', alias),
  };
}

async function clientFor(
  { clientKeyStore }: Extract<SourceConfig, { type: 'etcd' | 'event-stream' }>,
  context: SourceContext,
): Promise<{ http: HttpClient; hasClientCertificate: boolean }> {
  if (clientKeyStore === undefined) return { http: context.http, hasClientCertificate: false };
  const { key, cert } = await loadKeyStore(clientKeyStore.path, clientKeyStore.password);
  return { http: context.httpWith({ key, cert }), hasClientCertificate: true };
}

const CONFIG = 'tokenRevocationConfig';

/** Full name of the table that a source was configured by. Only the sources of the array have names of their own. */
function tableOf({ name }: SourceConfig, all: readonly SourceConfig[]): string {
  if (name === 'realtime' || name === 'persistent') return `${CONFIG}.${name}`;
  const further = all.filter(({ name }) => name !== 'realtime' && name !== 'persistent');
  return `${CONFIG}.sources.${further.findIndex((other) => other.name === name)}`;
}

/** The key whose value a source was refused for. */
function keyOf(type: SourceConfig['type'], { code }: OperatorError): string {
  if (code === 'ERR_DURABLE_SUBSCRIPTION') return 'durableSubscription';
  if (type === 'amqp') return 'jmsConnectionProviderUrl';
  if (type === 'extension') return 'type';
  return code === 'ERR_KEY_STORE' ? 'clientKeyStorePath' : 'endpointURL';
}

/**
 * Makes one configured source.
 * @param all every source there is
 * @throws OperatorError when it cannot work as it is configured, with the place of the key; never with its value
 */
export function createSource<T extends SourceConfig['type']>(
  config: Extract<SourceConfig, { type: T }>,
  all: readonly SourceConfig[],
  context: SourceContext,
): Promise<RevocationSource> {
  const make: Maker<T> = MAKERS[config.type];
  return withPlace(
    context.placeOf,
    (refusal) => `${tableOf(config, all)}.${keyOf(config.type, refusal)}`,
    () => make(config, context),
  );
}

/** The way back into a source, for revocations of this gateway's own operator. Undefined: it can only be read. */
export async function createPublisher(
  config: SourceConfig,
  context: SourceContext,
): Promise<RevocationPublisher | undefined> {
  if (config.type === 'amqp') {
    const { createAmqpPublisher } = await import('./sources/amqp-publisher.ts');
    return createAmqpPublisher(amqpPeer(config, context), context.log);
  }
  if (config.type !== 'etcd') return undefined;
  const { createEtcdPublisher } = await import('./sources/etcd-publisher.ts');
  const { http } = await clientFor(config, context);
  const { name, urls, credentials } = config;
  return createEtcdPublisher({ name, urls, credentials, http });
}
