import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TableReader } from '../../../src/revocation/table/table-reader.ts';
import { TableWriter } from '../../../src/revocation/table/table-writer.ts';
import { END, WORDS, randomPrints } from './prints.ts';

const prints = randomPrints(2_000);

function tokens(maxEntries = 1_000): { table: TableWriter; reader: TableReader } {
  const table = new TableWriter({ maxEntries, wordsPerSlot: 4 });
  return { table, reader: new TableReader(table.buffers) };
}

/** Goes round once. */
function sweepAll(table: TableWriter, gone: number, restoredGone: number): number {
  return table.sweep(gone, restoredGone, 1e9).removed;
}

describe('table of tokens', () => {
  it('knows nothing at first, and then what was put', () => {
    const { table, reader } = tokens();
    assert.equal(reader.endOf(prints, 0), 0);
    assert.equal(table.put(prints, 0, END, false), 'added');
    assert.equal(reader.endOf(prints, 0), END);
    assert.equal(reader.endOf(prints, WORDS), 0);
    assert.equal(table.size, 1);
  });

  it('never shortens an end', () => {
    const { table, reader } = tokens();
    table.put(prints, 0, END, false);
    assert.equal(table.put(prints, 0, END - 1, false), 'same');
    assert.equal(table.put(prints, 0, END, false), 'same');
    assert.equal(reader.endOf(prints, 0), END);
    assert.equal(table.put(prints, 0, END + 1, false), 'changed');
    assert.equal(reader.endOf(prints, 0), END + 1);
    assert.equal(table.size, 1);
  });

  it('takes all words of a fingerprint into account, also words of zero', () => {
    const { table, reader } = tokens();
    const close = new Uint32Array([0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0]);
    for (let at = 0; at < close.length; at += WORDS) {
      assert.equal(reader.endOf(close, at), 0);
      assert.equal(table.put(close, at, END + at, false), 'added');
    }
    for (let at = 0; at < close.length; at += WORDS)
      assert.equal(reader.endOf(close, at), END + at);
    assert.equal(table.remove(close, 0), true);
    assert.equal(reader.endOf(close, 0), 0);
    assert.equal(reader.endOf(close, 3), END + 3);
  });

  it('removes entries that ended before the given moment, not in it', () => {
    const { table, reader } = tokens();
    for (let i = 0; i < 100; i++) table.put(prints, i * WORDS, END + i, false);
    assert.deepEqual(table.sweep(END + 50, 0, 1e9), { removed: 50, latestEndSeconds: END + 49 });
    for (let i = 0; i < 100; i++)
      assert.equal(reader.endOf(prints, i * WORDS), i < 50 ? 0 : END + i);
    assert.deepEqual(table.sweep(END + 50, 0, 1e9), { removed: 0, latestEndSeconds: 0 });
    assert.equal(table.size, 50);
  });

  it('keeps what was restored by its own, earlier moment, until a source names it again', () => {
    const { table, reader } = tokens();
    table.put(prints, 0, END, true);
    table.put(prints, WORDS, END, true);
    table.put(prints, 2 * WORDS, END, false);
    assert.equal(table.put(prints, WORDS, END - 5, false), 'same', 'nothing new to be written');
    assert.equal(table.put(prints, 2 * WORDS, END, true), 'same', 'live stays live');
    assert.equal(sweepAll(table, END + 1, END - 86_400), 2);
    assert.equal(reader.endOf(prints, 0), END);
    assert.equal(sweepAll(table, END + 86_401, END + 1), 1);
    assert.equal(table.size, 0);
  });

  it('sweeps round and round, a step at a time', () => {
    const { table } = tokens();
    for (let i = 0; i < 1_000; i++) table.put(prints, i * WORDS, END + (i % 2), false);
    let removed = 0;
    let steps = 0;
    while (removed < 500 && steps < 1_000) {
      removed += table.sweep(END + 1, 0, 7).removed;
      steps++;
    }
    assert.equal(removed, 500);
    assert.ok(steps > 10 && steps < 60, `${steps} steps of 7 of some 300 buckets`);
    table.put(prints, 0, END, false);
    for (let i = 0; i < 60; i++) removed += table.sweep(END + 1, 0, 7).removed;
    assert.equal(removed, 501);
  });

  it('says what is being forgotten before it is gone', () => {
    const told: [number, number][] = [];
    const table = new TableWriter({
      maxEntries: 100,
      wordsPerSlot: 4,
      forgetting: (end) => told.push([end, reader.endOf(prints, 0)]),
    });
    const reader = new TableReader(table.buffers);
    table.put(prints, 0, END, false);
    sweepAll(table, END + 1, 0);
    assert.deepEqual(told, [[END, END]]);
    table.put(prints, WORDS, END - 1, false);
    sweepAll(table, END + 1, 0);
    assert.equal(told.length, 1, 'nothing later is forgotten');
  });

  it('refuses a new entry beyond its maximum, loses nothing, and still prolongs', () => {
    const { table, reader } = tokens(100);
    for (let i = 0; i < 100; i++) {
      assert.equal(table.capacityLeft, 100 - i);
      assert.equal(table.put(prints, i * WORDS, END, false), 'added');
    }
    assert.equal(table.put(prints, 100 * WORDS, END, false), 'full');
    assert.equal(reader.endOf(prints, 100 * WORDS), 0);
    assert.equal(table.put(prints, 0, END + 1, false), 'changed');
    for (let i = 0; i < 100; i++)
      assert.equal(reader.endOf(prints, i * WORDS), i === 0 ? END + 1 : END);
    table.remove(prints, 5 * WORDS);
    assert.equal(table.put(prints, 100 * WORDS, END, false), 'added');
  });

  it('refuses, and does not search for ever, when all fingerprints lead to one bucket', () => {
    const { table, reader } = tokens();
    const same = new Uint32Array(10 * WORDS);
    for (let i = 0; i < 10; i++) same[i * WORDS + 2] = i;
    const results = Array.from({ length: 10 }, (_, i) => table.put(same, i * WORDS, END, false));
    assert.ok(results.every((result, i) => result === (i < 4 ? 'added' : 'full')));
    for (let i = 0; i < 10; i++) assert.equal(reader.endOf(same, i * WORDS), i < 4 ? END : 0);
    assert.equal(table.put(prints, 0, END, false), 'added');
    assert.equal(table.size, 5);
  });

  it('loses nothing where entries have to be moved on and on', () => {
    // All lead to eight buckets, however many there are: near the end room is only made by long chains of moves.
    for (let round = 0; round < 200; round++) {
      const { table, reader } = tokens();
      const crowd = Uint32Array.from(randomPrints(40), (word, i) =>
        i % WORDS < 2 ? word % 8 : word,
      );
      const put: number[] = [];
      for (let at = 0; at < crowd.length; at += WORDS) {
        if (table.put(crowd, at, END + at, false) === 'added') put.push(at);
        for (const known of put) assert.equal(reader.endOf(crowd, known), END + known);
      }
      assert.equal(table.size, put.length);
      assert.ok(put.length > 16 && put.length <= 32, String(put.length));
    }
  });

  it('is as large from the start as it was told to expect, and no larger than what is put in the end', () => {
    const told = tokens().table;
    const grown = tokens().table;
    told.expect(900);
    for (let i = 0; i < 900; i++) {
      assert.equal(told.put(prints, i * WORDS, END, false), 'added');
      grown.put(prints, i * WORDS, END, false);
    }
    assert.equal(told.residentBytes, grown.residentBytes);
    const reader = new TableReader(told.buffers);
    for (let i = 0; i < 900; i++) assert.equal(reader.endOf(prints, i * WORDS), END);
    const bytes = told.residentBytes;
    told.expect(10_000);
    assert.equal(told.residentBytes, bytes, 'not while there are entries');
  });

  it('tells of all its entries', () => {
    const { table } = tokens();
    for (let i = 0; i < 50; i++) table.put(prints, i * WORDS, END + i, i % 3 === 0);
    const ends = new Map([...table.entries()].map((e) => [e.fingerprint.join(), e]));
    assert.equal(ends.size, 50);
    for (let i = 0; i < 50; i++) {
      const entry = ends.get(prints.subarray(i * WORDS, (i + 1) * WORDS).join());
      assert.equal(entry?.endSeconds, END + i);
      assert.equal(entry.restored, i % 3 === 0);
      assert.equal(entry.cutoffMs, -1);
    }
  });
});

