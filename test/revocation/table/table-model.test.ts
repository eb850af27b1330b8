import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import fc from 'fast-check';
import { TableReader } from '../../../src/revocation/table/table-reader.ts';
import { TableWriter } from '../../../src/revocation/table/table-writer.ts';
import { END, WORDS, randomPrints } from './prints.ts';
import { wrapAtomics } from './watched-atomics.ts';

const KEYS = 400;
const MAX = 300;
const prints = randomPrints(KEYS);
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);

interface Known {
  end: number;
  restored: boolean;
  cutoff: number;
}

type Operation =
  | { kind: 'put'; from: number; count: number; end: number; restored: boolean; cutoff: number }
  | { kind: 'remove'; from: number; count: number }
  | { kind: 'lower'; from: number; count: number; cutoff: number }
  | { kind: 'sweep'; now: number; buckets: number }
  | { kind: 'shrink'; meanwhile: Operation[] };

const key = fc.nat(KEYS - 1);
const count = fc.integer({ min: 1, max: 120 });
const cutoff = fc.integer({ min: 0, max: 5 }).map((n) => n * 2 ** 31);
const plain: fc.Arbitrary<Operation>[] = [
  fc.record({
    kind: fc.constant('put' as const),
    from: key,
    count,
    end: fc.integer({ min: END, max: END + 50 }),
    restored: fc.boolean(),
    cutoff,
  }),
  fc.record({ kind: fc.constant('remove' as const), from: key, count }),
  fc.record({ kind: fc.constant('lower' as const), from: key, count, cutoff }),
  // The clock jumps, in both directions.
  fc.record({
    kind: fc.constant('sweep' as const),
    now: fc.integer({ min: END - 20, max: END + 80 }),
    buckets: fc.integer({ min: 1, max: 200 }),
  }),
];
const operation = fc.oneof(
  ...plain,
  fc.record({
    kind: fc.constant('shrink' as const),
    meanwhile: fc.array(fc.oneof(...plain), { maxLength: 6 }),
  }),
);

/** A table and what should be in it. */
class Modelled {
  readonly known = new Map<number, Known>();
  readonly table: TableWriter;
  readonly reader: TableReader;
  /** How often a copy was left half done. */
  pauses = 0;
  readonly #words: 4 | 8;

  constructor(words: 4 | 8) {
    this.#words = words;
    this.table = new TableWriter({ maxEntries: MAX, wordsPerSlot: words });
    this.reader = new TableReader(this.table.buffers);
  }

  async run(operation: Operation): Promise<void> {
    switch (operation.kind) {
      case 'put':
        for (const key of keysFrom(operation)) this.#put(key, operation);
        break;
      case 'remove':
        for (const key of keysFrom(operation))
          assert.equal(this.table.remove(prints, key * WORDS), this.known.delete(key));
        break;
      case 'lower':
        for (const key of keysFrom(operation)) {
          const known = this.known.get(key);
          // Before: no reader is to find less than this at any time.
          if (known !== undefined) known.cutoff = Math.min(known.cutoff, operation.cutoff);
          assert.equal(this.table.lower(prints, key * WORDS, operation.cutoff), true);
        }
        break;
      case 'sweep':
        this.#sweep(operation.now, operation.buckets);
        break;
      case 'shrink':
        await this.#shrink(operation.meanwhile);
        break;
    }
    assert.equal(this.table.size, this.known.size);
  }

