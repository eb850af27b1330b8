/**
 * One look-up and one write, interleaved: the reader finds the memory as it is behind one of the writer's steps, and from one of its own reads on
 * as it is behind a later one. Every such pair of steps with every such read is tried; the reader has to be right each time.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { wordsOf, type TableBuffers } from '../../../src/revocation/table/table-layout.ts';
import { TableReader } from '../../../src/revocation/table/table-reader.ts';
import { TableWriter } from '../../../src/revocation/table/table-writer.ts';
import { END, WORDS, randomPrints } from './prints.ts';
import { wrapAtomics } from './watched-atomics.ts';

const prints = randomPrints(200);

/** What is done before each read, and behind each write, of shared memory. */
let onRead: (() => void) | undefined;
let onWrite: (() => void) | undefined;

/** Plain reads of slots, told of. */
const watched = new WeakMap<object, Uint32Array>();
function watch(slots: Uint32Array): Uint32Array {
  const proxy = new Proxy(slots, {
    get(words, place) {
      onRead?.();
      return Reflect.get(words, place) as unknown;
    },
  });
  watched.set(proxy, slots);
  return proxy;
}

/** A reader whose every read of shared memory is told of. */
function watchedReader(buffers: TableBuffers): TableReader {
  const original = globalThis.Uint32Array;
  globalThis.Uint32Array = new Proxy(original, {
    construct: (make, args: [SharedArrayBuffer, number]) => watch(new make(...args)),
  });
  try {
    return new TableReader(buffers);
  } finally {
    globalThis.Uint32Array = original;
  }
}

/** All memory of a table at one moment. */
interface Memory {
  readonly header: Uint8Array;
  readonly slots: Uint8Array;
}

function memoryOf({ header, slots }: TableBuffers): Memory {
  return { header: new Uint8Array(header), slots: new Uint8Array(slots) };
}

/** The table's memory before the write and behind each of its steps. */
function stepsOf(table: TableWriter, write: (table: TableWriter) => void): Memory[] {
  const memory = memoryOf(table.buffers);
  const copy = (): Memory => ({ header: memory.header.slice(), slots: memory.slots.slice() });
  const steps = [copy()];
  onWrite = () => steps.push(copy());
  try {
    write(table);
  } finally {
    onWrite = undefined;
  }
  return steps;
}

/** Tries all interleavings of the write to this table with the look-up. @returns their number */
function interleave(
  table: TableWriter,
  write: (table: TableWriter) => void,
  look: (reader: TableReader) => void,
): number {
  const steps = stepsOf(table, write);
  const memory = memoryOf(table.buffers);
  const reader = watchedReader(table.buffers);
  let tried = 0;
  const set = ({ header, slots }: Memory): void => {
    memory.header.set(header);
    memory.slots.set(slots);
  };
  for (const [at, first] of steps.entries())
    for (const then of steps.slice(at)) {
      let reads = Infinity;
      for (let pauseAt = 1; pauseAt <= reads; pauseAt++) {
        set(first);
        let read = 0;
        onRead = () => {
          if (++read === pauseAt) set(then);
        };
        look(reader);
        onRead = undefined;
        reads = read;
        tried++;
      }
    }
  return tried;
}

