/**
 * How long after it was published a revocation is enforced on every data-plane thread, next to how long a bare amqplib consumer takes to be
 * called with it: same broker, queue, prefetch, rate and load, in alternating rounds of one run.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { startRabbitmq } from '../test/support/rabbitmq.ts';
import { ensurePackages } from '../tools/debian.ts';
import { inTemporaryFolder } from './control-thread.ts';
import {
  messagesOf,
  quantile,
  SUBJECTS,
  type Received,
  type Round,
  type Subject,
} from './enforcement.ts';
import { median } from './revocation-probe.ts';
import { MOST_STOLEN, undisturbed } from './undisturbed.ts';

/** What is timed, row by row; the last one is what the others are compared with. */
const MOMENTS = [
  ['Portcullis', 'each', 'denied on a data-plane thread, each of them counted'],
  ['Portcullis', 'last', 'denied on every data-plane thread'],
  ['amqplib', 'last', 'bare amqplib consumer is called'],
] as const satisfies readonly (readonly [Subject, 'each' | 'last', string])[];
const PER_SECOND = 200;
const LONGEST_WARM_UP_SECONDS = 8;
/** Short ones, so that what else happens on the machine hits both sides. */
const ROUND_SECONDS = 1;

interface Load {
  readonly othersPerSecond: number;
  readonly workUs: number;
}

const LOADS = {
  idle: { othersPerSecond: 0, workUs: 0 },
  loaded: { othersPerSecond: 2_000, workUs: 100 },
} as const satisfies Record<string, Load>;

class Child {
  readonly #process: ChildProcess;
  readonly #next: () => Promise<unknown>;

