/**
 * `npm run check:junk`: four clients send 100,000 distinct junk tokens to a gateway as fast as it answers them, while another goes on with good ones.
 * Says how long the good ones took without and with the junk, and exits 1 when the slowest of a hundred takes more than twice as long.
 * docs/protection.md says more.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { Agent, request as httpRequest } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { testIssuer, type TestIssuer } from '../test/support/issuer.ts';
import { buildPetstore, type Gateway, PETS, startGateway } from '../test/support/product.ts';
import type { JunkNews, JunkOrder, JunkTally } from './junk-client.ts';
import { Endings } from './owner.ts';

const ROOT = join(import.meta.dirname, '..');

const HELP = `Usage: npm run check:junk -- [options]

  --tokens <n>        junk tokens (default 100000)
  --connections <n>   of each of the four clients (default 200)
  --rate <n>          good requests a second (default 200)
  --seconds <n>       that good requests are looked at alone at a time (default 10): before and after, and each time that there was junk for twice as long
  --engine own|node   what speaks HTTP (default: the gateway's)
  --unlimited         without the limit on failed verifications, to see what it is for; passes whatever comes of it
  --built             takes dist/ as it is
`;

/** Each is a client of its own to the gateway. The good one is 127.0.0.1. */
const JUNK_ADDRESSES = ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5'];
const GOOD_TOKENS = 50;
/** The slowest of a hundred may take so many times as long. */
const MOST = 2;

class Seen {
  /** Milliseconds of each call, from when it was due. */
  readonly ms: number[] = [];
  /** Calls that were not answered 200. */
  refused = 0;
}

/** Good calls at a steady rate, however slow the answers are, until told to stop. */
async function goodCalls(
  gateway: Gateway,
  tokens: readonly string[],
  rate: number,
  seen: Seen,
  signal: AbortSignal,
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const under = new Set<Promise<void>>();
  const began = performance.now();
  for (let index = 0; !signal.aborted; index++) {
    const due = began + (index * 1_000) / rate;
    const early = due - performance.now();
    if (early > 1) await pause(early);
    const call = status(gateway.http + PETS, tokens[index % tokens.length] ?? '', agent).then(
      (answer) => {
        seen.ms.push(performance.now() - due);
        if (answer !== 200) seen.refused += 1;
        under.delete(call);
      },
    );
    under.add(call);
  }
  await Promise.all(under);
  agent.destroy();
}

function status(url: string, token: string, agent: Agent): Promise<number> {
  return new Promise((resolve) => {
    const request = httpRequest(
      url,
      { agent, headers: { authorization: `Bearer ${token}` }, timeout: 10_000 },
      (response) => {
        response.resume();
        response.once('error', () => resolve(0));
        response.once('end', () => resolve(response.statusCode ?? 0));
      },
    );
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(0));
    request.end();
  });
}

/** The thread that sends junk. */
class Junk {
  readonly #worker: Worker;
  /** All was sent and answered. */
  readonly tally: Promise<JunkTally>;
  #over = false;
  #paused: (() => void) | undefined;

  constructor(order: JunkOrder) {
    const worker = new Worker(new URL('junk-client.ts', import.meta.url), { workerData: order });
    this.#worker = worker;
    this.tally = new Promise((resolve, reject) => {
      worker.on('message', (news: JunkNews) => {
        if (news !== 'paused') {
          this.#over = true;
          resolve(news);
          void worker.terminate();
        }
        this.#paused?.();
      });
      worker.once('error', reject);
    });
  }

  get over(): boolean {
    return this.#over;
  }

