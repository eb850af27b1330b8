import { OperatorError } from '../errors.ts';
import type { Log } from '../log.ts';
import { type Clock, systemClock } from '../revocation/clock.ts';
import type { RevocationPublisher } from '../revocation/source.ts';
import { type Credentials, plainHost } from './credentials.ts';

/** JWS algorithms (RFC 7518, RFC 8037) that new signing keys can be made for. */
export const SIGNING_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

/** `array` is what WSO2 API Manager 3.2 to 4.2 answers, `object` what 4.3 does. */
export type RevokedListFormat = 'array' | 'object';

/**
 * What a token service is made of. Lives are in seconds, as on the wire; short technical intervals are in milliseconds, as their names
 * say.
 */
export interface TokenServiceOptions {
  /** The SQLite file, mode 0600. Made when absent, with its folder. */
  readonly stateFile: string;
  /** PEM private key and certificate chain of every listener. */
  readonly tls: { readonly key: string; readonly cert: string };
  readonly credentials: Credentials;
  readonly log: Log;
  /** Address to listen on. Default 127.0.0.1. */
  readonly host?: string;
  /** Default 9443; 0 takes a free one. */
  readonly port?: number;
  /** Opens a second listener with `/token` and `/revoke`, as WSO2's 8243 has them. 0 takes a free port. */
  readonly apimPort?: number;
  /** Default `https://localhost:<port>/oauth2/token`. */
  readonly issuer?: string;
  /** PEM certificates of the authorities whose client certificates may open the event stream. Absent: none is asked for. */
  readonly readerCa?: readonly string[];
  /** Life of a token whose client sets none. Default 3,600. */
  readonly tokenLifeSeconds?: number;
  /** No token lives longer; a revoked `jti` that is unknown here stays revoked that long. Default 30 days. */
  readonly longestTokenLifeSeconds?: number;
  /** For keys made from now on. Default RS256. */
  readonly algorithm?: SigningAlgorithm;
  /** A key of the operator's (PEM, PKCS 8), which then signs everything: no rotation. With its certificate, `x5c` and `x5t` are published. */
  readonly signingKey?: { readonly privateKey: string; readonly certificate?: string };
  /** How long one key signs. Default 90 days. */
  readonly keyLifeSeconds?: number;
  /** How long a new key is published before it signs: longer than any gateway caches the key set. Default one day. */
  readonly keyLeadSeconds?: number;
  /** Default shape of WSO2's revoked list; a request may choose with `?format=`. Default `array`. */
  readonly revokedListFormat?: RevokedListFormat;
  /** Where every revocation is sent. Closed by the service's `close`. Names must be unique and stay the same over restarts. */
  readonly publishers?: readonly RevocationPublisher[];
  /** Milliseconds between heartbeats on the event stream. Default 5,000. */
  readonly heartbeatMs?: number;
  /** Readers of the event stream at one time. Default 256. */
  readonly maxEventReaders?: number;
  /** Milliseconds after which a reader that takes nothing is cut off. Default 15,000. */
  readonly slowReaderMs?: number;
  /** First pause, in milliseconds, before the outbox tries again; it doubles up to 30,000. Default 250. */
  readonly outboxRetryMs?: number;
  /** Connections at one time, per listener. Default 2,048. */
  readonly maxConnections?: number;
  /** Epoch milliseconds, the wall clock: what tokens are issued and introspected by; for tests. Default `Date.now`. */
  readonly now?: () => number;
  /** What revocations are kept by; for tests. Default the system's, or `now` when that is given. */
  readonly clock?: Clock;
}

