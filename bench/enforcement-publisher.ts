/** The process that publishes, forked by `publish-to-enforced.ts`: in WSO2's form, at a steady rate with jitter, each with its moment. */
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'amqplib';
import { monotonicMs } from '../src/revocation/shared-state.ts';
import { revocationMessage } from '../test/support/publish.ts';
import { tokenOf, topicOf, type Round } from './enforcement.ts';

const [port] = process.argv.slice(2);
// What the kernel holds back here until the broker has confirmed, 40 ms, would be in everybody's figures.
const connection = await connect(`amqp://guest:guest@127.0.0.1:${port}`, { noDelay: true });
const channel = await connection.createChannel();
let others = 0;

function send(topic: string, token: string, correlationId?: string): void {
  const { body, properties } = revocationMessage(token);
  channel.publish('amq.topic', topic, Buffer.from(body as string), {
    ...properties,
    ...(correlationId === undefined ? {} : { correlationId }),
  });
}

/** @returns the moment at which each was published */
async function publish(round: Round): Promise<readonly number[]> {
  const topic = topicOf(round.subject);
  const interval = 1_000 / round.perSecond;
  const published: number[] = [];
  const begin = monotonicMs();
  let othersSent = 0;
  let due = begin;
  while (published.length < round.count) {
    const now = monotonicMs();
    for (const wanted = ((now - begin) * round.othersPerSecond) / 1_000; othersSent < wanted;) {
      send(topic, `other-${others++}`);
      othersSent++;
    }
    if (now >= due) {
      const index = published.length;
      published.push(monotonicMs());
      send(topic, tokenOf(round, index), String(index));
      // Jitter, so that nothing beats with somebody's timer.
      due = begin + (index + 0.5 + Math.random()) * interval;
    }
    await pause(1);
  }
  return published;
}

// Whoever asked is gone: nobody else would end this process.
process.once('disconnect', () => process.exit(1));
process.send?.('ready');
for (;;) {
  const [round] = (await once(process, 'message')) as [Round | 'close'];
  if (round === 'close') break;
  process.send?.(await publish(round));
}
await connection.close();
process.exit(0);
