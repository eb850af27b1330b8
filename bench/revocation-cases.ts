/** The ways of keeping revocations that `revocation.ts` compares. Each runs alone in a process of its own. */
import { randomFillSync } from 'node:crypto';
import { TableReader } from '../src/revocation/table/table-reader.ts';
import { TableWriter } from '../src/revocation/table/table-writer.ts';
import { BloomFilters } from './bloom-filter.ts';
import {
  busyMs,
  idOf,
  ownMemory,
  randomPrints,
  timeInserts,
  timeLookups,
  type Figures,
} from './revocation-probe.ts';

const WORDS = 3;
const END = 1_800_000_000;
/** As in the gateway's default configuration. */
const MAX_ENTRIES = 20_000_000;
const SWEEP_BUCKETS = 1_000;

/** Median times of look-ups by fingerprint, of any entry and of what is no entry. */
function lookups(
  prints: Uint32Array,
  look: (prints: Uint32Array, at: number) => boolean,
): { hitNs: number; missNs: number } {
  const probes = new Uint32Array(1_000 * WORDS);
  const known = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const at = Math.floor((Math.random() * prints.length) / WORDS) * WORDS;
      for (let word = 0; word < WORDS; word++) probes[i * WORDS + word] = prints[at + word] ?? 0;
    }
  };
  const found = (lookup: number): boolean => look(probes, lookup * WORDS);
  return {
    hitNs: timeLookups(known, found, true),
    missNs: timeLookups(() => randomFillSync(probes), found, false),
  };
}

/** The same by id. */
function lookupsById(
  prints: Uint32Array,
  look: (id: string) => boolean,
  rounds?: number,
  count?: number,
): { hitNs: number; missNs: number } {
  const strangers = randomPrints(100_000);
  let ids: string[] = [];
  const of =
    (prints: Uint32Array): ((count: number) => void) =>
    (count) => {
      ids = Array.from({ length: count }, () =>
        idOf(prints, Math.floor((Math.random() * prints.length) / WORDS)),
      );
    };
  const found = (lookup: number): boolean => look(ids[lookup] ?? '');
  return {
    hitNs: timeLookups(of(prints), found, true, rounds, count),
    missNs: timeLookups(of(strangers), found, false, rounds, count),
  };
}

/** Bytes per entry that the process grows by when it keeps these. Nothing is timed meanwhile: that leaves garbage behind. */
function measureBytes(prints: Uint32Array, make: () => (at: number) => void): number {
  // A few at first, so that compiled code and its like do not count.
  const few = make();
  for (let at = 0; at < Math.min(50_000 * WORDS, prints.length); at += WORDS) few(at);
  const before = ownMemory();
  const put = make();
  for (let at = 0; at < prints.length; at += WORDS) put(at);
  const bytes = ownMemory() - before;
  put(0);
  return (bytes * WORDS) / prints.length;
}

function measureTable(prints: Uint32Array, expected: number): number {
  return measureBytes(prints, () => {
    const table = new TableWriter({ maxEntries: MAX_ENTRIES, wordsPerSlot: 4 });
    table.expect(expected);
    return (at) => table.put(prints, at, END, false);
  });
}

function fillTable(prints: Uint32Array): {
  table: TableWriter;
  reader: TableReader;
  inserts: ReturnType<typeof timeInserts>;
} {
  const table = new TableWriter({ maxEntries: MAX_ENTRIES, wordsPerSlot: 4 });
  const inserts = timeInserts(prints.length / WORDS, (entry) => {
    // Every other entry ends earlier: those are swept later.
    table.put(prints, entry * WORDS, END + (entry % 2), false);
  });
  return { table, reader: new TableReader(table.buffers), inserts };
}

/** What no look-up in two places can be faster than on this machine, as busy as it is: two reads of as much memory, at places that differ. */
function twoReadsNs(bytes: number): number {
  const words = new Uint32Array(new SharedArrayBuffer(bytes)).fill(1);
  const fence = new Int32Array(new SharedArrayBuffer(4));
  const places = new Uint32Array(2_000);
  return timeLookups(
    () => randomFillSync(places),
    (lookup) => {
      const one = words[(places[lookup * 2] ?? 0) % words.length];
      const other = words[(places[lookup * 2 + 1] ?? 0) % words.length];
      Atomics.add(fence, 0, 1);
      return one === other;
    },
    true,
  );
}

