import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type * as Amqplib from 'amqplib';
import { OperatorError } from '../errors.ts';
import type { Log } from '../log.ts';
import { HandshakeWatch, type BrokerRefusal } from './amqp-handshake.ts';
import { parseJmsUrl, type JmsBroker, type JmsUrl } from './jms-url.ts';

/** Where a broker is and how to be let in. */
export interface AmqpPeerOptions {
  /** JMS connection URL (`jmsConnectionProviderUrl`). */
  readonly providerUrl: string;
  /** `jmsConnectionUsername` and `jmsConnectionPassword`: when set (not empty) they win over the URL's. */
  readonly username?: string;
  readonly password?: string;
  /** PEM certificates to trust where the URL names no trust store. Default: Node's own roots. */
  readonly ca?: readonly string[];
  /** Reads a trust store file (PEM, PKCS12 or JKS) into PEM certificates. Needed only when the URL names one. */
  readonly loadTrust?: (path: string, password: string | undefined) => Promise<readonly string[]>;
  /** Between two heartbeats, where the URL does not say it. Default 10. Each side takes the other for gone after two or three without a sign. */
  readonly heartbeatSeconds?: number;
  /** Reads a certificate chain and its key, both PEM, from a key store file. Needed only when the URL names one. */
  readonly loadKeyPair?: (
    path: string,
    password: string | undefined,
    alias: string | undefined,
  ) => Promise<{ readonly cert: string; readonly key: string }>;
}

/** One open AMQP connection. */
export interface AmqpLink {
  readonly model: Amqplib.ChannelModel;
  /** `host:port`, for logs. */
  readonly broker: string;
  readonly isRabbitmq: boolean;
  /** Milliseconds that the URL allows for getting connected; good for the first exchanges too. */
  readonly timeoutMs: number;
  /** Rejects once the connection is gone, for whatever reason. Safe to leave alone. */
  readonly lost: Promise<never>;
  /** Ends it, politely if the broker answers within two seconds. Never rejects. */
  close(): Promise<void>;
}

type Credentials = ReturnType<typeof Amqplib.credentials.plain>;

const LOG_KEY = 'TokenRevocationJMS';
const DEFAULT_HEARTBEAT_SECONDS = 10;
const LONGEST_DELAY_MS = 60_000;
const CLOSE_TIMEOUT_MS = 2000;
const SASL = ['PLAIN', 'AMQPLAIN', 'EXTERNAL'] as const;

/**
 * Opens connections to the brokers of one JMS URL, the next broker each time. Never retries by itself, but for the virtual host: the JMS
 * clients send it with a leading slash, which WSO2's broker strips and RabbitMQ does not, so a refused `/x` is tried once more as `x`.
 */
export class AmqpDialer {
  readonly url: JmsUrl;
  readonly #options: AmqpPeerOptions;
  readonly #username: string;
  readonly #password: string;
  #next = 0;
  readonly #lastAttempt = new Map<JmsBroker, number>();
  /** Virtual host names to try, the one that worked last in front. */
  #vhosts: readonly string[];

  /** @throws OperatorError `ERR_JMS_URL` when the URL cannot be used, or names what cannot be had here. */
  constructor(options: AmqpPeerOptions, log: Log) {
    this.url = parseJmsUrl(options.providerUrl);
    this.#options = options;
    this.#username = options.username || (this.url.username ?? '');
    this.#password = options.password || (this.url.password ?? '');
    const { vhost } = this.url;
    this.#vhosts = vhost.length > 1 ? [vhost, vhost.slice(1)] : [vhost];
    for (const broker of this.url.brokers) this.#check(broker);
    for (const warning of this.url.warnings) log.warn(LOG_KEY, warning);
    if (this.url.brokers.some((broker) => broker.tls && !broker.verifyHostname))
      log.warn(
        LOG_KEY,
        "ssl_verify_hostname='false': any host with a trusted certificate can pass itself off as the message broker",
      );
  }

