/** A thread of `table-threads.test.ts`: looks up what must be there, for as long as it is told to. */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { TableBuffers } from '../../../src/revocation/table/table-layout.ts';
import { TableReader } from '../../../src/revocation/table/table-reader.ts';
import { END, WORDS } from './prints.ts';

/** What the writing thread has acknowledged: entries from `FIRST` up to but not including `BEYOND` are in the table. */
export const FIRST = 0;
export const BEYOND = 1;
/** Cut-offs of the one rule: one that was acknowledged, and one that may have been begun. */
export const CUTOFF = 2;
export const CUTOFF_BEGUN = 3;
export const STATE_WORDS = 4;

/** First cut-off, so that both of its words change now and then. */
export const CUTOFF_BASE = 2 ** 40 - 50_000;

export interface ReaderData {
  readonly tokens: TableBuffers;
  readonly rules: TableBuffers;
  readonly state: SharedArrayBuffer;
  /** Fingerprints of entries, those never put at the end. */
  readonly prints: SharedArrayBuffer;
  readonly puts: number;
}

export type ToReader = { kind: 'replace'; tokens: TableBuffers } | { kind: 'stop' };

export interface ReaderReport {
  kind: 'report';
  /** Look-ups of what was there, and of what never was. */
  hits: number;
  misses: number;
  cutoffs: number;
  wrong: string[];
}

/** The end that entry `i` is put with. */
export function endOfEntry(i: number): number {
  return END + i;
}

const BATCH = 5_000;

async function read(data: ReaderData): Promise<void> {
  const tokens = new TableReader(data.tokens);
  const rules = new TableReader(data.rules);
  const state = new Int32Array(data.state);
  const prints = new Uint32Array(data.prints);
  const strangers = prints.length / WORDS - data.puts;
  const report: ReaderReport = { kind: 'report', hits: 0, misses: 0, cutoffs: 0, wrong: [] };
  const told = { stop: false };
  parentPort?.on('message', (message: ToReader) => {
    if (message.kind === 'stop') {
      told.stop = true;
      return;
    }
    tokens.replace(message.tokens);
    parentPort?.postMessage({ kind: 'replaced' });
  });
  parentPort?.postMessage({ kind: 'reading' });
  let random = 1;
  while (!told.stop) {
    for (let n = 0; n < BATCH; n++) {
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
      const first = Atomics.load(state, FIRST);
      const known = Atomics.load(state, BEYOND) - first;
      if (known > 0) {
        // The newest every other time: just put is where it is most likely to be missed.
        const back = (n & 1) === 0 ? random % Math.min(known, 8) : random % known;
        const i = first + known - 1 - back;
        const end = tokens.endOf(prints, i * WORDS);
        report.hits++;
        if (end !== endOfEntry(i) && Atomics.load(state, FIRST) <= i)
          report.wrong.push(`entry ${i}: ${end}`);
      }
      const stranger = tokens.endOf(prints, (data.puts + (random % strangers)) * WORDS);
      report.misses++;
      if (stranger !== 0) report.wrong.push(`an entry never put: ${stranger}`);
      const acknowledged = Atomics.load(state, CUTOFF);
      const cutoff = rules.latestCutoff(prints, 0) - CUTOFF_BASE;
      report.cutoffs++;
      if (cutoff < acknowledged || cutoff > Atomics.load(state, CUTOFF_BEGUN))
        report.wrong.push(`cut-off ${cutoff} after ${acknowledged}`);
    }
    if (report.wrong.length > 20) break;
    await turn();
  }
  parentPort?.postMessage(report);
  parentPort?.close();
}

if (parentPort !== null) {
  assert.ok(workerData, 'only as a thread');
  await read(workerData as ReaderData);
}
