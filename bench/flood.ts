/**
 * Whether requests suffer while a source brings a million revocations: a data-plane thread answers requests at a steady rate, each after it asked
 * the list, while the control thread takes them in, and while it has nothing to do. Times count from when a request was due, so that one
 * that waits for another is not forgiven.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { RevocationSink, RevocationSource } from '../src/revocation/source.ts';
import { inTemporaryFolder, openControlThread } from './control-thread.ts';
import { quantile } from './enforcement.ts';
import type { Load } from './flood-client.ts';
import { watchHolds } from './holds.ts';
import { median } from './revocation-probe.ts';

/** Added between two rests, as the adapters of stores do. */
const PORTION = 100;
const REQUESTS_PER_SECOND = 500;

/** A source of this process: it brings what it is told to. */
class Flood implements RevocationSource {
  readonly name = 'flood';
  readonly kind = 'list';
  #sink: RevocationSink | undefined;
  #brought = 0;

  async follow(sink: RevocationSink, signal: AbortSignal): Promise<void> {
    this.#sink = sink;
    sink.complete();
    if (!signal.aborted) await once(signal, 'abort');
  }

  async bring(count: number): Promise<void> {
    for (const end = this.#brought + count; this.#brought < end;) {
      for (let i = 0; i < PORTION; i++)
        this.#sink?.add({ token: `flood-${this.#brought++}`, ttl: 3_600 });
      await this.#sink?.rest?.();
    }
    await this.#sink?.durable?.();
  }
}

/** One round. */
interface Outcome {
  readonly tookMs: readonly number[];
  readonly holdMs: number;
  readonly seconds: number;
}

/** @returns a table in Markdown: `entries` revocations in portions, with rests that are as long between them */
export async function flood(entries: number, rounds: number): Promise<string> {
  return await inTemporaryFolder(async (folder) => {
    const source = new Flood();
    const control = await openControlThread(folder, source);
    const { revocations } = control;
    revocations.start();
    const worker = new Worker(new URL('flood-server.ts', import.meta.url), {
      workerData: revocations.list.shared,
    });
    const [port] = (await once(worker, 'message')) as [number];
    // A session of its own, as every service has: the kernel shares the processors out by session.
    const client = fork(new URL('flood-client.ts', import.meta.url), [String(port)], {
      detached: true,
    });
    try {
      await once(client, 'message');
      /** Requests for as long as `during` takes. */
      const measure = async (during: () => Promise<unknown>): Promise<Outcome> => {
        const load: Load = { perSecond: REQUESTS_PER_SECOND };
        client.send(load);
        const holds = watchHolds();
        const start = performance.now();
        await during();
        const seconds = (performance.now() - start) / 1000;
        const holdMs = holds.longestMs();
        client.send('enough');
        const [tookMs] = (await once(client, 'message')) as [readonly number[]];
        return { tookMs, holdMs, seconds };
      };
      const portion = Math.ceil(entries / rounds);
      process.stderr.write(`flood of ${entries} revocations\n`);
      // The first is for the compilers.
      await measure(() => source.bring(portion));
      const [without, during]: [Outcome[], Outcome[]] = [[], []];
      for (let round = 1; round <= rounds; round++) {
        const flooded = await measure(() => source.bring(portion));
        during.push(flooded);
        without.push(await measure(() => pause(flooded.seconds * 1000)));
      }
      return report(entries, without, during);
    } finally {
      client.kill();
      await worker.terminate();
      await control.close();
    }
  });
}

function report(entries: number, without: readonly Outcome[], during: readonly Outcome[]): string {
  const figures = [without, during].map((of) => {
    const all = of.flatMap(({ tookMs }) => tookMs);
    return {
      requests: all.length,
      p50: quantile(all, 0.5),
      p99: quantile(all, 0.99),
      roundP99: median(of.map(({ tookMs }) => quantile(tookMs, 0.99))),
      holdMs: Math.max(...of.map(({ holdMs }) => holdMs)),
    };
  });
  const seconds = during.reduce((sum, outcome) => sum + outcome.seconds, 0);
  const [usual] = figures;
  const names = ['has nothing to do', `takes in ${entries.toLocaleString('en')} revocations`];
  const rows = figures.map(({ requests, p50, p99, roundP99, holdMs }, i) => {
    const cells = [
      names[i],
      requests,
      p50.toFixed(2),
      p99.toFixed(2),
      (p99 / (usual?.p99 ?? Number.NaN)).toFixed(2),
      roundP99.toFixed(2),
      (roundP99 / (usual?.roundP99 ?? Number.NaN)).toFixed(2),
      i === 0 ? '-' : (entries / seconds).toFixed(0),
      holdMs.toFixed(1),
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return [
    '| control thread | requests | p50 ms | p99 ms | ratio | p99 of a round, median, ms | ratio | revocations/s | longest hold of the control thread ms |',
    '|---|---|---|---|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}
