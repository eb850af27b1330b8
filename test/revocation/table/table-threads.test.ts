import assert from 'node:assert/strict';
import { on } from 'node:events';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { TableBuffers } from '../../../src/revocation/table/table-layout.ts';
import { TableWriter } from '../../../src/revocation/table/table-writer.ts';
import { END, WORDS, randomPrints } from './prints.ts';
import {
  BEYOND,
  CUTOFF,
  CUTOFF_BASE,
  CUTOFF_BEGUN,
  FIRST,
  STATE_WORDS,
  endOfEntry,
  type ReaderData,
  type ReaderReport,
} from './reader-thread.ts';

const PUTS = 2_000_000;
const STRANGERS = 10_000;
const THREADS = 2;
/** Milliseconds of each part. */
const PART_MS = 1_500;

type FromReader = ReaderReport | { kind: 'reading' } | { kind: 'replaced' };

class Readers {
  readonly #workers: Worker[] = [];

  async start(data: ReaderData): Promise<void> {
    for (let i = 0; i < THREADS; i++)
      this.#workers.push(
        new Worker(new URL('reader-thread.ts', import.meta.url), { workerData: data }),
      );
    await this.#answers('reading');
  }

  async replace(tokens: TableBuffers): Promise<void> {
    const replaced = this.#answers('replaced');
    for (const worker of this.#workers) worker.postMessage({ kind: 'replace', tokens });
    await replaced;
  }

  async stop(): Promise<ReaderReport[]> {
    const reports = this.#answers('report');
    for (const worker of this.#workers) worker.postMessage({ kind: 'stop' });
    return (await reports) as ReaderReport[];
  }

  async terminate(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  async #answers(kind: FromReader['kind']): Promise<FromReader[]> {
    return await Promise.all(
      this.#workers.map(async (worker) => {
        for await (const [message] of on(worker, 'message', { close: ['exit'] }) as AsyncIterable<
          [FromReader]
        >)
          if (message.kind === kind || message.kind === 'report') return message;
        throw new Error('a reading thread ended');
      }),
    );
  }
}

describe('table that other threads read', () => {
  it('shows them everything that is acknowledged, while it is filled, grown, swept and shrunk', async (t) => {
    const prints = randomPrints(PUTS + STRANGERS);
    const state = new Int32Array(new SharedArrayBuffer(STATE_WORDS * 4));
    const tokens = new TableWriter({ maxEntries: PUTS, wordsPerSlot: 4 });
    const rules = new TableWriter({ maxEntries: 100, wordsPerSlot: 8 });
    rules.put(prints, 0, END, false, CUTOFF_BASE);

    let next = 0;
    let first = 0;
    let cutoff = 0;
    const put = (): void => {
      assert.ok(next < PUTS, 'no entries left to put');
      assert.equal(tokens.put(prints, next * WORDS, endOfEntry(next), false), 'added');
      Atomics.store(state, BEYOND, ++next);
      // Other rules come and go around the one that is read: its slots are used again and again.
      const other = (1 + (next % 50)) * WORDS;
      if (!rules.remove(prints, other)) rules.put(prints, other, END, false, next);
      if (next % 4 !== 0) return;
      Atomics.store(state, CUTOFF_BEGUN, ++cutoff);
      assert.equal(rules.put(prints, 0, END, false, CUTOFF_BASE + cutoff), 'changed');
      Atomics.store(state, CUTOFF, cutoff);
    };
    /** Lets all entries before this one expire, and sweeps some of the table. */
    const expire = (before: number, buckets: number): void => {
      first = before;
      Atomics.store(state, FIRST, first);
      tokens.sweep(endOfEntry(first), 0, buckets);
    };
    /** Does the work over and over, for the time of one part or until there were this many puts. */
    const during = async (most: number, work: () => void): Promise<void> => {
      const end = performance.now() + PART_MS;
      for (let done = 0; done < most && performance.now() < end; done++) {
        work();
        if (done % 200 === 0) await turn();
      }
    };

    const readers = new Readers();
    try {
      await readers.start({
        tokens: tokens.buffers,
        rules: rules.buffers,
        state: state.buffer,
        prints: prints.buffer,
        puts: PUTS,
      });
      // A small table, always full: entries are moved all the time.
      await during(500_000, () => {
        put();
        expire(Math.max(0, next - 300), 4);
      });
      // Growth.
      for (let done = 0; done < 250_000; done++) {
        put();
        if (done % 500 === 0) await turn();
      }
      // Expiry and shrinking, with entries still coming.
      for (let round = 0; round < 3; round++) {
        const goal = first + Math.floor((next - first) / 3);
        while (tokens.size > next - goal) {
          expire(goal, 100);
          for (let i = 0; i < 20; i++) put();
        }
        assert.ok(tokens.shrinkable);
        const before = tokens.residentBytes;
        const shrunk = await tokens.shrink({
          pause: async () => {
            for (let i = 0; i < 100; i++) put();
            expire(first + 20, 50);
            await turn();
          },
          replaced: async (buffers) => {
            const replaced = readers.replace(buffers);
            for (let i = 0; i < 3_000; i++) put();
            await replaced;
          },
        });
        assert.equal(shrunk, true);
        assert.ok(tokens.residentBytes < 0.9 * before, `${before}, then ${tokens.residentBytes}`);
        for (let i = 0; i < 60_000; i++) put();
      }
      await during(200_000, put);
      const reports = await readers.stop();
      for (const report of reports) assert.deepEqual(report.wrong, []);
      const looks = reports.map(({ hits, misses, cutoffs }) => hits + misses + cutoffs);
      t.diagnostic(`${next} put, ${cutoff} cut-offs; looked up: ${looks.join(', ')}`);
      for (const count of looks) assert.ok(count > 100_000, String(looks));
    } finally {
      await readers.terminate();
    }
  });
});
