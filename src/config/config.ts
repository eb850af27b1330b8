import type { LogLevel } from '../log.ts';
import type { Values } from './field.ts';
import type { EDGE_SCHEMA } from './schema-edge.ts';

/**
 * The configuration as the rest of the gateway reads it: checked, complete and frozen. Every duration is milliseconds and every size is
 * bytes, and the field's name says so. `schema.ts` holds the keys of micro-gw.conf and their defaults; `assemble.ts` joins the two.
 */
export interface MgwConfig {
  /** Absolute path: `MGW_HOME`, what `${mgw-runtime.home}` stands for. */
  readonly home: string;
  readonly listeners: ListenersConfig;
  readonly limits: RequestLimits;
  readonly edge: EdgeConfig;
  /** Absent: there is no limit on failed verifications. */
  readonly failedVerifications: FailedVerificationsConfig | undefined;
  /** Absent: no request is refused for want of memory or time. */
  readonly loadShedding: LoadSheddingConfig | undefined;
  readonly server: ServerConfig;
  readonly auth: AuthConfig;
  readonly tokenCache: TokenCacheConfig;
  readonly keyManager: KeyManagerConfig;
  readonly revocation: RevocationConfig;
  readonly operator: OperatorConfig | undefined;
  readonly httpClients: HttpClientsConfig;
  readonly log: LogConfig;
  /** Absent: none is written. */
  readonly accessLog: AccessLogConfig | undefined;
  /** Absent: traces pass untouched. */
  readonly tracing: TracingConfig | undefined;
}

/** A key store or trust store: PKCS12, JKS or PEM. PEM takes no notice of the password. */
export interface StoreConfig {
  /** Absolute path. */
  readonly path: string;
  readonly password: string;
}

export interface ListenersConfig {
  /** Address that all listeners bind. */
  readonly host: string;
  /** 0 takes any free port; so do the two below. */
  readonly httpPort: number;
  readonly httpsPort: number;
  readonly tokenPort: number;
  /** HTTP/2 on the HTTPS listener of the APIs. */
  readonly http2: boolean;
  /** False (`keepAlive = "NEVER"`): every connection is closed after its first answer. */
  readonly keepAlive: boolean;
  /** Absent: a certificate of the local CA is made. */
  readonly keyStore: StoreConfig | undefined;
  /** Absent: the default trust store under `home`. */
  readonly trustStore: StoreConfig | undefined;
  /** How long a client may take to send a request head. */
  readonly headersTimeoutMs: number;
  /** How long it may take to send a whole request. */
  readonly requestTimeoutMs: number;
  /** How long a kept-alive connection may stay without a request. */
  readonly keepAliveTimeoutMs: number;
  /** Versions of TLS that clients may speak: `1.2`, `1.3`. */
  readonly tlsVersions: readonly string[];
}

export interface RequestLimits {
  /** Bytes of the request target; above it 414. */
  readonly maxUriBytes: number;
  /** Bytes of all header fields; above it 431. */
  readonly maxHeaderBytes: number;
  /** Number of header fields; above it 431. */
  readonly maxHeaderCount: number;
  /** Bytes of a request body; above it 413. Absent: no limit. */
  readonly maxBodyBytes: number | undefined;
  /** Bytes a second that a client has to send or take; 0: any. */
  readonly minDataRate: number;
  /** Requests of one HTTP/1.1 connection that may wait for their turn. */
  readonly maxPipelined: number;
  /** Of all listeners and threads together; so is the one below. */
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
}

/** `[edgeRules]`, as its schema says; docs/edge-rules.md says what each means. */
export type EdgeConfig = Values<(typeof EDGE_SCHEMA)['edgeRules']['keys']>;

/** `[failedVerifications]`: bad tokens of one address, for all threads together. */
export interface FailedVerificationsConfig {
  readonly perSecond: number;
  readonly burst: number;
}

/** `[loadShedding]`. */
export interface LoadSheddingConfig {
  /** Of a thread's heap. */
  readonly heapPercent: number;
}

export interface ServerConfig {
  /** `Server` field of every answer that the gateway makes. */
  readonly header: string;
  readonly headerRules: readonly HeaderRule[];
  /** IP addresses and CIDR blocks whose `X-Forwarded-*` is believed. */
  readonly trustedProxies: readonly string[];
  /** Tolerance between this clock and a token issuer's. */
  readonly clockSkewMs: number;
  /** How long requests in flight may go on after SIGTERM. */
  readonly drainTimeoutMs: number;
  /** What speaks HTTP/1.1. */
  readonly httpEngine: 'node' | 'own';
  /** Threads for requests; 0: one per core. */
  readonly threads: number;
}

