import { optionsOf, percentDecoded, refusal } from './jms-url-options.ts';

/** One broker of a JMS connection URL, with what the URL says about reaching it. */
export interface JmsBroker {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Trust store file (PEM, PKCS12 or JKS) instead of the default certificates. */
  readonly trustStore: string | undefined;
  readonly trustStorePassword: string | undefined;
  /** Key store file for a client certificate. */
  readonly keyStore: string | undefined;
  readonly keyStorePassword: string | undefined;
  readonly keyAlias: string | undefined;
  /** PEM files of a client certificate and its key. */
  readonly clientCertificatePath: string | undefined;
  readonly clientKeyPath: string | undefined;
  readonly verifyHostname: boolean;
  /** Seconds; 0 switches heartbeats off; undefined: not said. */
  readonly heartbeatSeconds: number | undefined;
  /** Milliseconds for TCP, TLS and the AMQP handshake together. */
  readonly connectTimeoutMs: number;
  /** Milliseconds between two attempts at this broker, at least. */
  readonly connectDelayMs: number;
  /** SASL mechanisms to choose from, in the order of the URL; empty: any. */
  readonly saslMechanisms: readonly string[];
}

/** A JMS connection URL of the Qpid and Andes AMQP 0-9-1 clients, taken apart. Holds secrets: never log it whole. */
export interface JmsUrl {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly clientId: string | undefined;
  /** As those clients send it: with a leading slash. */
  readonly vhost: string;
  /** At least one. With `singlebroker` and `nofailover` only the first is left. */
  readonly brokers: readonly [JmsBroker, ...JmsBroker[]];
  /** Exchange that carries topics. */
  readonly topicExchange: string;
  /** Unacknowledged messages at a time. */
  readonly maxPrefetch: number | undefined;
  /** What the operator should know: options that have no effect here, and likely slips. No secret is in them. */
  readonly warnings: readonly string[];
}

const DEFAULT_PORT = 5672;
const DEFAULT_CONNECT_TIMEOUT_MS = 30_000;
const EXAMPLE = "amqp://user:password@clientid/vhost?brokerlist='tcp://host:5672'";

/** Options that change what a subscriber or publisher like this one does; read below. */
const USED = new Set([
  'brokerlist',
  'failover',
  'maxprefetch',
  'defaulttopicexchange',
  'connectdelay',
  'connecttimeout',
  'heartbeat',
  'idle_timeout',
  'ssl',
  'trust_store',
  'trust_store_password',
  'trusted_certs_path',
  'key_store',
  'key_store_password',
  'ssl_cert_alias',
  'client_cert_path',
  'client_cert_priv_key_path',
  'ssl_verify_hostname',
  'sasl_mechs',
]);

/** Options of the JMS clients that need nothing done: queues, publishing, JVM matters, or what is always so here. */
const HARMLESS = new Set([
  'retries', // attempts never end here
  'cyclecount',
  'trust_store_type', // the file tells
  'key_store_type',
  'sync_publish',
  'sync_persistence',
  'sync_ack',
  'sync_client_ack',
  'use_legacy_map_msg_format',
  'use_legacy_stream_msg_format',
  'rejectbehaviour',
  'closewhennoroute',
  'compressmessages',
  'messagecompressionthresholdsize',
  'verifyqueueonsend',
  'populatejmsxuserid',
  'objectmessageclasshierarchywhitelist',
  'objectmessageclasshierarchyblacklist',
  'defaultqueueexchange',
  'temporarytopicexchange',
  'temporaryqueueexchange',
  'redeliverydelay',
  'tcp_nodelay',
]);

/**
 * Reads a JMS connection URL: `amqp://[user:password@][clientid]/[vhost]?option='value'&...`. `%26` and `&amp;` are undone once.
 * @throws OperatorError `ERR_JMS_URL`, saying what is wrong and how to mend it, never with a password in it.
 */
