import { hash, timingSafeEqual, type X509Certificate } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import { limitConnections } from '../connection-limit.ts';
import { ApiRefusal, OperatorError } from '../errors.ts';
import type { Log } from '../log.ts';
import { answerCall } from './answer-call.ts';
import { AuditLog } from './audit-log.ts';
import { endpoints } from './endpoints.ts';
import { addressToBind, allowedHosts, isLoopback } from './hosts.ts';
import type { Operations, Operator } from './operations.ts';
import { refusalText } from './refusal-answer.ts';

const MAX_CONNECTIONS = 128;
/** Requests of one connection that wait for their answers: what is sent ahead of these is worked on in one go, while all others wait. */
const MAX_PIPELINED = 8;
const MAX_HEADER_BYTES = 16 * 1024;
const HEADERS_TIMEOUT_MS = 5_000;
/** For a whole request, its body included. */
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_TIMEOUT_MS = 5_000;
/** Silence on a connection: longer than the longest wait for threads, which is a silence of ours. */
const IDLE_TIMEOUT_MS = 60_000;
const TLS_HANDSHAKE_TIMEOUT_MS = 5_000;
/** Between two attempts to have an address that another gateway is about to leave. */
const RETRY_MS = 100;

/** The operator's listener. */
export interface OperatorApiOptions {
  /** Address or name; one that is not loopback needs `tls`. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** The bearer token (operator-token.ts). */
  readonly token: string;
  /** Names, or `name:port`, that `Host` may have beside those of the loopback and the listener's own. */
  readonly allowedHosts: readonly string[];
  /** PEM. Absent: plain HTTP. */
  readonly tls?: {
    readonly key: string;
    readonly cert: string;
    /**
     * PEM certificates. A client certificate that one of them signed replaces the token; the token itself then counts from this machine's
     * loopback only, for the command line.
     */
    readonly clientCa?: readonly string[];
  };
  /**
   * True: the address may still belong to a gateway that is about to end (`--takeover`), so `listen` waits for it for as long as it takes.
   * Two must not share it: a call has to reach the gateway that goes on.
   */
  readonly waitForAddress?: boolean;
  /** Times in milliseconds instead of the built-in ones: for tests. */
  readonly timeouts?: { readonly headersMs: number; readonly requestMs: number };
}

export interface OperatorApiAddress {
  readonly host: string;
  readonly port: number;
  /** `http://127.0.0.1:9097` */
  readonly url: string;
}

export interface OperatorApi {
  /**
   * Opens the listener. Rejects with OperatorError ERR_OPERATOR_TLS when it would speak in plain text to others than this machine,
   * ERR_OPERATOR_LISTEN when it cannot have its address, or `close` came while it waited for it.
   */
  listen(): Promise<OperatorApiAddress>;
  /**
   * Takes no new connections, waits for calls that are being answered up to so many milliseconds, then closes what is left. Once more: the
   * shorter time counts.
   */
  close(graceMs?: number): Promise<void>;
}

/** The operator's API over the core behind `operations`. Runs in the control thread. */
export function createOperatorApi(
  options: OperatorApiOptions,
  operations: Operations,
  log: Log,
): OperatorApi {
  const { tls } = options;
  const serverOptions: ServerOptions = {
    maxHeaderSize: MAX_HEADER_BYTES,
    // Refused in the form of all others (answer-call.ts), and not without a body.
    requireHostHeader: false,
    headersTimeout: options.timeouts?.headersMs ?? HEADERS_TIMEOUT_MS,
    requestTimeout: options.timeouts?.requestMs ?? REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    // How exactly the two deadlines above are kept.
    connectionsCheckingInterval: 500,
  };
  const audit = new AuditLog(log);
  let server: Server | undefined;
  let closed: Promise<void> | undefined;
  const closing = new AbortController();
  let disconnect: () => void = () => undefined;
  return {
    async listen() {
      const address = await addressToBind(options.host);
      if (tls === undefined && !isLoopback(address))
        throw new OperatorError(
          'ERR_OPERATOR_TLS',
          `the operator's listener on ${options.host} can be reached from other machines, so it needs TLS`,
        );
      const opened = openServer(serverOptions, tls);
      const hosts = { names: new Set<string>() as ReadonlySet<string> };
      const counts = new Map<string, number>();
      const table = endpoints(operations, counts);
      const tokenDigest = digestOf(options.token);
      const unanswered = new WeakMap<Socket, number>();
      opened.on('request', (request: IncomingMessage, response: ServerResponse) => {
        const { socket } = request;
        const ahead = unanswered.get(socket) ?? 0;
        if (ahead === MAX_PIPELINED) {
          socket.destroy();
          return;
        }
        unanswered.set(socket, ahead + 1);
        response.once('close', () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1));
        void answerCall(request, response, {
          endpoints: table,
          counts,
          log,
          audit,
          hosts: hosts.names,
          closing: () => closing.signal.aborted,
          operator: (request) => operatorOf(request, tokenDigest, tls?.clientCa !== undefined),
        });
      });
      opened.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
        if (!socket.writable || error.code === 'ECONNRESET') {
          socket.destroy();
          return;
        }
        const refusal = refusalOf(error.code);
        counts.set(refusal.code, (counts.get(refusal.code) ?? 0) + 1);
        audit.connection(socket.remoteAddress ?? '', refusal.code);
        socket.end(refusalText(refusal));
      });
      opened.timeout = IDLE_TIMEOUT_MS;
      disconnect = limitConnections(opened, MAX_CONNECTIONS);
      const waiting = options.waitForAddress === true ? closing.signal : undefined;
      const port = await bind(opened, address, options.port, waiting);
      server = opened;
      const scheme = tls === undefined ? 'http' : 'https';
      hosts.names = allowedHosts(address, port, scheme, [
        ...options.allowedHosts,
        ...(address === options.host ? [] : [options.host]),
      ]);
      const shown = address.includes(':') ? `[${address}]` : address;
      return { host: address, port, url: `${scheme}://${shown}:${port}` };
    },
    async close(graceMs = 2_000) {
      closing.abort();
      const open = server;
      if (open === undefined) return;
      closed ??= new Promise((resolve) => void open.close(() => resolve()));
      open.closeIdleConnections();
      const hard = setTimeout(disconnect, graceMs);
      await closed;
      clearTimeout(hard);
      audit.close();
    },
  };
}

