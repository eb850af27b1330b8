import { Agent, request, type IncomingHttpHeaders } from 'node:http';

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
): Promise<LoadAnswer> {
  return new Promise((resolve, reject) => {
    const call = request(url, { agent, headers, timeout: 30_000 }, (response) => {
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
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.on('error', reject);
    call.end();
  });
}

export function oneConnection(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}

/** What happened to the requests of one client. */
export interface Client {
  readonly answered: number;
  /** Everything but an answer with 200: an error's code, or a status. */
  readonly failures: readonly string[];
}

export interface LoadOptions {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A client that is told to leave its connection (`Connection: close`) is done. */
  readonly heedsClose?: boolean;
  /**
   * A connection that is reset before anything came back is tried again once. The kernel resets those that wait in the queue of a listener
   * at the instant it is closed, unless `net.ipv4.tcp_migrate_req` is set, whichever program listened.
   */
  readonly retriesReset?: boolean;
  /** A connection of its own for every request. */
  readonly fresh?: boolean;
}

/** Clients that send one request after another until they are stopped. */
export function startLoad(clients: number, options: LoadOptions) {
  const { url, headers, heedsClose = false, retriesReset = false, fresh = false } = options;
  const stopped = new AbortController();
  let answered = 0;
  const run = async (): Promise<Client> => {
    const kept = oneConnection();
    const failures: string[] = [];
    let own = 0;
    let retried = 0;
    while (!stopped.signal.aborted) {
      const agent = fresh ? new Agent({ keepAlive: false }) : kept;
      try {
        const { status, headers: fields } = await over(agent, url, headers);
        if (status === 200) {
          own += 1;
          answered += 1;
        } else failures.push(String(status));
        if (heedsClose && fields.connection === 'close') break;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code ?? String(error);
        if (retriesReset && code === 'ECONNRESET' && retried === 0) retried += 1;
        else failures.push(code);
      } finally {
        if (fresh) agent.destroy();
      }
    }
    kept.destroy();
    return { answered: own, failures };
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