/** One `[[server.headerConf]]`. */
export interface HeaderRule {
  /** As written; header names compare without case. */
  readonly name: string;
  /** True: leave what is there; false: replace it. */
  readonly preserve: boolean;
  readonly value: string;
}

export interface AuthConfig {
  /** Name of the header that carries the credentials. */
  readonly header: string;
  /** False: the header goes on to the upstream. */
  readonly removeHeader: boolean;
  /** At least one, each with another `issuer`. */
  readonly issuers: readonly IssuerConfig[];
}

/** Signature algorithms that an issuer may be confined to (RFC 7518 section 3.1, RFC 8037). */
export type SignatureAlgorithm =
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'EdDSA';

/** Where the verification keys of an issuer are. */
export type IssuerKeys =
  | {
      readonly kind: 'alias';
      readonly alias: string;
      /** Nobody wrote it. */
      readonly byDefault?: true;
    }
  | { readonly kind: 'pem'; readonly path: string }
  | {
      readonly kind: 'jwks';
      readonly url: string;
      /** How often the set is fetched in the background; the same for every issuer. */
      readonly refreshIntervalMs: number;
      /** How long keys stay in use when the set cannot be fetched; the same for every issuer. */
      readonly maxStaleMs: number;
    };

/** One `[[jwtTokenConfig]]`. */
export interface IssuerConfig {
  readonly issuer: string;
  /** Empty: `aud` is not compared (`requireAud` still asks that there is one). */
  readonly audience: readonly string[];
  readonly keys: IssuerKeys;
  /** For keys without `alg`. Empty: RS256 for RSA, the curve's for EC, EdDSA for OKP. */
  readonly algorithms: readonly SignatureAlgorithm[];
  readonly requireSub: boolean;
  readonly requireAud: boolean;
  readonly requireExp: boolean;
  readonly requireJti: boolean;
  readonly requireIat: boolean;
  /** Claim that names the calling client. Absent: `client_id`, then `azp`, then `consumerKey`. */
  readonly consumerKeyClaim?: string;
}

/** Tokens whose signature was checked, or that were introspected, once. */
export interface TokenCacheConfig {
  /** 0: nothing is cached. */
  readonly maxEntries: number;
  readonly maxAgeMs: number;
}

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export interface KeyManagerConfig {
  /** Base URL, no slash at its end. */
  readonly serverUrl: string;
  /** No slash at either end. Introspection is at `serverUrl/tokenContext/introspect`. */
  readonly tokenContext: string;
  /** Issuer of opaque tokens, for sources that are confined by `issuers`. */
  readonly issuer: string;
  /** HTTP Basic for introspection. Absent: opaque tokens are refused. */
  readonly basic: Credentials | undefined;
  /** An introspection answer is used again for this long at most, and never past the token's `exp`. */
  readonly introspectionMaxAgeMs: number;
  /** Deadline of one introspection call. */
  readonly timeoutMs: number;
}

/** The operator's API. */
export interface OperatorConfig {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Absolute path of the file with the bearer token. */
  readonly tokenPath: string;
  /** Absent: plain HTTP, on loopback only. */
  readonly keyStore: StoreConfig | undefined;
  /** PEM file: who shows a client certificate of these needs no token. */
  readonly clientCaPath: string | undefined;
  readonly allowedHosts: readonly string[];
}

export interface RevocationConfig {
  /** What a secured call gets while nothing is known yet: `deny` is 503. */
  readonly whenUnknown: 'deny' | 'allow';
  /** What it gets when what is known is older than `maxStalenessMs`; a route may say otherwise. */
  readonly whenStale: 'deny' | 'introspect' | 'allow';
  readonly maxStalenessMs: number;
  readonly denyOnUnclosedGap: boolean;
  /** Most revoked tokens kept. */
  readonly maxEntries: number;
  /** Absolute path of the journal's folder. */
  readonly stateFolder: string;
  /** How long an open response of a token may go on after its revocation. */
  readonly streamGraceMs: number;
  /** Cap of every revocation, and of every admitted token's life. */
  readonly longestTokenLifeMs: number;
  /** Enabled sources only; names are unique. */
  readonly sources: readonly SourceConfig[];
}

/** How a source's bare lifetimes are read; the same words as in the room revocation. */
export type SourceTtlUnit =
  | 'auto'
  | 'seconds'
  | 'milliseconds'
  | 'epochSeconds'
  | 'epochMilliseconds';

interface SourceCore {
  /** `realtime`, `persistent`, or the name in `[[tokenRevocationConfig.sources]]`. */
  readonly name: string;
  readonly ttlUnit: SourceTtlUnit;
  /** Issuers whose tokens its events may deny. Absent: every issuer's. */
  readonly issuers: readonly string[] | undefined;
  /** Kinds of rules it may make. */
  readonly rules: readonly SourceRuleKind[];
  /** Whether knowledge counts as stale when this source has not proved itself. */
  readonly required: boolean;
}

