import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

/** Who sends junk tokens: in a thread of its own, so that what the check measures is not its own work. */
export interface JunkOrder {
  readonly port: number;
  /** Path of a secured operation. */
  readonly path: string;
  /** `iss` of the tokens, which the gateway trusts. */
  readonly issuer: string;
  /** Addresses of this machine: each is one client. */
  readonly addresses: readonly string[];
  /** Kept connections of each client. */
  readonly connections: number;
  /** Tokens in all, each another one. */
  readonly tokens: number;
}

/** Answers by status; `0`: none, as the connection broke. */
export type JunkTally = Readonly<Record<string, number>>;

/** Milliseconds from a broken connection to the next. */
const PAUSE_MS = 50;

const { port, path, issuer, addresses, connections, tokens } = workerData as JunkOrder;
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const header = part({ typ: 'JWT', alg: 'RS256' });
const tally: Record<string, number> = {};
let sent = 0;
let open = 0;

/** The next token: like a good one in everything but its signature. Undefined: all were sent. */
function nextToken(): string | undefined {
  if (sent >= tokens) return undefined;
  sent += 1;
  const now = Math.floor(Date.now() / 1_000);
  const claims = { iss: issuer, sub: 'kim', aud: 'petstore', iat: now, exp: now + 3_600 };
  const signature = randomBytes(256).toString('base64url');
  return `${header}.${part({ ...claims, jti: `junk-${sent}` })}.${signature}`;
}

function count(status: string): void {
  tally[status] = (tally[status] ?? 0) + 1;
}

/** One connection that sends one token after the other, each as soon as the one before it was answered. */
function client(address: string): void {
  let answer = '';
  let asked = false;
  const socket = connect({ host: '127.0.0.1', port, localAddress: address, noDelay: true });
  socket.setEncoding('latin1');
  const ask = (): void => {
    const token = nextToken();
    asked = token !== undefined;
    if (token === undefined) socket.end();
    else socket.write(`GET ${path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  };
  open += 1;
  socket.on('connect', ask);
  socket.on('data', (text: string) => {
    answer += text;
    const length = /\r\ncontent-length: (\d+)\r\n/i.exec(answer)?.[1];
    const head = answer.indexOf('\r\n\r\n');
    if (length === undefined || head === -1 || answer.length < head + 4 + Number(length)) return;
    count(answer.slice(9, 12));
    answer = '';
    ask();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    open -= 1;
    if (asked) count('0');
    if (sent < tokens) setTimeout(client, PAUSE_MS, address);
    else if (open === 0) parentPort?.postMessage(tally);
  });
}

for (const address of addresses)
  for (let connection = 0; connection < connections; connection++) client(address);
