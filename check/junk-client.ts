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

/** What the thread tells: that it was told to pause and the last answer has come; or, at the end, all answers. */
export type JunkNews = 'paused' | JunkTally;

/** Milliseconds from a broken connection to the next. */
const PAUSE_MS = 50;

/** After a pause the connections go on one after the other within so many milliseconds: a start that all share would be seen each time. */
const AGAIN_WITHIN_MS = 1_000;

const { port, path, issuer, addresses, connections, tokens } = workerData as JunkOrder;
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const header = part({ typ: 'JWT', alg: 'RS256' });
const tally: Record<string, number> = {};
let sent = 0;
let open = 0;
/** Connections that wait for an answer. */
let asking = 0;
let paused = false;
/** What the connections do that have come to a pause. */
const waiting: (() => void)[] = [];

function tell(news: JunkNews): void {
  parentPort?.postMessage(news);
}

function pause(): void {
  paused = true;
  if (asking === 0) tell('paused');
}

function goOn(): void {
  paused = false;
  const asks = waiting.splice(0);
  asks.forEach((ask, index) => setTimeout(ask, (index * AGAIN_WITHIN_MS) / asks.length));
}

parentPort?.on('message', (on: boolean) => (on ? goOn() : pause()));

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
  const answered = (status: string): void => {
    count(status);
    asked = false;
    asking -= 1;
    if (paused && asking === 0) tell('paused');
  };
  const socket = connect({ host: '127.0.0.1', port, localAddress: address, noDelay: true });
  socket.setEncoding('latin1');
  const ask = (): void => {
    if (socket.destroyed) return;
    if (paused) {
      waiting.push(ask);
      return;
    }
    const token = nextToken();
    if (token === undefined) {
      socket.end();
      return;
    }
    asked = true;
    asking += 1;
    socket.write(`GET ${path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  };
  open += 1;
  socket.on('connect', ask);
  socket.on('data', (text: string) => {
    answer += text;
    const length = /\r\ncontent-length: (\d+)\r\n/i.exec(answer)?.[1];
    const head = answer.indexOf('\r\n\r\n');
    if (length === undefined || head === -1 || answer.length < head + 4 + Number(length)) return;
    answered(answer.slice(9, 12));
    answer = '';
    ask();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    open -= 1;
    if (asked) answered('0');
    if (sent < tokens) setTimeout(client, PAUSE_MS, address);
    else if (open === 0) tell(tally);
  });
}

for (const address of addresses)
  for (let connection = 0; connection < connections; connection++) client(address);