  /**
   * Connects to the broker whose turn it is.
   * @throws Error that names broker and reason, with no secret in it.
   */
  async open(signal: AbortSignal): Promise<AmqpLink> {
    const { brokers } = this.url;
    const broker = brokers[this.#next++ % brokers.length] ?? brokers[0];
    await this.#waitForTurn(broker, signal);
    try {
      return await this.#openWithEitherVhost(broker, signal);
    } catch (error) {
      throw this.failure('Error while creating the jms connection.', error, broker);
    }
  }

  /** An error fit for the log: `what`, broker and reason, with every secret of the URL blotted out. */
  failure(what: string, error: unknown, broker?: JmsBroker | string): Error {
    const place =
      broker === undefined || typeof broker === 'string' ? broker : `${broker.host}:${broker.port}`;
    const reason = this.#blot(reasonOf(error));
    return new Error(`${what}${place === undefined ? '' : ` Broker ${place}:`} ${reason}`);
  }

  #blot(text: string): string {
    const secrets = [this.#password, this.url.password ?? ''];
    for (const broker of this.url.brokers)
      secrets.push(broker.trustStorePassword ?? '', broker.keyStorePassword ?? '');
    let blotted = text;
    for (const secret of secrets) {
      if (secret === '') continue;
      blotted = blotted.replaceAll(secret, '***').replaceAll(encodeURIComponent(secret), '***');
    }
    return blotted;
  }

  #check(broker: JmsBroker): void {
    if (broker.trustStore !== undefined && this.#options.loadTrust === undefined)
      throw new OperatorError('ERR_JMS_URL', 'trust_store cannot be read here');
    if (broker.keyStore !== undefined && this.#options.loadKeyPair === undefined)
      throw new OperatorError(
        'ERR_JMS_URL',
        'key_store cannot be read here: name PEM files with client_cert_path and client_cert_priv_key_path',
      );
    const mechanism = this.#mechanism(broker);
    if (mechanism === undefined)
      throw new OperatorError(
        'ERR_JMS_URL',
        `none of the SASL mechanisms of sasl_mechs is known here: name one of ${SASL.join(', ')}`,
      );
    if (mechanism !== 'EXTERNAL' && this.#username === '')
      throw new OperatorError(
        'ERR_JMS_URL',
        'no user name for the message broker: write user:password@ into the URL, or set jmsConnectionUsername and jmsConnectionPassword',
      );
  }

  #mechanism(broker: JmsBroker): (typeof SASL)[number] | undefined {
    const hasCertificate =
      broker.keyStore !== undefined || broker.clientCertificatePath !== undefined;
    if (broker.saslMechanisms.length === 0)
      return this.#username === '' && hasCertificate ? 'EXTERNAL' : 'PLAIN';
    return SASL.find((each) => broker.saslMechanisms.includes(each));
  }

  async #waitForTurn(broker: JmsBroker, signal: AbortSignal): Promise<void> {
    const last = this.#lastAttempt.get(broker);
    if (last !== undefined) {
      const left = last + Math.min(broker.connectDelayMs, LONGEST_DELAY_MS) - performance.now();
      if (left > 0) await pause(left, undefined, { signal });
    }
    this.#lastAttempt.set(broker, performance.now());
  }

  async #openWithEitherVhost(broker: JmsBroker, signal: AbortSignal): Promise<AmqpLink> {
    const tls = await this.#tlsOptions(broker);
    const refusals: string[] = [];
    for (const vhost of this.#vhosts) {
      try {
        const link = await this.#openOnce(broker, vhost, tls, signal);
        this.#vhosts = [vhost, ...this.#vhosts.filter((each) => each !== vhost)];
        return link;
      } catch (error) {
        if (!(error instanceof VhostRefused)) throw error;
        refusals.push(`for vhost '${vhost}' (${error.message})`);
      }
    }
    throw new Error(`connection.open was refused ${refusals.join(' and ')}`);
  }

