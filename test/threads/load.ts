import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import { Agent as TlsAgent, request as requestOverTls } from 'node:https';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

export interface LoadAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One request on one kept connection, or a new one where the agent has none. */
export function over(
  agent: Agent,
  url: string,
  headers: Readonly<Record<string, string>> = {},
  onSocket: (socket: Socket) => void = () => undefined,
): Promise<LoadAnswer> {
  return new Promise((resolve, reject) => {
    const ask = agent instanceof TlsAgent ? requestOverTls : request;
    const call = ask(url, { agent, headers, timeout: 30_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
    });
    call.on('socket', onSocket);
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.on('error', reject);
    call.end();
  });
}

/** @param ca PEM of who vouches for the gateway: then it is over TLS */
export function oneConnection(ca?: string, keepAlive = true): Agent {
  const options = { keepAlive, maxSockets: 1 };
  return ca === undefined ? new Agent(options) : new TlsAgent({ ...options, ca });
}

/** What happened to the requests of one client. */
export interface Client {
  readonly answered: number;
  /** How many connections it had. */
  readonly connections: number;
  /** Everything but an answer with 200: an error's code, or a status. */
  readonly failures: readonly string[];
}

export interface LoadOptions {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** PEM of who vouches for an https URL. */
  readonly ca?: string;
  /** Looks at every answer with 200; what it returns is a failure. */
  readonly check?: (answer: LoadAnswer) => string | undefined;
  /** A client that is told to leave its connection (`Connection: close`) is done. */
  readonly heedsClose?: boolean;
  /**
   * A connection that is reset before anything came back is tried again once. The kernel resets those that wait in the queue of a listener
   * at the instant it is closed, unless `net.ipv4.tcp_migrate_req` is set, whichever program listened.
   */
  readonly retriesReset?: boolean;
  /** A connection of its own for every request. */
  readonly fresh?: boolean;
  /** Between two requests of a client, milliseconds: it leaves others the processors. Default 0. */
  readonly pauseMs?: number;
}

/** Clients that send one request after another until they are stopped. */
export function startLoad(clients: number, options: LoadOptions) {
  const { url, headers, ca, heedsClose = false, retriesReset = false, fresh = false } = options;
  const { check = () => undefined, pauseMs = 0 } = options;
  const stopped = new AbortController();
  let answered = 0;
  const run = async (): Promise<Client> => {
    const kept = oneConnection(ca);
    const sockets = new Set<Socket>();
    const failures: string[] = [];
    let own = 0;
    let retried = 0;
    while (!stopped.signal.aborted) {
      const agent = fresh ? oneConnection(ca, false) : kept;
      try {
        const answer = await over(agent, url, headers, (socket) => sockets.add(socket));
        const failure = answer.status === 200 ? check(answer) : String(answer.status);
        if (failure === undefined) {
          own += 1;
          answered += 1;
        } else failures.push(failure);
        if (heedsClose && answer.headers.connection === 'close') break;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code ?? String(error);
        if (retriesReset && code === 'ECONNRESET' && retried === 0) retried += 1;
        else failures.push(code);
      } finally {
        if (fresh) agent.destroy();
      }
      if (pauseMs > 0) await pause(pauseMs);
    }
    kept.destroy();
    return { answered: own, connections: sockets.size, failures };
  };
  const done = Promise.all(Array.from({ length: clients }, run));
  return {
    answered: () => answered,
    /** Resolves when all have stopped by themselves. */
    ended: done,
    stop(): Promise<Client[]> {
      stopped.abort();
      return done;
    },
  };
}
