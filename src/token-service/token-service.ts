import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { OperatorError } from '../errors.ts';
import { limitConnections } from '../connection-limit.ts';
import { refuseWellKnownPasswords } from './credentials.ts';
import { TokenDatabase } from './database.ts';
import { EventStream } from './event-stream.ts';
import { introspectToken } from './introspect-token.ts';
import { issueToken } from './issue-token.ts';
import { metadata, metadataPaths } from './metadata.ts';
import { deadBefore, settingsOf, type TokenServiceOptions } from './options.ts';
import { Outbox } from './outbox.ts';
import { Principals } from './principals.ts';
import { RevocationRecords } from './revocation-records.ts';
import { revokedList } from './revoked-list.ts';
import { revokeToken } from './revoke-token.ts';
import { type Endpoint, type Routes, route } from './router.ts';
import type { ServiceState } from './service-state.ts';
import { SigningKeys } from './signing-keys.ts';
import { TokenRecords } from './token-records.ts';
import { authorize, userInfo } from './user-endpoints.ts';

/** Milliseconds between two looks at keys and at what has ended. */
const UPKEEP_MS = 60_000;
/** Rows of each kind that one transaction of the upkeep may delete: nobody waits long for it. */
const PURGE_ROWS = 5000;
/** Milliseconds that `close` leaves to requests under way. */
const CLOSE_GRACE_MS = 2000;
/** Milliseconds for a TLS handshake. */
const HANDSHAKE_MS = 5000;
/** Milliseconds between two looks for requests that take too long. */
const LOOK_MS = 1000;

interface Listener {
  readonly server: Server;
  /** Closes every connection at once. */
  readonly cut: () => void;
}

/** Where a token service can be reached. */
export interface TokenServiceAddress {
  /** `https://localhost:<port>`; the host is the configured one when it is a name or not loopback. */
  readonly url: string;
  readonly port: number;
  /** Port of the second listener, when `apimPort` was set. */
  readonly apimPort: number | undefined;
  readonly issuer: string;
}

/** One token service: OAuth 2 client credentials, and revocation that reaches every gateway. */
export interface TokenService {
  /**
   * Opens the state and the listeners. Rejects with OperatorError: options, well-known passwords, files, ports.
   */
  listen(): Promise<TokenServiceAddress>;
  /** Publishes a new signing key now, which signs after `keyLeadSeconds`. */
  rotateSigningKey(): Promise<void>;
  /** Runs what otherwise runs every minute: key rotation, and forgetting what has ended. */
  upkeep(): Promise<void>;
  /** Ends requests, readers, outbox and publishers, and closes the file. Undelivered copies are sent after the next start. */
  close(): Promise<void>;
}

