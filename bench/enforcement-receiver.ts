/**
 * A process that receives, forked by `publish-to-enforced.ts`: the gateway's control thread, or a bare consumer, each with the same list in
 * shared memory and the same threads that watch it. The bare consumer only never writes to its list.
 */
import { Worker } from 'node:worker_threads';
import { connect } from 'amqplib';
import { monotonicMs } from '../src/revocation/shared-state.ts';
import { createAmqpSource } from '../src/sources/amqp.ts';
import { log, openControlThread } from './control-thread.ts';
import {
  messagesOf,
  quantile,
  topicOf,
  type Received,
  type Round,
  type Subject,
} from './enforcement.ts';
import type { Watched, WatcherData } from './enforcement-watcher.ts';
import { randomPrints } from './revocation-probe.ts';

/** As the gateway's. */
const PREFETCH = 10_000;
const WATCHERS = 2;
const LISTED = 1_000_000;
const WORDS = 3;
/** What is still under way so long after the last was published is lost. */
const LATE_MS = 10_000;

const [subject, port, folder] = process.argv.slice(2) as [Subject, string, string];
const topic = topicOf(subject);

/** By `correlationId`: moments at which the bare consumer was called. */
let delivered: number[] = [];
let missing = 0;
let allDelivered: () => void = () => undefined;

async function consume(): Promise<void> {
  const connection = await connect(`amqp://guest:guest@127.0.0.1:${port}`, { noDelay: true });
  const channel = await connection.createChannel();
  await channel.prefetch(PREFETCH);
  const { queue } = await channel.assertQueue('', {
    exclusive: true,
    autoDelete: true,
    durable: false,
  });
  await channel.bindQueue(queue, 'amq.topic', topic);
  await channel.consume(queue, (message) => {
    if (message === null) throw new Error('the broker cancelled the consumer');
    const { correlationId } = message.properties as { correlationId?: string };
    if (correlationId !== undefined) {
      delivered[Number(correlationId)] = monotonicMs();
      if (--missing === 0) allDelivered();
    }
    channel.ack(message);
  });
}

const source = createAmqpSource(
  {
    name: 'amqp',
    topic,
    prefetch: PREFETCH,
    providerUrl: `amqp://guest:guest@bench/?brokerlist='tcp://127.0.0.1:${port}'`,
  },
  log,
);
const control = await openControlThread(folder, subject === 'Portcullis' ? source : undefined);
const { list } = control.revocations;
const prints = randomPrints(LISTED);
for (let at = 0; at < prints.length; at += WORDS)
  list.restoring.token(prints, at, Math.floor(Date.now() / 1000) + 86_400);

const over = new SharedArrayBuffer(4);
const workerData: WatcherData = { list: list.shared, over };
const watchers = Array.from(
  { length: WATCHERS },
  () => new Worker(new URL('enforcement-watcher.ts', import.meta.url), { workerData }),
);
control.revocations.start();
if (subject === 'Portcullis') await control.revocations.subscribed(30_000);
else await consume();

const fromParent = messagesOf(process);
const fromWatchers = watchers.map(messagesOf);

async function receive(round: Round): Promise<Received> {
  delivered = Array.from({ length: round.count }, () => Number.NaN);
  missing = round.count;
  for (const watcher of watchers) watcher.postMessage(round);
  await Promise.all(fromWatchers.map((next) => next()));
  const end = (): void => void Atomics.store(new Int32Array(over), 0, round.number);
  const late = setTimeout(end, (round.count / round.perSecond) * 1_000 + LATE_MS);
  allDelivered = end;
  process.send?.('ready');
  const answers = (await Promise.all(fromWatchers.map((next) => next()))) as Watched[];
  clearTimeout(late);
  const pauses = answers.flatMap((answer) => [...answer.pauses]);
  return {
    seen: subject === 'amqplib' ? [delivered] : answers.map(({ seen }) => [...seen]),
    pauses: [quantile(pauses, 0.5), quantile(pauses, 0.99)],
  };
}

// Whoever asked is gone: nobody else would end this process.
process.once('disconnect', () => process.exit(1));
process.send?.('ready');
for (;;) {
  const round = (await fromParent()) as Round | 'close';
  if (round === 'close') break;
  process.send?.(await receive(round));
}
await Promise.all(watchers.map((watcher) => watcher.terminate()));
await control.close();
process.exit(0);