async function table(entries: number): Promise<Figures> {
  const prints = randomPrints(entries);
  const bytesMeasured = measureTable(prints, 0);
  const { table, reader, inserts } = fillTable(prints);
  const bytesComputed = table.residentBytes / entries;
  const looked = lookups(prints, (probes, at) => reader.endOf(probes, at) !== 0);
  const bareNs = twoReadsNs(Math.ceil(table.residentBytes / 4) * 4);

  let swept = 0;
  let longestSweepMs = 0;
  let sweepMs = 0;
  while (table.size > entries / 2) {
    const start = busyMs();
    swept += table.sweep(END + 1, 0, SWEEP_BUCKETS).removed;
    const took = busyMs() - start;
    sweepMs += took;
    longestSweepMs = Math.max(longestSweepMs, took);
  }
  const started = performance.now();
  let running = busyMs();
  const steps: number[] = [];
  let peak = 0;
  await table.shrink({
    pause: async () => {
      steps.push(busyMs() - running);
      peak = Math.max(peak, table.residentBytes);
      await new Promise((resolve) => setImmediate(resolve));
      running = busyMs();
    },
    replaced: () => {
      peak = Math.max(peak, table.residentBytes);
      return Promise.resolve();
    },
  });
  const shrinkMs = performance.now() - started;
  return {
    name: 'Portcullis',
    entries,
    bytesComputed,
    bytesMeasured,
    ...inserts,
    ...looked,
    expireNs: (sweepMs * 1e6) / swept,
    notes: [
      `two bare reads of as much memory ${bareNs.toFixed(0)} ns`,
      `longest step of a sweep ${longestSweepMs.toFixed(1)} ms`,
      `shrunk to half in ${(shrinkMs / 1_000).toFixed(1)} s, longest step ${Math.max(...steps).toFixed(1)} ms`,
      `peak ${(peak / entries).toFixed(1)} bytes`,
      `then ${(table.residentBytes / table.size).toFixed(1)} each`,
    ].join('; '),
  };
}

/** The same, told before how many entries come: how a snapshot is loaded. */
function tableExpected(entries: number): Figures {
  const prints = randomPrints(entries);
  const bytesMeasured = measureTable(prints, entries);
  const table = new TableWriter({ maxEntries: MAX_ENTRIES, wordsPerSlot: 4 });
  table.expect(entries);
  const inserts = timeInserts(entries, (entry) => {
    table.put(prints, entry * WORDS, END, true);
  });
  const reader = new TableReader(table.buffers);
  return {
    name: 'Portcullis, number known before',
    entries,
    bytesComputed: table.residentBytes / entries,
    bytesMeasured,
    ...inserts,
    ...lookups(prints, (probes, at) => reader.endOf(probes, at) !== 0),
  };
}

function map(entries: number): Figures {
  const prints = randomPrints(entries);
  const before = ownMemory();
  const ends = new Map<string, number>();
  // Ids are made outside the time taken: in portions, so that they do not count as memory.
  let portion: string[] = [];
  const insertTimes: number[] = [];
  let longestInsertsMs = 0;
  for (let first = 0; first < entries; first += 10_000) {
    portion = Array.from({ length: Math.min(10_000, entries - first) }, (_, i) =>
      idOf(prints, first + i),
    );
    const taken = timeInserts(portion.length, (i) => {
      ends.set(portion[i] ?? '', END + (i % 2));
    });
    insertTimes.push(taken.insertNs);
    longestInsertsMs = Math.max(longestInsertsMs, taken.longestInsertsMs);
  }
  portion = [];
  const bytesMeasured = (ownMemory() - before) / entries;
  const looked = lookupsById(prints, (id) => ends.has(id));
  const start = performance.now();
  let expired = 0;
  for (const [id, end] of ends) if (end === END && ends.delete(id)) expired++;
  insertTimes.sort((a, b) => a - b);
  return {
    name: 'Map of ids (each thread its own)',
    entries,
    bytesMeasured,
    insertNs: insertTimes[insertTimes.length >> 1] ?? Number.NaN,
    longestInsertsMs,
    ...looked,
    expireNs: ((performance.now() - start) * 1e6) / expired,
  };
}

function bloom(entries: number): Figures {
  const prints = randomPrints(entries);
  const bytesMeasured = measureBytes(prints, () => {
    const filters = new BloomFilters(entries);
    return (at) => {
      filters.add(prints, at);
    };
  });
  const filters = new BloomFilters(entries);
  const inserts = timeInserts(entries, (entry) => {
    filters.add(prints, entry * WORDS);
  });
  return {
    name: "Bloom filters of KrakenD's sizing",
    entries,
    bytesComputed: filters.bytes / entries,
    bytesMeasured,
    ...inserts,
    ...lookups(prints, (probes, at) => filters.has(probes, at)),
    notes: 'not exact; cannot forget one entry',
  };
}

/** How WSO2's gateway looks a token up: one after the other, comparing texts. */
function scan(entries: number): Figures {
  const prints = randomPrints(entries);
  const before = ownMemory();
  const ids: string[] = [];
  const inserts = timeInserts(entries, (entry) => {
    ids.push(idOf(prints, entry));
  });
  const bytesMeasured = (ownMemory() - before) / entries;
  const found = (id: string): boolean => {
    for (const known of ids) if (known === id) return true;
    return false;
  };
  return {
    name: "Linear scan, WSO2's way",
    entries,
    bytesMeasured,
    ...inserts,
    ...lookupsById(prints, found, 200, 20),
  };
}

export const CASES = { table, tableExpected, map, bloom, scan } as const satisfies Record<
  string,
  (entries: number) => Figures | Promise<Figures>
>;

export type CaseName = keyof typeof CASES;