/** The same words as in the room revocation. */
export type SourceRuleKind = 'subject' | 'session' | 'client' | 'claims' | 'issuer' | 'lift';

/** A JMS topic over AMQP 0-9-1. */
export interface AmqpSourceConfig extends SourceCore {
  readonly type: 'amqp';
  /** JMS connection URL. Holds a password: never print it. */
  readonly url: string;
  readonly topic: string;
  /** Wins over the URL's, when not empty. */
  readonly username: string;
  readonly password: string;
  /** Name of a durable subscription. Absent: what is published while the gateway is away is not heard. */
  readonly durableSubscription: string | undefined;
}

/** WSO2's `GET <url>/revokedjwt`. */
export interface EventHubSourceConfig extends SourceCore {
  readonly type: 'event-hub';
  /** Base URL, no slash at its end. */
  readonly url: string;
  readonly credentials: Credentials | undefined;
  readonly reconcileIntervalMs: number;
}

export interface EtcdSourceConfig extends SourceCore {
  readonly type: 'etcd';
  /** One URL per endpoint, path included as written: the path says which API and which prefix. */
  readonly urls: readonly string[];
  readonly credentials: Credentials | undefined;
  readonly clientKeyStore: StoreConfig | undefined;
  readonly reconcileIntervalMs: number;
}

/** Snapshot and server-sent events of a Portcullis token service. Has credentials or a client key store. */
export interface EventStreamSourceConfig extends SourceCore {
  readonly type: 'event-stream';
  readonly url: string;
  readonly credentials: Credentials | undefined;
  readonly clientKeyStore: StoreConfig | undefined;
  readonly reconcileIntervalMs: number;
}

/** `extensions/token_revocation_extension.ts`. */
export interface ExtensionSourceConfig extends SourceCore {
  readonly type: 'extension';
  /** The word that the operator wrote as `type`. */
  readonly extensionType: string;
  /** All of `[tokenRevocationConfig.persistent]` as written, own keys included, placeholders replaced. */
  readonly section: Readonly<Record<string, unknown>>;
  /** An extension that returns after a whole read is called again after this. */
  readonly reconcileIntervalMs: number;
}

export type SourceConfig =
  | AmqpSourceConfig
  | EventHubSourceConfig
  | EtcdSourceConfig
  | EventStreamSourceConfig
  | ExtensionSourceConfig;

/** Outgoing connections: to upstreams, and the gateway's own calls. */
export interface HttpClientsConfig {
  /** What upstreams are shown that ask for a client certificate. */
  readonly keyStore: StoreConfig | undefined;
  readonly verifyHostname: boolean;
  /** True switches certificate checks off everywhere: warn at every start. */
  readonly disableSslVerification: boolean;
  /** Deadline to connect, TLS included. */
  readonly connectTimeoutMs: number;
  /** From the request's end to the head of the upstream's answer. */
  readonly headersTimeoutMs: number;
  /** Longest silence within a body, either way. */
  readonly bodyIdleTimeoutMs: number;
  /** Calls to one upstream at one time. Absent: the data plane's own bound. */
  readonly maxConnections: number | undefined;
  /** How long a call beyond them may wait; 0: not at all. */
  readonly maxWaitMs: number;
  /** Idle connections to one upstream that a data-plane thread keeps. Absent: all. */
  readonly maxIdleConnections: number | undefined;
  /** Absent: an upstream is asked whatever came of the last calls. */
  readonly circuitBreaker: CircuitBreakerConfig | undefined;
  /** Bytes of an upstream's answer head. */
  readonly maxResponseHeaderBytes: number;
}

/** `[httpClients.circuitBreaker]`. */
export interface CircuitBreakerConfig {
  /** Failures in a row. */
  readonly failures: number;
  readonly openForMs: number;
}

/** `[b7a.observability.tracing]`. */
export interface TracingConfig {
  readonly endpoint: string;
  /** Of the traces that begin here, every n-th is recorded. */
  readonly sample: number;
  readonly serviceName: string;
}

/** `[b7a.http.accesslog]`. */
export interface AccessLogConfig {
  /** To standard output. */
  readonly console: boolean;
  /** Absolute path of the file it is appended to. Absent: none. */
  readonly path: string | undefined;
  readonly format: 'combined' | 'json';
  /** Of requests that were served, every n-th is written. */
  readonly sample: number;
}

export interface LogConfig {
  readonly level: LogLevel;
  readonly format: 'text' | 'json';
}
