/** The process of `flood.ts` that sends requests at a steady rate, whatever becomes of those before. */
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

export interface Load {
  readonly perSecond: number;
}

const CONNECTIONS = 64;

const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
const port = Number(process.argv[2]);

async function request(): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    get({ host: '127.0.0.1', port, agent }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`answered ${response.statusCode}`));
      response.resume().once('end', resolve);
    }).once('error', reject);
  });
}

/** @returns milliseconds from when each request was due until it was answered */
async function run({ perSecond }: Load): Promise<readonly number[]> {
  const enough = new AbortController();
  process.once('message', () => enough.abort());
  const interval = 1_000 / perSecond;
  const took: number[] = [];
  const pending: Promise<void>[] = [];
  const send = async (due: number): Promise<void> => {
    // A timer may be a little early.
    const start = Math.min(due, performance.now());
    await request();
    took.push(performance.now() - start);
  };
  for (let due = performance.now(); !enough.signal.aborted; due += interval) {
    const wait = due - performance.now();
    if (wait > 0) await pause(wait);
    pending.push(send(due));
  }
  await Promise.all(pending);
  return took;
}

// Whoever asked is gone: nobody else would end this process.
process.once('disconnect', () => process.exit(1));
process.send?.('ready');
for (;;) {
  const [load] = (await once(process, 'message')) as [Load];
  process.send?.(await run(load));
}