/** A token service on a database file; nothing is opened before `listen`. Throws OperatorError for options that cannot work. */
export function createTokenService(options: TokenServiceOptions): TokenService {
  const settings = settingsOf(options);
  const { log } = options;
  const listeners: Listener[] = [];
  let state: ServiceState | undefined;
  let outbox: Outbox | undefined;
  let events: EventStream | undefined;
  let timer: NodeJS.Timeout | undefined;

  const open = async (listener: Listener, port: number, option: string): Promise<number> => {
    const { server } = listener;
    server.listen(port, settings.host);
    try {
      await once(server, 'listening');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const message = `${reason}. Choose another port with ${option}, or another address with --host`;
      throw new OperatorError('ERR_TOKEN_SERVICE_LISTEN', message, { cause: error });
    }
    listeners.push(listener);
    server.on('error', (error) => log.error('TokenService', `listener: ${error.message}`));
    return (server.address() as AddressInfo).port;
  };
  const makeListener = (): Listener => {
    const { readerCa } = options;
    const client = readerCa && { ca: [...readerCa], requestCert: true, rejectUnauthorized: false };
    const server = createServer({
      ...options.tls,
      ...client,
      minVersion: 'TLSv1.2',
      handshakeTimeout: HANDSHAKE_MS,
      requestTimeout: 30_000,
      headersTimeout: 10_000,
      connectionsCheckingInterval: LOOK_MS,
      maxHeaderSize: 16_384,
    });
    return { server, cut: limitConnections(server, settings.maxConnections) };
  };

  const upkeep = async (): Promise<void> => {
    if (state === undefined || outbox === undefined) return;
    await state.keys.turn();
    const { database, tokens, revocations } = state;
    const before = deadBefore(settings);
    const copies = outbox;
    const copiesBefore = before - settings.longestTokenLifeSeconds * 1000;
    let full = true;
    while (full) {
      full = await database.commit(() => {
        const purged = [tokens, revocations].map((rows) => rows.purge(before, PURGE_ROWS));
        return [...purged, copies.purge(copiesBefore, PURGE_ROWS)].includes(PURGE_ROWS);
      });
    }
    database.checkpoint();
  };

  const close = async (): Promise<void> => {
    clearInterval(timer);
    events?.close();
    await Promise.all(listeners.splice(0).map((listener) => closeListener(listener)));
    await outbox?.close();
    state?.database.close();
    state = undefined;
  };

  const listen = async (): Promise<TokenServiceAddress> => {
    await refuseWellKnownPasswords(options.credentials, settings.host);
    const database = TokenDatabase.open(options.stateFile, log);
    try {
      const main = makeListener();
      outbox = new Outbox(database, settings.publishers, settings.outboxRetryMs, log);
      const keys = await SigningKeys.open(database, settings, options);
      const port = await open(main, settings.port, '--port');
      const issuer = options.issuer ?? `https://localhost:${port}/oauth2/token`;
      state = {
        settings,
        issuer,
        principals: new Principals(options.credentials),
        database,
        tokens: new TokenRecords(database),
        revocations: new RevocationRecords(database, outbox),
        keys,
        log,
      };
      events = new EventStream(state);
      main.server.on('request', route(mainRoutes(state, events), log));
      let apimPort: number | undefined;
      if (options.apimPort !== undefined) {
        const apim = makeListener();
        apim.server.on('request', route(apimRoutes(state), log));
        apimPort = await open(apim, options.apimPort, '--apim-port');
      }
      outbox.start();
      timer = setInterval(() => {
        upkeep().catch((error: unknown) => {
          log.error(
            'TokenService',
            `upkeep failed: ${error instanceof Error ? error.message : ''}`,
          );
        });
      }, UPKEEP_MS).unref();
      return { url: urlOf(settings.host, port), port, apimPort, issuer };
    } catch (error) {
      await close();
      database.close();
      throw error;
    }
  };

  return {
    listen,
    rotateSigningKey: async () => state?.keys.rotate(),
    upkeep,
    close,
  };
}

function mainRoutes(state: ServiceState, events: EventStream): Routes {
  const { token, revoke } = tokenEndpoints(state);
  const info: Endpoint = (request) => userInfo(state, request);
  const description: Endpoint = () => ({
    status: 200,
    headers: { 'Cache-Control': 'public, max-age=3600' },
    body: metadata(state),
  });
  return {
    '/oauth2/token': { POST: token },
    '/oauth2/revoke': { POST: revoke },
    '/oauth2/introspect': { POST: (request) => introspectToken(state, request) },
    '/oauth2/jwks': {
      GET: () => ({
        status: 200,
        headers: {
          'Cache-Control': `public, max-age=${Math.min(3600, state.settings.keyLeadSeconds)}`,
        },
        body: state.keys.jwks(),
      }),
    },
    '/oauth2/authorize': { GET: (request) => authorize(request) },
    '/oauth2/userinfo': { GET: info, POST: info },
    ...Object.fromEntries(metadataPaths(state.issuer).map((path) => [path, { GET: description }])),
    '/internal/data/v1/revokedjwt': {
      GET: async (request, response) => {
        await revokedList(state, request, response);
        return undefined;
      },
    },
    '/internal/data/v1/revocation-events': {
      GET: (request, response) => events.serve(request, response),
    },
    '/health': { GET: () => ({ status: 200, body: { status: 'healthy' } }) },
  };
}

/** What WSO2's API Manager has on its gateway port. */
function apimRoutes(state: ServiceState): Routes {
  const { token, revoke } = tokenEndpoints(state);
  return { '/token': { POST: token }, '/revoke': { POST: revoke } };
}

function tokenEndpoints(state: ServiceState): { token: Endpoint; revoke: Endpoint } {
  return {
    token: (request) => issueToken(state, request),
    revoke: (request) => revokeToken(state, request),
  };
}

async function closeListener({ server, cut }: Listener): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  const late = setTimeout(cut, CLOSE_GRACE_MS);
  server.closeIdleConnections();
  await closed;
  clearTimeout(late);
}

/** The certificate names `localhost`, not the address behind it. */
function urlOf(host: string, port: number): string {
  const local = ['127.0.0.1', '::1', '0.0.0.0', '::', 'localhost'].includes(host);
  return `https://${local ? 'localhost' : host.includes(':') ? `[${host}]` : host}:${port}`;
}