  check(reader = this.reader): void {
    for (let key = 0; key < KEYS; key++) {
      const known = this.known.get(key);
      assert.equal(reader.endOf(prints, key * WORDS), known?.end ?? 0, `key ${key}`);
      if (this.#words === 8)
        assert.equal(reader.latestCutoff(prints, key * WORDS), known?.cutoff ?? -1);
    }
  }

  #put(key: number, { end, restored, cutoff }: Omit<Known, never>): void {
    const known = this.known.get(key);
    const result = this.table.put(prints, key * WORDS, end, restored, cutoff);
    if (known === undefined) {
      const full = this.known.size >= MAX;
      assert.equal(result, full ? 'full' : 'added');
      if (!full) this.known.set(key, { end, restored, cutoff });
      return;
    }
    const grows = end > known.end || (this.#words === 8 && cutoff > known.cutoff);
    assert.equal(result, grows ? 'changed' : 'same');
    known.end = Math.max(known.end, end);
    known.cutoff = Math.max(known.cutoff, cutoff);
    known.restored &&= restored;
  }

  #sweep(now: number, buckets: number): void {
    const gone = new Map<number, Known>();
    for (const [key, known] of this.known)
      if (known.end < (known.restored ? now - 24 : now)) gone.set(key, known);
    const { removed, latestEndSeconds } = this.table.sweep(now, now - 24, buckets);
    let left = 0;
    let latest = 0;
    for (const [key, known] of gone) {
      if (this.reader.endOf(prints, key * WORDS) !== 0) continue;
      this.known.delete(key);
      left++;
      latest = Math.max(latest, known.end);
    }
    assert.equal(removed, left);
    assert.equal(latestEndSeconds, latest);
    if (buckets >= MAX) assert.equal(removed, gone.size);
  }

  async #shrink(meanwhile: Operation[]): Promise<void> {
    const old = new TableReader(this.table.buffers);
    // A clock that makes the steps of the copy as short as they can be: the operations get in between.
    let now = 0;
    const clock = mock.method(performance, 'now', () => (now += 1_000));
    const done = await this.table.shrink({
      pause: async () => {
        this.pauses++;
        for (const operation of meanwhile) await this.run(operation);
        this.check(old);
      },
      replaced: async (buffers) => {
        assert.equal(this.table.buffers, buffers, 'new threads read the new one');
        for (const operation of meanwhile) {
          await this.run(operation);
          // Some threads read the new table by now, some still the old one.
          this.check(old);
          this.check(new TableReader(buffers));
        }
        this.reader.replace(buffers);
      },
    });
    clock.mock.restore();
    assert.equal(done, true);
  }
}

function keysFrom({ from, count }: { from: number; count: number }): number[] {
  return Array.from({ length: count }, (_, i) => (from + i) % KEYS);
}

/** Calls `after` behind each write of this thread to shared memory, and never within itself. */
function afterEachWrite(after: () => void): () => void {
  let within = false;
  return wrapAtomics(['store', 'add'], (_name, original) => (...args) => {
    const result = original(...args);
    if (!within) {
      within = true;
      try {
        after();
      } finally {
        within = false;
      }
    }
    return result;
  });
}

describe('table against a model', () => {
  for (const words of [4, 8] as const) {
    it(`holds what a map would, with ${words} words per slot`, async (t) => {
      t.diagnostic(`SEED=${seed}`);
      let pauses = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 25 }), async (operations) => {
          const modelled = new Modelled(words);
          for (const operation of operations) {
            await modelled.run(operation);
            modelled.check();
          }
          pauses += modelled.pauses;
        }),
        { seed, numRuns: 600 },
      );
      assert.ok(pauses > 20, `copies left half done: ${pauses}`);
    });

    it(`shows everything acknowledged behind every single write, with ${words} words per slot`, async (t) => {
      t.diagnostic(`SEED=${seed}`);
      let looks = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.oneof(...plain), { minLength: 1, maxLength: 5 }),
          async (operations) => {
            const modelled = new Modelled(words);
            const { known, reader } = modelled;
            const restore = afterEachWrite(() => {
              for (const [key, { end, cutoff }] of known) {
                const at = key * WORDS;
                const seen =
                  words === 4 ? reader.endOf(prints, at) : reader.latestCutoff(prints, at);
                looks++;
                if (seen < (words === 4 ? end : cutoff) && !leaving(key))
                  assert.fail(`key ${key}: ${seen}`);
              }
            });
            let operation: Operation | undefined;
            const leaving = (key: number): boolean =>
              operation?.kind === 'sweep' ||
              (operation?.kind === 'remove' && keysFrom(operation).includes(key));
            try {
              for (operation of operations) await modelled.run(operation);
            } finally {
              restore();
            }
            modelled.check();
          },
        ),
        { seed, numRuns: 40 },
      );
      assert.ok(looks > 1_000, String(looks));
    });
  }
});