describe('table of rules', () => {
  function rules(maxEntries = 1_000): { table: TableWriter; reader: TableReader } {
    const table = new TableWriter({ maxEntries, wordsPerSlot: 8 });
    return { table, reader: new TableReader(table.buffers) };
  }
  const CUTOFF = Date.parse('2026-11-22T12:00:00.123Z');

  it('keeps the latest cut-off and the latest end, whichever came first', () => {
    const { table, reader } = rules();
    assert.equal(reader.latestCutoff(prints, 0), -1);
    assert.equal(table.put(prints, 0, END, false, CUTOFF), 'added');
    assert.equal(reader.latestCutoff(prints, 0), CUTOFF);
    assert.equal(table.put(prints, 0, END, false, CUTOFF - 1), 'same');
    assert.equal(reader.latestCutoff(prints, 0), CUTOFF);
    assert.equal(table.put(prints, 0, END - 10, false, CUTOFF + 1), 'changed');
    assert.equal(reader.latestCutoff(prints, 0), CUTOFF + 1);
    assert.equal(reader.endOf(prints, 0), END);
    assert.equal(table.put(prints, 0, END + 10, false, CUTOFF - 5), 'changed');
    assert.equal(reader.latestCutoff(prints, 0), CUTOFF + 1);
    assert.equal(reader.endOf(prints, 0), END + 10);
    assert.equal(table.size, 1);
    assert.equal([...table.entries()].length, 1);
  });

  it('has one entry per name after any number of cut-offs, also when it is full', () => {
    const { table, reader } = rules(200);
    for (let round = 0; round < 20; round++)
      for (let i = 0; i < 200; i++)
        assert.equal(
          table.put(prints, i * WORDS, END, false, CUTOFF + round * 1_000 + i),
          round === 0 ? 'added' : 'changed',
        );
    assert.equal(table.size, 200);
    assert.equal([...table.entries()].length, 200);
    for (let i = 0; i < 200; i++)
      assert.equal(reader.latestCutoff(prints, i * WORDS), CUTOFF + 19_000 + i);
  });

  it('lets a lifted rule go, and takes a later one', () => {
    const { table, reader } = rules();
    table.put(prints, 0, END, false, CUTOFF);
    assert.equal(table.remove(prints, 0), true);
    assert.equal(table.remove(prints, 0), false);
    assert.equal(reader.latestCutoff(prints, 0), -1);
    table.put(prints, 0, END, false, 0);
    assert.equal(reader.latestCutoff(prints, 0), 0, 'a cut-off of 0 is one');
  });
});

describe('telling of all entries', () => {
  // Small tables often: the place that is being told of may be taken by another entry meanwhile, once in some hundred rounds.
  for (const [before, after, rounds] of [
    [8_000, 40_000, 1],
    [100, 500, 2_000],
  ] as const)
    it(`misses none of ${before} that were there all the while, though room is made for others meanwhile`, () => {
      for (let round = 0; round < rounds; round++) {
        const { table } = tokens(after);
        const all = randomPrints(after);
        for (let i = 0; i < before; i++) table.put(all, i * WORDS, END, false);
        const told = new Set<string>();
        let next = before;
        for (const { fingerprint } of table.entries()) {
          told.add(fingerprint.join());
          for (let more = 0; more < 4 && next < after; more++, next++)
            table.put(all, next * WORDS, END, false);
        }
        assert.equal(next, after);
        for (let i = 0; i < before; i++)
          assert.ok(told.has(all.subarray(i * WORDS, (i + 1) * WORDS).join()), `entry ${i}`);
      }
    });
});