export function parseJmsUrl(url: string): JmsUrl {
  const text = url.trim();
  if (/\{secretAlias:/i.test(text))
    throw refusal(
      'it has a {secretAlias:...}, which only a Carbon secure vault can resolve. Put the secret in with ${env:NAME} or ${file:/path}',
    );
  if (!/^amqp:\/\//i.test(text))
    throw refusal(
      /^amqps:/i.test(text)
        ? "it begins with amqps://. Begin it with amqp:// and give the broker ssl='true'"
        : `it does not begin with amqp://. Write it as ${EXAMPLE}`,
    );
  const match = /^([^/?#]*)(\/[^?#]*)?(?:\?(.*))?$/s.exec(text.slice('amqp://'.length));
  if (match === null) throw refusal("it has a '#', which must be written %23");
  const [, authority = '', path, query] = match;
  if (path === undefined)
    throw refusal(
      `there is no /vhost after the client id (a single / will do). Write it as ${EXAMPLE}`,
    );

  if (!authority.includes('@') && path.includes('@'))
    throw refusal(
      "it has a '/' before its '@'. Write a '/' of the user name or the password as %2F",
    );

  const warnings: string[] = [];
  const identity = readAuthority(authority, warnings);
  const options = optionsOf(percentDecoded(query ?? '').replaceAll('&amp;', '&'), 'the URL');
  const brokers = readBrokers(options, warnings);
  for (const { host, tls } of brokers)
    if (!tls && !isLoopback(host))
      warnings.push(
        `The message broker on ${host} is reached without TLS: password and events can be read and forged on the way. Give it ssl='true'`,
      );
  const prefetch = wholeNumber(options, 'maxprefetch', 1);
  return {
    ...identity,
    vhost: percentDecoded(path),
    brokers,
    topicExchange: options.get('defaulttopicexchange') ?? 'amq.topic',
    maxPrefetch: prefetch,
    warnings,
  };
}

/** User information ends at the first `@` and is split at the first `:`, as the JMS clients do. */
function readAuthority(
  authority: string,
  warnings: string[],
): Pick<JmsUrl, 'username' | 'password' | 'clientId'> {
  const at = authority.indexOf('@');
  const clientId = percentDecoded(authority.slice(at + 1));
  if (clientId.includes('@'))
    warnings.push("The client id has an '@': an '@' in the password must be written %40");
  const named = clientId === '' ? undefined : clientId;
  if (at < 0) return { username: undefined, password: undefined, clientId: named };
  const userInfo = authority.slice(0, at);
  const colon = userInfo.indexOf(':');
  if (colon < 0)
    throw refusal('it has a user name but no password. Write user:password@ before the client id');
  return {
    username: percentDecoded(userInfo.slice(0, colon)),
    password: percentDecoded(userInfo.slice(colon + 1)),
    clientId: named,
  };
}

function readBrokers(
  options: ReadonlyMap<string, string>,
  warnings: string[],
): readonly [JmsBroker, ...JmsBroker[]] {
  const list = options.get('brokerlist');
  if (list === undefined || list.trim() === '')
    throw refusal(`there is no brokerlist. Add ?brokerlist='tcp://host:5672'`);
  const brokers = list
    .split(';')
    .filter((each) => each.trim() !== '')
    .map((each) => readBroker(each.trim(), options, warnings));
  const [first] = brokers;
  if (first === undefined) throw refusal(`brokerlist is empty. Write brokerlist='tcp://host:5672'`);
  warnAbout(options, warnings);
  const method = (options.get('failover') ?? '').split('?', 1)[0]?.trim().toLowerCase() ?? '';
  if (method === 'singlebroker' || method === 'nofailover') {
    if (brokers.length > 1)
      warnings.push(`failover='${method}' leaves only the first of ${brokers.length} brokers`);
    return [first];
  }
  if (method !== '' && method !== 'roundrobin')
    warnings.push('The failover method is not known here: brokers are tried in turn');
  return [first, ...brokers.slice(1)];
}

/** `[tcp://]host[:port][?option='value'...]`. What a broker does not say is looked up in the URL's own options. */
function readBroker(
  text: string,
  shared: ReadonlyMap<string, string>,
  warnings: string[],
): JmsBroker {
  const question = text.indexOf('?');
  const address = question < 0 ? text : text.slice(0, question);
  const scheme = /^([^:/?]*):\/\//.exec(address)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== 'tcp' && scheme !== 'socket')
    throw refusal(
      `a broker's transport is neither tcp nor socket. For TLS write tcp://host:5671?ssl='true'`,
    );
  const place = scheme === undefined ? address : address.slice(scheme.length + 3);
  const match = /^(\[[0-9a-fA-F:.%]+\]|[^\s:/[\]'@]+)(?::(\d{1,5}))?\/?$/.exec(place);
  const port = Number(match?.[2] ?? DEFAULT_PORT);
  const host = match?.[1]?.replace(/^\[|\]$/g, '');
  if (host === undefined || port < 1 || port > 65_535)
    throw refusal(
      `a broker of brokerlist is not tcp://host:port. Write brokerlist='tcp://host:5672'`,
    );

  const own = question < 0 ? new Map<string, string>() : optionsOf(text.slice(question + 1), host);
  warnAbout(own, warnings);
  const options = new Map([...shared, ...own]);
  const idleMs = wholeNumber(options, 'idle_timeout', 0);
  return {
    host,
    port,
    // The URL's own `ssl` decides for every broker.
    tls: flag(shared, 'ssl') ?? flag(own, 'ssl') ?? false,
    trustStore: options.get('trust_store') ?? options.get('trusted_certs_path'),
    trustStorePassword: options.get('trust_store_password'),
    keyStore: options.get('key_store'),
    keyStorePassword: options.get('key_store_password'),
    keyAlias: options.get('ssl_cert_alias'),
    clientCertificatePath: options.get('client_cert_path'),
    clientKeyPath: options.get('client_cert_priv_key_path'),
    verifyHostname: flag(options, 'ssl_verify_hostname') ?? true,
    heartbeatSeconds:
      wholeNumber(options, 'heartbeat', 0) ??
      (idleMs === undefined ? undefined : Math.ceil(idleMs / 1000)),
    connectTimeoutMs: wholeNumber(options, 'connecttimeout', 1) ?? DEFAULT_CONNECT_TIMEOUT_MS,
    connectDelayMs: wholeNumber(options, 'connectdelay', 0) ?? 0,
    saslMechanisms: (options.get('sasl_mechs') ?? '').toUpperCase().split(/\s+/).filter(Boolean),
  };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function warnAbout(options: ReadonlyMap<string, string>, warnings: string[]): void {
  for (const name of options.keys()) {
    if (USED.has(name) || HARMLESS.has(name)) continue;
    const warning = `Option ${name} of the JMS connection URL has no effect here`;
    if (!warnings.includes(warning)) warnings.push(warning);
  }
}

function flag(options: ReadonlyMap<string, string>, name: string): boolean | undefined {
  const value = options.get(name)?.trim().toLowerCase();
  if (value === undefined) return undefined;
  if (value !== 'true' && value !== 'false') throw refusal(`${name} must be 'true' or 'false'`);
  return value === 'true';
}

function wholeNumber(
  options: ReadonlyMap<string, string>,
  name: string,
  least: number,
): number | undefined {
  const value = options.get(name)?.trim();
  if (value === undefined) return undefined;
  const number = /^\d{1,9}$/.test(value) ? Number(value) : -1;
  if (number < least) throw refusal(`${name} must be a whole number of ${least} or more`);
  return number;
}
