import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TableReader } from '../../../src/revocation/table/table-reader.ts';
import { TableWriter } from '../../../src/revocation/table/table-writer.ts';
import { END, WORDS, randomPrints } from './prints.ts';

/** What the issue of a table's bytes is decided by. */
const BYTES_PER_ENTRY = 20;

/** Words written to behind the first `from` of the reservation. */
function writtenBehind(words: Uint32Array, from: number): number {
  let written = 0;
  for (let i = from; i < words.length; i++) if (words[i] !== 0) written++;
  return written;
}

describe('size of a table', () => {
  it('is at most 20 bytes per entry however many there are, and keeps them all', () => {
    const most = 1_900_000;
    const prints = randomPrints(most);
    const table = new TableWriter({ maxEntries: 2_000_000, wordsPerSlot: 4 });
    const reader = new TableReader(table.buffers);
    let put = 0;
    for (const entries of [1_000_000, 1_300_000, most]) {
      for (; put < entries; put++)
        assert.equal(table.put(prints, put * WORDS, END + put, put % 2 === 0), 'added');
      assert.equal(table.size, entries);
      const perEntry = table.residentBytes / entries;
      assert.ok(perEntry <= BYTES_PER_ENTRY, `${entries}: ${perEntry}`);
      const { header, slots } = table.buffers;
      const inSlots = table.residentBytes - header.byteLength;
      assert.equal(writtenBehind(new Uint32Array(slots), inSlots / 4), 0, 'counted all there is');
      let missing = 0;
      for (let i = 0; i < entries; i++) if (reader.endOf(prints, i * WORDS) !== END + i) missing++;
      assert.equal(missing, 0);
    }
  });

  it('is at most 20 bytes per entry again after most have left and it was shrunk', async () => {
    const all = 400_000;
    const prints = randomPrints(all);
    const table = new TableWriter({ maxEntries: all, wordsPerSlot: 4 });
    for (let i = 0; i < all; i++) table.put(prints, i * WORDS, END + i, false);
    assert.equal(table.shrinkable, false);
    for (const left of [370_000, 200_000, 100_000]) {
      while (table.size > left) table.sweep(END + all - left, 0, 1_000);
      assert.equal(table.shrinkable, true, String(left));
      let read: TableReader | undefined;
      let peak = 0;
      const done = await table.shrink({
        pause: () => Promise.resolve(),
        replaced: (buffers) => {
          peak = table.residentBytes;
          read = new TableReader(buffers);
          return Promise.resolve();
        },
      });
      assert.equal(done, true);
      assert.ok(peak > table.residentBytes, 'both count while both are there');
      assert.ok(table.residentBytes / left <= BYTES_PER_ENTRY);
      assert.equal(table.shrinkable, false);
      let wrong = 0;
      for (let i = 0; i < all; i++)
        if (read?.endOf(prints, i * WORDS) !== (i < all - left ? 0 : END + i)) wrong++;
      assert.equal(wrong, 0);
    }
  });

  it('goes on with two tables when the new one could not be handed over, and takes it up again', async () => {
    const prints = randomPrints(100_000);
    const table = new TableWriter({ maxEntries: 100_000, wordsPerSlot: 4 });
    for (let i = 0; i < 90_000; i++) table.put(prints, i * WORDS, END + i, false);
    while (table.size > 50_000) table.sweep(END + 40_000, 0, 1_000);
    const old = new TableReader(table.buffers);
    let some: TableReader | undefined;
    const failing = table.shrink({
      replaced: (buffers) => {
        some = new TableReader(buffers);
        return Promise.reject(new Error('a thread is gone'));
      },
    });
    await assert.rejects(failing, /a thread is gone/);
    table.put(prints, 99_000 * WORDS, END, false);
    assert.equal(old.endOf(prints, 99_000 * WORDS), END);
    assert.equal(some?.endOf(prints, 99_000 * WORDS), END);
    assert.equal(table.shrinkable, true);
    const given = table.buffers;
    assert.equal(
      await table.shrink({
        replaced: (buffers) => {
          assert.equal(buffers, given);
          return Promise.resolve();
        },
      }),
      true,
    );
    table.put(prints, 99_001 * WORDS, END, false);
    assert.equal(old.endOf(prints, 99_001 * WORDS), 0, 'the old one is left alone');
    assert.equal(new TableReader(table.buffers).endOf(prints, 99_001 * WORDS), END);
    assert.equal(table.size, 50_002);
  });

  it('is shrunk by one at a time', async () => {
    const table = new TableWriter({ maxEntries: 100, wordsPerSlot: 4 });
    const first = table.shrink({ replaced: () => Promise.resolve() });
    assert.equal(table.shrinkable, false);
    assert.equal(await table.shrink({ replaced: () => Promise.resolve() }), false);
    assert.equal(await first, true);
  });
});