describe('a look-up while there is a write', () => {
  let restore: (() => void) | undefined;
  before(() => {
    restore = wrapAtomics(['load', 'store', 'add'], (name, original) => (array, ...rest) => {
      onRead?.();
      const result = original(watched.get(array) ?? array, ...rest);
      if (name !== 'load') onWrite?.();
      return result;
    });
  });
  after(() => restore?.());

  it('finds the entries that are moved by a new one, with their own ends', () => {
    const filled = (entries: number): TableWriter => {
      const table = new TableWriter({ maxEntries: 200, wordsPerSlot: 4 });
      for (let i = 0; i < entries; i++) table.put(prints, i * WORDS, END + i, false);
      return table;
    };
    let tried = 0;
    let moves = 0;
    for (let entries = 3; entries < 45; entries++) {
      const before = placesIn(filled(entries));
      const after = placesIn(filled(entries + 1));
      for (let i = 0; i < entries; i++) {
        if (before.get(END + i) === after.get(END + i)) continue;
        moves++;
        tried += interleave(
          filled(entries),
          (table) => table.put(prints, entries * WORDS, END + entries, false),
          (reader) => {
            assert.equal(reader.endOf(prints, i * WORDS), END + i);
          },
        );
      }
    }
    assert.ok(moves > 10 && tried > 10_000, `${tried} interleavings of ${moves} moves`);
  });

  it('sees an old or a new end, and never none', () => {
    const table = new TableWriter({ maxEntries: 200, wordsPerSlot: 4 });
    table.put(prints, 0, END, true);
    const tried = interleave(
      table,
      () => table.put(prints, 0, END + 1, false),
      (reader) => {
        assert.ok([END, END + 1].includes(reader.endOf(prints, 0)));
      },
    );
    assert.ok(tried > 5, String(tried));
  });

  it('sees an old or a new cut-off, and never none or half of one', () => {
    const old = 2 ** 40 - 1;
    for (let entries = 1; entries < 24; entries++) {
      const table = new TableWriter({ maxEntries: 200, wordsPerSlot: 8 });
      for (let i = 0; i < entries; i++) table.put(prints, i * WORDS, END, false, old);
      const writes = [
        [old + 1, () => table.put(prints, 0, END, false, old + 1)],
        [old - 1, () => table.lower(prints, 0, old - 1)],
      ] as const;
      let before = old;
      for (const [cutoff, write] of writes) {
        interleave(table, write, (reader) => {
          assert.ok([before, cutoff].includes(reader.latestCutoff(prints, 0)));
        });
        before = cutoff;
      }
    }
  });

  it('sees nothing that was never put, and never the end of another entry where one has left', () => {
    const table = new TableWriter({ maxEntries: 200, wordsPerSlot: 4 });
    table.put(prints, 0, END, false);
    interleave(
      table,
      () => {
        table.remove(prints, 0);
        for (let i = 1; i < 4; i++) table.put(prints, i * WORDS, END + i, false);
      },
      (reader) => {
        assert.ok([0, END].includes(reader.endOf(prints, 0)));
        assert.equal(reader.endOf(prints, 100 * WORDS), 0);
      },
    );
  });

  it('never takes an entry for one that has left its slot, whatever words the two have in common', () => {
    for (const inCommon of [[0], [1], [2], [0, 1], [0, 2], [1, 2]])
      for (const wordsPerSlot of [4, 8] as const) {
        const pair = prints.slice(0, 2 * WORDS);
        for (const word of inCommon) pair[WORDS + word] = pair[word] ?? 0;
        const table = new TableWriter({ maxEntries: 200, wordsPerSlot });
        table.put(pair, 0, END, false, 1);
        interleave(
          table,
          () => {
            table.remove(pair, 0);
            table.put(pair, WORDS, END + 1, false, 2);
          },
          (reader) => {
            const words = `words in common: ${inCommon.join(', ')}`;
            assert.ok([0, END].includes(reader.endOf(pair, 0)), words);
            if (wordsPerSlot === 8)
              assert.ok([-1, 1].includes(reader.latestCutoff(pair, 0)), words);
          },
        );
      }
  });
});

/** Slots by the end of the entry in them. */
function placesIn(table: TableWriter): Map<number, number> {
  const slots = wordsOf(table.buffers);
  const places = new Map<number, number>();
  for (const { fingerprint, endSeconds } of table.entries())
    for (let slot = 0; slot < slots.length; slot += 4)
      if (fingerprint.every((word, i) => slots[slot + i] === word) && slots[slot + 3] !== 0)
        places.set(endSeconds, slot);
  return places;
}