  async #openOnce(
    broker: JmsBroker,
    vhost: string,
    tls: object,
    signal: AbortSignal,
  ): Promise<AmqpLink> {
    signal.throwIfAborted();
    const amqplib = await import('amqplib');
    const end = new AbortController();
    const abort = (): void => end.abort();
    signal.addEventListener('abort', abort, { once: true });
    const timer = setTimeout(abort, broker.connectTimeoutMs);
    const socketOptions = {
      ...tls,
      // Node ends the socket with it at any time, also one that amqplib no longer hands out.
      signal: end.signal,
      noDelay: true,
      keepAlive: true,
      credentials: this.#credentials(amqplib, broker),
      clientProperties: this.#clientProperties(),
    };
    const { result, watch } = HandshakeWatch.around(() =>
      amqplib.connect(
        {
          protocol: broker.tls ? 'amqps' : 'amqp',
          hostname: broker.host,
          port: broker.port,
          // amqplib percent-decodes it once more.
          vhost: encodeURIComponent(vhost),
          heartbeat:
            broker.heartbeatSeconds ?? this.#options.heartbeatSeconds ?? DEFAULT_HEARTBEAT_SECONDS,
        },
        socketOptions,
      ),
    );
    // A connection that comes too late must not end the process with an `error` that nobody listens for.
    result.then(
      (model) => model.on('error', () => undefined),
      () => undefined,
    );
    // Should amqplib never answer, the deadline still does.
    const late = once(end.signal, 'abort').then(() => Promise.reject(new HandshakeEnded()));
    try {
      const model = await Promise.race([result, late]);
      return linkOf(model, broker, end);
    } catch (error) {
      end.abort();
      if (signal.aborted || !(error instanceof Error)) throw error;
      if (/Expected ConnectionOpenOk; got <ConnectionClose/.test(error.message))
        throw new VhostRefused(watch.refusal);
      if (error instanceof HandshakeEnded || error.name === 'AbortError')
        throw new Error(`no AMQP connection within ${broker.connectTimeoutMs} ms`, {
          cause: error,
        });
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      watch.release();
    }
  }

  #credentials(amqplib: typeof Amqplib, broker: JmsBroker): Credentials {
    const mechanism = this.#mechanism(broker);
    // amqplib's EXTERNAL has no name and password, but its options ask for none either.
    if (mechanism === 'EXTERNAL') return amqplib.credentials.external() as Credentials;
    return mechanism === 'AMQPLAIN'
      ? amqplib.credentials.amqplain(this.#username, this.#password)
      : amqplib.credentials.plain(this.#username, this.#password);
  }

  #clientProperties(): Record<string, unknown> {
    const { clientId } = this.url;
    // With an '@' in it, it is likely the end of a password that should have been encoded: that is not shown to the broker's users.
    const instance = clientId === undefined || clientId.includes('@') ? undefined : clientId;
    return {
      product: 'portcullis',
      ...(instance === undefined ? {} : { instance, connection_name: instance }),
    };
  }

  /** Read anew each time: certificates are exchanged while a gateway runs. */
  async #tlsOptions(broker: JmsBroker): Promise<object> {
    if (!broker.tls) return {};
    const ca =
      broker.trustStore === undefined
        ? this.#options.ca
        : await this.#options.loadTrust?.(broker.trustStore, broker.trustStorePassword);
    return {
      ...(ca === undefined ? {} : { ca: [...ca] }),
      ...(await this.#keyPair(broker)),
      ...(broker.verifyHostname ? {} : { checkServerIdentity: () => undefined }),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
    };
  }

  async #keyPair(broker: JmsBroker): Promise<object> {
    if (broker.keyStore !== undefined)
      return (
        (await this.#options.loadKeyPair?.(
          broker.keyStore,
          broker.keyStorePassword,
          broker.keyAlias,
        )) ?? {}
      );
    if (broker.clientCertificatePath === undefined || broker.clientKeyPath === undefined) return {};
    return {
      cert: await readFile(broker.clientCertificatePath, 'utf8'),
      key: await readFile(broker.clientKeyPath, 'utf8'),
    };
  }
}

/** The deadline came, or the gateway stops. */
class HandshakeEnded extends Error {}

/** The broker let the user in but not into this virtual host. */
class VhostRefused extends Error {
  constructor(refusal: BrokerRefusal | undefined) {
    super(refusal === undefined ? 'no reason was given' : `${refusal.code} ${refusal.text}`);
  }
}

function linkOf(model: Amqplib.ChannelModel, broker: JmsBroker, end: AbortController): AmqpLink {
  const { promise: lost, reject } = Promise.withResolvers<never>();
  lost.catch(() => undefined);
  model.on('error', reject);
  model.on('close', (error?: Error) => reject(error ?? new Error('the connection was closed')));
  return {
    model,
    broker: `${broker.host}:${broker.port}`,
    isRabbitmq: /rabbitmq/i.test(model.connection.serverProperties.product),
    timeoutMs: broker.connectTimeoutMs,
    lost,
    close: async () => {
      const gentle = model.close().catch(() => undefined);
      const timeout = new AbortController();
      const late = pause(CLOSE_TIMEOUT_MS, undefined, { signal: timeout.signal });
      await Promise.race([gentle, late.catch(() => undefined), lost.catch(() => undefined)]);
      timeout.abort();
      end.abort();
    },
  };
}

/** Node's error for several addresses of one host has no message of its own. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '')
    return error.errors.map((each: unknown) => reasonOf(each)).join(', ');
  return error instanceof Error ? error.message : 'no reason is known';
}
