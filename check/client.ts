import { Agent, request as httpRequest } from 'node:http';
import { PETS } from '../test/support/product.ts';
import type { History, Request, Result } from './history.ts';
import type { Random } from './random.ts';
import type { Token, Tokens } from './tokens.ts';
import { setTimeout as pause } from 'node:timers/promises';

/** Milliseconds that a call may take before nobody knows what became of it. */
const CALL_DEADLINE_MS = 2_500;

/** What a client has to know of a gateway. */
export interface Target {
  readonly name: string;
  readonly ports: { readonly http: number };
}

/** One call with a token: what was answered, or why nothing was. */
export function call(
  target: Target,
  jwt: string,
  agent: Agent | false,
  headers: Readonly<Record<string, string>> = {},
): Promise<number | string> {
  return new Promise((resolve) => {
    const request = httpRequest(
      {
        host: '127.0.0.1',
        port: target.ports.http,
        path: PETS,
        agent,
        headers: { ...headers, authorization: `Bearer ${jwt}` },
        // Also for a gateway that takes the request and stands still.
        signal: AbortSignal.timeout(CALL_DEADLINE_MS),
      },
      (response) => {
        response.resume();
        response.on('error', () => undefined);
        resolve(response.statusCode ?? 'no status');
      },
    );
    request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.name));
    request.end();
  });
}

function resultOf(answer: number | string): Result {
  if (answer === 200) return 'ok';
  if (answer === 401) return 'denied';
  return answer === 503 ? 'unavailable' : 'unknown';
}

/** Looks at one token through one gateway and writes down what came of it. */
export async function look(
  history: History,
  client: string,
  target: Target,
  token: Token,
  kept?: Agent,
): Promise<Request> {
  const tStart = history.now();
  const answer = await call(target, token.jwt, kept ?? false);
  const request: Request = {
    type: 'request',
    client,
    gateway: target.name,
    token: token.name,
    tStart,
    tEnd: history.now(),
    result: resultOf(answer),
    answer,
    connection: kept === undefined ? 'fresh' : 'kept',
  };
  history.add(request);
  return request;
}

/** Replays tokens to one gateway, over a kept and over fresh connections, until told to stop. */
export async function replay(
  history: History,
  client: string,
  target: Target,
  tokens: Tokens,
  random: Random,
  signal: AbortSignal,
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    while (!signal.aborted) {
      const token = tokens.choose(random);
      if (token !== undefined)
        await look(history, client, target, token, random.chance(0.6) ? agent : undefined);
      await pause(random.between(10, 60));
    }
  } finally {
    agent.destroy();
  }
}
