/**
 * A client that sends requests when they are due, however slow the answers are: `latency.ts` runs it. Arrivals are a Poisson process, the same one
 * every time. Prints what it saw as JSON. Its argument is an {@link OpenLoop} as JSON.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { quantile } from './measurement.ts';

export interface OpenLoop {
  readonly port: number;
  readonly path: string;
  /** Path of a file with a token on each line; each request takes the next one. */
  readonly tokens: string;
  readonly perSecond: number;
  readonly seconds: number;
  readonly connections: number;
}

/** Milliseconds from when a request was due until its answer was read. */
export interface Latencies {
  readonly requests: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** It sleeps no longer between two looks at its connections: more than that is not in the figures. */
const NAP_MS = 0.05;
/** What came before is not counted: connections are opened, caches filled. */
const SETTLING_MS = 500;
/** Whatever is not answered so long after the last is due is lost. */
const LATE_MS = 10_000;

const order = JSON.parse(process.argv[2] ?? '') as OpenLoop;
const requests = readFileSync(order.tokens, 'latin1')
  .trimEnd()
  .split('\n')
  .map(
    (token) =>
      `GET ${order.path} HTTP/1.1\r\nHost: 127.0.0.1:${order.port}\r\nAuthorization: Bearer ${token}\r\nAccept: application/json\r\n\r\n`,
  );

// The kernel lengthens each sleep by 0.05 ms, unless a thread asks it not to.
writeFileSync('/proc/self/timerslack_ns', '1');

/** Numbers between 0 and 1, the same ones every time (mulberry32). */
function random(): number {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
let seed = 1;

const took: number[] = [];
/** Due, but every connection has a request under way. */
const waiting: number[] = [];
const idle: Client[] = [];
let sent = 0;
let answered = 0;
let countFrom = 0;

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

/** What comes is read out of it at once, whichever connection it came on. */
const chunk = Buffer.allocUnsafe(65_536);
const HEAD_END = '\r\n\r\n';
const NOTHING = Buffer.alloc(0);

class Client {
  readonly #socket: Socket;
  #due = 0;
  /** Of an answer that has not come as a whole yet. */
  #begun: Buffer = NOTHING;

  constructor(connected: () => void) {
    this.#socket = connect({
      port: order.port,
      host: '127.0.0.1',
      onread: {
        buffer: chunk,
        callback: (length, buffer) => this.#read(buffer.subarray(0, length)),
      },
    });
    this.#socket.setNoDelay(true);
    this.#socket.once('connect', connected);
    this.#socket.on('error', (error) => fail(error.message));
    this.#socket.on('close', () => fail('a connection was closed'));
  }

  send(due: number): void {
    this.#due = due;
    this.#socket.write(requests[sent++ % requests.length] ?? '', 'latin1');
  }

  #read(bytes: Uint8Array): boolean {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const answer = this.#begun.length === 0 ? text : Buffer.concat([this.#begun, text]);
    if (isWhole(answer)) {
      this.#begun = NOTHING;
      this.#answered();
    } else {
      this.#begun = Buffer.from(answer);
    }
    return true;
  }

  #answered(): void {
    answered++;
    if (this.#due >= countFrom) took.push(performance.now() - this.#due);
    const next = waiting.shift();
    if (next === undefined) idle.push(this);
    else this.send(next);
  }
}

function isWhole(answer: Buffer): boolean {
  const head = answer.indexOf(HEAD_END, 0, 'latin1');
  if (head < 0) return false;
  const fields = answer.toString('latin1', 0, head + 2);
  const length = /\r\ncontent-length: *(\d+)/i.exec(fields);
  if (length === null || !fields.startsWith('HTTP/1.1 200 '))
    return fail(`not as expected:\n${fields}`);
  return answer.length >= head + HEAD_END.length + Number(length[1]);
}

async function open(): Promise<void> {
  for (let count = 0; count < order.connections; count++) {
    const client = await new Promise<Client>((resolve) => {
      const client: Client = new Client(() => resolve(client));
    });
    idle.push(client);
  }
}

function run(): void {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const gap = (): number => (-Math.log(1 - random()) * 1_000) / order.perSecond;
  const begin = performance.now();
  countFrom = begin + SETTLING_MS;
  const end = countFrom + order.seconds * 1_000;
  let due = begin;
  const step = (): void => {
    const now = performance.now();
    for (; due <= now && due < end; due += gap()) {
      const client = idle.pop();
      if (client === undefined) waiting.push(due);
      else client.send(due);
    }
    if (due >= end && waiting.length === 0 && answered === sent) return report();
    if (now > end + LATE_MS) return fail(`${sent - answered} requests were not answered`);
    Atomics.wait(cell, 0, 0, NAP_MS);
    setImmediate(step);
  };
  step();
}

function report(): void {
  const latencies: Latencies = {
    requests: took.length,
    p50Ms: quantile(took, 0.5),
    p99Ms: quantile(took, 0.99),
  };
  console.log(JSON.stringify(latencies));
  process.exit(0);
}

await open();
run();