  constructor(file: URL, ...args: readonly string[]) {
    this.#process = fork(file, args, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // A session of its own, as every service has: the kernel shares the processors out by session, and the broker has one too.
      detached: true,
    });
    this.#next = messagesOf(this.#process);
  }

  async next(): Promise<unknown> {
    return await this.#next();
  }

  send(message: Round | 'close'): void {
    this.#process.send(message);
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    if (this.#process.connected) this.send('close');
    const late = setTimeout(() => this.#process.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(late);
  }
}

/** Milliseconds. */
interface Outcome {
  /** From published to received, by each who receives. */
  readonly each: readonly number[];
  /** From published to received by all of them. */
  readonly last: readonly number[];
  /** Between two looks of a thread. */
  readonly pauses: Received['pauses'];
}

async function run(round: Round, publisher: Child, receiver: Child): Promise<Outcome> {
  receiver.send(round);
  await receiver.next();
  publisher.send(round);
  const published = (await publisher.next()) as readonly number[];
  const { seen, pauses } = (await receiver.next()) as Received;
  const took = published.map((moment, index) =>
    seen.map((moments) => (moments[index] ?? Number.NaN) - moment),
  );
  const last = took.map((each) => Math.max(...each));
  const lost = last.filter((ms) => !Number.isFinite(ms)).length;
  if (lost > 0)
    throw new Error(`${lost} revocations were not received by ${round.subject} in time`);
  return { each: took.flat(), last, pauses };
}

/** @returns a table in Markdown */
export async function publishToEnforced(rounds: number): Promise<string> {
  ensurePackages(['rabbitmq-server']);
  process.stderr.write('publish to enforced: starting RabbitMQ\n');
  const broker = await startRabbitmq();
  const children: Child[] = [];
  const start = (...args: ConstructorParameters<typeof Child>): Child => {
    const child = new Child(...args);
    children.push(child);
    return child;
  };
  const close = async (): Promise<void> => {
    await Promise.all(children.map((child) => child.close()));
    await broker.stop();
  };
  return await inTemporaryFolder(async (folder) => {
    try {
      const port = String(broker.port);
      const publisher = start(new URL('enforcement-publisher.ts', import.meta.url), port);
      await publisher.next();
      const receivers = new Map<Subject, Child>();
      for (const subject of SUBJECTS) {
        const receiver = start(
          new URL('enforcement-receiver.ts', import.meta.url),
          subject,
          port,
          join(folder, subject),
        );
        await receiver.next();
        receivers.set(subject, receiver);
      }
      let number = 0;
      const measure = async (load: Load, subject: Subject, seconds: number): Promise<Outcome> => {
        const receiver = receivers.get(subject);
        if (receiver === undefined) throw new Error(`nobody receives as ${subject}`);
        const count = PER_SECOND * seconds;
        const round = { subject, number: ++number, count, perSecond: PER_SECOND, ...load };
        return await run(round, publisher, receiver);
      };
      const warmUp = Math.min(rounds, LONGEST_WARM_UP_SECONDS);
      for (const subject of SUBJECTS) await measure(LOADS.loaded, subject, warmUp);
      const rows: string[] = [];
      const notes: string[] = [];
      for (const [name, load] of Object.entries(LOADS)) {
        process.stderr.write(`publish to enforced: ${rounds} rounds, ${name}\n`);
        const [one, other] = SUBJECTS;
        const { results, all } = await undisturbed(
          rounds,
          async () => await measure(load, one, ROUND_SECONDS),
          async () => await measure(load, other, ROUND_SECONDS),
        );
        const none = results.length === 0;
        rows.push(...rowsOf(name, none ? all : results));
        notes.push(
          none
            ? `${name}: ALL ${all.length}, of which the rows above are; measure it at another time`
            : `${name}: ${all.length - results.length}, with which the ratio of the first row is ${ratioOf(all)}`,
        );
      }
      return [
        '| load | moment | moments | p50 ms | p99 ms | ratio | p99 of a round, median, ms | ratio | a thread looks every (p50, p99) ms |',
        '|---|---|---|---|---|---|---|---|---|',
        ...rows,
        '',
        `Rounds of both that were done again, because the machine's host took more than ${MOST_STOLEN * 100} % of the processor time that one of them wanted: ${notes.join('; ')}.`,
      ].join('\n');
    } finally {
      await close();
    }
  });
}

/** A round of each of {@link SUBJECTS}. */
type Pair = readonly [Outcome, Outcome];

interface Figures {
  readonly moment: string;
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly roundP99: number;
  readonly looks: readonly number[];
}

function figuresOf(pairs: readonly Pair[]): Figures[] {
  return MOMENTS.map(([subject, which, moment]) => {
    const rounds = pairs.map(([one, other]) => (subject === SUBJECTS[0] ? one : other));
    const all = rounds.flatMap((round) => round[which]);
    return {
      moment,
      count: all.length,
      p50: quantile(all, 0.5),
      p99: quantile(all, 0.99),
      roundP99: median(rounds.map((round) => quantile(round[which], 0.99))),
      looks: [0, 1].map((i) => median(rounds.map(({ pauses }) => pauses[i] ?? Number.NaN))),
    };
  });
}

/** That of the first row's 99th percentile. */
function ratioOf(pairs: readonly Pair[]): string {
  const figures = figuresOf(pairs);
  return ((figures[0]?.p99 ?? Number.NaN) / (figures.at(-1)?.p99 ?? Number.NaN)).toFixed(2);
}

function rowsOf(load: string, pairs: readonly Pair[]): string[] {
  const figures = figuresOf(pairs);
  const bare = figures.at(-1);
  return figures.map(({ moment, count, p50, p99, roundP99, looks }) => {
    const cells = [
      load,
      moment,
      count,
      p50.toFixed(2),
      p99.toFixed(2),
      (p99 / (bare?.p99 ?? Number.NaN)).toFixed(2),
      roundP99.toFixed(2),
      (roundP99 / (bare?.roundP99 ?? Number.NaN)).toFixed(2),
      looks.map((ms) => ms.toFixed(2)).join(', '),
    ];
    return `| ${cells.join(' | ')} |`;
  });
}