  /** Until all that it asked was answered. */
  async pause(): Promise<void> {
    if (this.#over) return;
    const paused = new Promise<void>((resolve) => (this.#paused = resolve));
    this.#worker.postMessage(false);
    await Promise.race([paused, this.tally]);
  }

  goOn(): void {
    this.#worker.postMessage(true);
  }
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

function line(name: string, { ms, refused }: Seen): string {
  const [half, most] = [quantile(ms, 0.5), quantile(ms, 0.99)];
  return `${name}: ${ms.length} good calls, median ${half.toFixed(2)} ms, p99 ${most.toFixed(2)} ms, ${refused} not answered 200`;
}

interface Options {
  readonly tokens: number;
  readonly connections: number;
  readonly rate: number;
  readonly seconds: number;
  readonly engine: string | undefined;
  readonly unlimited: boolean;
}

async function start(ending: Endings, issuer: TestIssuer, options: Options): Promise<Gateway> {
  const { artifact } = await buildPetstore(ending);
  const { engine, unlimited } = options;
  const gateway = await startGateway(ending, {
    artifact,
    issuers: [issuer],
    config: `${engine === undefined ? '' : `[server]\nhttpEngine = "${engine}"\n`}
      [failedVerifications]\nenable = ${!unlimited}\n[tokenRevocationConfig]\nwhenUnknown = "allow"\n`,
  });
  await gateway.untilReady();
  return gateway;
}

async function check(ending: Endings, options: Options): Promise<number> {
  const issuer = testIssuer();
  const gateway = await start(ending, issuer, options);
  const good = Array.from({ length: GOOD_TOKENS }, () => issuer.token());
  const calls = async (work: Promise<unknown>, seen: Seen): Promise<void> => {
    const over = new AbortController();
    const calling = goodCalls(gateway, good, options.rate, seen, over.signal);
    try {
      await work;
    } finally {
      over.abort();
    }
    await calling;
  };
  const [warm, alone, among] = [new Seen(), new Seen(), new Seen()];
  const aloneMs = options.seconds * 1_000;
  await calls(pause(aloneMs / 3), warm);
  await calls(pause(aloneMs), alone);
  const junk = new Junk({
    port: Number(new URL(gateway.http).port),
    path: PETS,
    issuer: issuer.issuer,
    addresses: JUNK_ADDRESSES,
    connections: options.connections,
    tokens: options.tokens,
  });
  // In turn: what else the machine has to do changes with the minutes, and is to meet both.
  let seconds = 0;
  while (!junk.over) {
    const began = performance.now();
    await calls(Promise.race([junk.tally, pause(2 * aloneMs, undefined, { ref: false })]), among);
    await calls(junk.pause(), among);
    seconds += (performance.now() - began) / 1_000;
    await calls(pause(aloneMs), alone);
    if (!junk.over) junk.goOn();
  }
  const tally = await junk.tally;
  const verified = await gateway.metric('portcullis_failed_verifications_total');
  const ratio = quantile(among.ms, 0.99) / quantile(alone.ms, 0.99);
  const statuses = Object.entries(tally).map(([code, count]) => `${count} x ${code}`);
  console.log(line('alone', alone));
  console.log(line('among junk', among));
  console.log(
    `${options.tokens} junk tokens of ${JUNK_ADDRESSES.length} clients with ${options.connections} connections each, in ${seconds.toFixed(1)} s: ${statuses.join(', ')}; ${verified} were verified`,
  );
  console.log(`p99 among junk is ${ratio.toFixed(2)} times what it is alone (at most ${MOST})`);
  const admitted = (tally['200'] ?? 0) > 0;
  if (admitted) console.error('a junk token was admitted');
  const refused = alone.refused + among.refused > 0;
  if (refused) console.error('good calls were refused');
  return admitted || (!options.unlimited && (refused || !(ratio <= MOST))) ? 1 : 0;
}

const { values } = parseArgs({
  options: {
    tokens: { type: 'string', default: '100000' },
    connections: { type: 'string', default: '200' },
    rate: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '10' },
    engine: { type: 'string' },
    unlimited: { type: 'boolean', default: false },
    built: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const numbers = [values.tokens, values.connections, values.rate, values.seconds].map(Number);
if (values.help || numbers.some((number) => !Number.isInteger(number) || number < 1)) {
  console.log(HELP);
  process.exitCode = values.help ? 0 : 2;
} else {
  if (!values.built)
    execFileSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, stdio: 'inherit' });
  const [tokens = 0, connections = 0, rate = 0, seconds = 0] = numbers;
  const { engine, unlimited } = values;
  const ending = new Endings(() => undefined);
  process.once('SIGINT', () => process.exit(130));
  try {
    process.exitCode = await check(ending, {
      tokens,
      connections,
      rate,
      seconds,
      engine,
      unlimited,
    });
  } finally {
    await ending.close();
  }
}
