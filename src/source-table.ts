import type { SourceConfig } from './config/config.ts';
import { OperatorError } from './errors.ts';
import type { RevocationExtension } from './extension.ts';
import type { Log } from './log.ts';
import type { HttpClient, HttpClientOptions } from './net/http-client.ts';
import { type PlaceOf, withPlace } from './place.ts';
import type { RevocationSource } from './revocation/source.ts';
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
}

type Maker<T extends SourceConfig['type']> = (
  config: Extract<SourceConfig, { type: T }>,
  context: SourceContext,
) => Promise<RevocationSource>;

/** The sources there are. Each is loaded when one of its type is configured, and can be deleted with its line here. */
const MAKERS: { readonly [T in SourceConfig['type']]: Maker<T> } = {
  amqp: async (config, { log, ca, rereadStores }) => {
    const { createAmqpSource } = await import('./sources/amqp.ts');
    return createAmqpSource(
      {
        name: config.name,
        providerUrl: config.url,
        topic: config.topic,
        username: config.username,
        password: config.password,
        ca,
        loadTrust: async (path, password) => (await loadTrustStore(path, password ?? '')).pem,
        loadKeyPair: (path, password, alias) => loadKeyStore(path, password ?? '', alias),
        onReloadHint: rereadStores,
      },
      log,
    );
  },
  'event-hub': async (config, { log, http }) => {
    const { createEventHubSource } = await import('./sources/event-hub.ts');
    return createEventHubSource({ ...config, http, log });
  },
  etcd: async (config, context) => {
    const { createEtcdSource } = await import('./sources/etcd.ts');
    const { http } = await clientFor(config, context);
    return createEtcdSource({ ...config, http, log: context.log });
  },
  'event-stream': async (config, context) => {
    const { createEventStreamSource } = await import('./sources/event-stream.ts');
    const { http, hasClientCertificate } = await clientFor(config, context);
    return createEventStreamSource({ ...config, http, hasClientCertificate, log: context.log });
  },
  extension: async (config, { log, extension }) => {
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
    });
  },
};

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