function openServer(options: ServerOptions, tls: OperatorApiOptions['tls']): Server {
  if (tls === undefined) return createServer(options);
  try {
    return createTlsServer({
      ...options,
      key: tls.key,
      cert: tls.cert,
      minVersion: 'TLSv1.2',
      handshakeTimeout: TLS_HANDSHAKE_TIMEOUT_MS,
      // Who shows none, or one that is not good, is still asked for the token.
      ...(tls.clientCa === undefined
        ? {}
        : { ca: [...tls.clientCa], requestCert: true, rejectUnauthorized: false }),
    });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown reason';
    throw new OperatorError(
      'ERR_OPERATOR_TLS',
      `key, certificate or client authorities of the operator's listener cannot be used (${code})`,
      { cause },
    );
  }
}

/** Binds the address; with `waiting`, tries until it is free or the signal aborts. */
async function bind(
  server: Server,
  host: string,
  port: number,
  waiting: AbortSignal | undefined,
): Promise<number> {
  for (;;) {
    const outcome = await tryToBind(server, host, port);
    if (typeof outcome === 'number') return outcome;
    if (outcome.code !== 'EADDRINUSE' || waiting === undefined || waiting.aborted)
      throw new OperatorError(
        'ERR_OPERATOR_LISTEN',
        `cannot listen on ${host}:${port} for the operator: ${outcome.code ?? 'unknown reason'}. Free the address, or set operatorConfig.host and port`,
        { cause: outcome },
      );
    await pause(RETRY_MS, undefined, { signal: waiting }).catch(() => undefined);
  }
}

function tryToBind(
  server: Server,
  host: string,
  port: number,
): Promise<number | NodeJS.ErrnoException> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      // `listen` would leave one behind at each attempt, for as long as the other gateway lives.
      server.off('listening', bound);
      resolve(error);
    };
    const bound = (): void => {
      server.off('error', failed);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    };
    server.once('error', failed).once('listening', bound);
    server.listen({ host, port, exclusive: true });
  });
}

function digestOf(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

/** Who calls, by certificate or by token; undefined when nobody that we know. Secrets are compared as digests, in constant time. */
function operatorOf(
  request: IncomingMessage,
  tokenDigest: Buffer,
  certificates: boolean,
): Operator | undefined {
  const { socket } = request;
  const address = socket.remoteAddress ?? '';
  if (certificates && socket instanceof TLSSocket && socket.authorized) {
    const certificate = socket.getPeerX509Certificate();
    if (certificate !== undefined) return { name: nameOf(certificate), address };
  }
  const offered = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(
    request.headers.authorization ?? '',
  )?.[1];
  const good = timingSafeEqual(digestOf(offered ?? ''), tokenDigest);
  if (!good || (certificates && !isLoopback(address))) return undefined;
  return { name: 'operator token', address };
}

/** Characters of a certificate's subject in log and journal: what stands behind it is to be seen too. */
const MAX_NAME = 256;

/** Who a certificate is for, in one line. One without a subject has its names in another field, or only its number. */
function nameOf({ subject, subjectAltName, serialNumber }: X509Certificate): string {
  // Node has undefined where the types promise text.
  const named = [subject, subjectAltName].find((text) => typeof text === 'string' && text !== '');
  const name = (named ?? `certificate ${serialNumber}`).replaceAll('\n', ', ');
  return name.length > MAX_NAME ? `${name.slice(0, MAX_NAME - 1).toWellFormed()}…` : name;
}

/** What is no HTTP, came too late or is too large gets a refusal in the form of all others. */
function refusalOf(code: string | undefined): ApiRefusal {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new ApiRefusal('request_timed_out', 'the request did not arrive in time');
  if (code === 'HPE_HEADER_OVERFLOW')
    return new ApiRefusal('headers_too_large', 'the header fields are larger than 16 KiB');
  return new ApiRefusal('malformed_request', 'this is no HTTP/1.1 request');
}