/** {@link TokenServiceOptions} with every default filled in, but for the issuer, which may need the port. */
export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly tokenLifeSeconds: number;
  readonly longestTokenLifeSeconds: number;
  readonly algorithm: SigningAlgorithm;
  readonly keyLifeSeconds: number;
  readonly keyLeadSeconds: number;
  readonly revokedListFormat: RevokedListFormat;
  readonly publishers: readonly RevocationPublisher[];
  readonly heartbeatMs: number;
  readonly maxEventReaders: number;
  readonly slowReaderMs: number;
  readonly outboxRetryMs: number;
  readonly maxConnections: number;
  readonly now: () => number;
  readonly clock: Clock;
}

/**
 * How long, in milliseconds, what has ended is still kept and listed: a gateway whose clock is behind, or which allows for skew, still
 * takes the token, and must still find it revoked.
 */
const CLOCK_GRACE_MS = 600_000;

/** What ended before this, epoch milliseconds, needs no revocation any more. A clock that jumps ahead does not move it. */
export function deadBefore({ clock }: Pick<Settings, 'clock'>): number {
  return clock.earliest() - CLOCK_GRACE_MS;
}

const DAY_SECONDS = 86_400;

/** Fills in the defaults and refuses what cannot work. Throws OperatorError. */
export function settingsOf(options: TokenServiceOptions): Settings {
  const settings: Settings = {
    host: plainHost(options.host ?? '127.0.0.1'),
    port: options.port ?? 9443,
    tokenLifeSeconds: options.tokenLifeSeconds ?? 3600,
    longestTokenLifeSeconds: options.longestTokenLifeSeconds ?? 30 * DAY_SECONDS,
    algorithm: options.algorithm ?? 'RS256',
    keyLifeSeconds: options.keyLifeSeconds ?? 90 * DAY_SECONDS,
    keyLeadSeconds: options.keyLeadSeconds ?? DAY_SECONDS,
    revokedListFormat: options.revokedListFormat ?? 'array',
    publishers: options.publishers ?? [],
    heartbeatMs: options.heartbeatMs ?? 5000,
    maxEventReaders: options.maxEventReaders ?? 256,
    slowReaderMs: options.slowReaderMs ?? 15_000,
    outboxRetryMs: options.outboxRetryMs ?? 250,
    maxConnections: options.maxConnections ?? 2048,
    now: options.now ?? Date.now,
    clock:
      options.clock ?? (options.now ? { latest: options.now, earliest: options.now } : systemClock),
  };
  const positive = [
    'tokenLifeSeconds',
    'longestTokenLifeSeconds',
    'keyLifeSeconds',
    'keyLeadSeconds',
    'heartbeatMs',
    'maxEventReaders',
    'slowReaderMs',
    'outboxRetryMs',
    'maxConnections',
  ] as const;
  for (const name of positive) {
    if (!Number.isSafeInteger(settings[name]) || settings[name] <= 0) {
      throw refused(`${name} must be a whole number above zero`);
    }
  }
  const longest = settings.longestTokenLifeSeconds;
  if (settings.tokenLifeSeconds > longest) {
    throw refused('the token life is longer than the longest token life');
  }
  for (const client of options.credentials.clients) {
    if ((client.tokenLifeSeconds ?? 0) > longest) {
      throw refused(`client ${client.id}: its token life is longer than the longest token life`);
    }
  }
  if (settings.keyLeadSeconds >= settings.keyLifeSeconds) {
    throw refused('a key must be published for less time before it signs than it then signs');
  }
  if (new Set(settings.publishers.map(({ name }) => name)).size !== settings.publishers.length) {
    throw refused('two publishers have the same name');
  }
  if (options.issuer !== undefined) checkIssuer(options.issuer);
  return settings;
}

/** RFC 8414 section 2: an https URL without query and fragment. */
function checkIssuer(issuer: string): void {
  const url = URL.parse(issuer);
  if (url?.protocol !== 'https:' || issuer.includes('?') || issuer.includes('#')) {
    throw refused('the issuer must be an https URL without query and fragment');
  }
}

function refused(message: string): OperatorError {
  return new OperatorError('ERR_TOKEN_SERVICE_OPTION', message);
}
