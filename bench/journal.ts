/**
 * What it costs to keep revocations on disk and to have them back: the snapshot of so many entries, and the start of a gateway with it. Each
 * in a process of its own, so that one leaves the other neither memory nor compiled code.
 */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { inTemporaryFolder, log, openControlThread } from './control-thread.ts';
import { openJournal } from '../src/revocation/journal/journal.ts';
import { watchHolds } from './holds.ts';
import { randomPrints } from './revocation-probe.ts';

const WORDS = 3;
/** Appended at a time, while filling: below what the journal keeps in memory. */
const PORTION = 100_000;

interface Saved {
  readonly appendSeconds: number;
  readonly segmentBytes: number;
  readonly seconds: number;
  readonly snapshotBytes: number;
  readonly holdMs: number;
}

interface Loaded {
  readonly seconds: number;
  readonly holdMs: number;
  readonly residentBytes: number;
}

/** Appends so many entries, as a source's events are, and merges them into a snapshot. */
async function save(folder: string, entries: number): Promise<Saved> {
  const prints = randomPrints(entries);
  // Its own snapshots would come in between: all is merged at once, at the end.
  const journal = await openJournal({ folder, log, snapshotBytes: Number.MAX_SAFE_INTEGER });
  await journal.restore({
    token: () => undefined,
    rule: () => undefined,
    lift: () => undefined,
    forgottenUntil: () => undefined,
  });
  const end = Math.floor(Date.now() / 1000) + 86_400;
  const began = performance.now();
  for (let entry = 0; entry < entries; entry++) {
    journal.token(prints, entry * WORDS, end, 'bench', Date.now());
    if (entry % PORTION === 0) await journal.durable();
  }
  await journal.durable();
  const appendSeconds = (performance.now() - began) / 1000;
  const { segmentBytes } = journal.stats();
  const holds = watchHolds();
  const start = performance.now();
  await journal.snapshot();
  const seconds = (performance.now() - start) / 1000;
  const holdMs = holds.longestMs();
  await journal.close();
  const snapshotBytes = statSync(join(folder, 'snapshot')).size;
  return { appendSeconds, segmentBytes, seconds, snapshotBytes, holdMs };
}

/** Starts as a gateway does, until the list is whole. */
async function load(folder: string, entries: number): Promise<Loaded> {
  const holds = watchHolds();
  const start = performance.now();
  const control = await openControlThread(folder);
  const seconds = (performance.now() - start) / 1000;
  const holdMs = holds.longestMs();
  const { size, residentBytes } = control.revocations.list;
  if (size !== entries) throw new Error(`${size} of ${entries} entries are back`);
  await control.close();
  return { seconds, holdMs, residentBytes };
}

const STEPS = { save, load };

function inProcess(step: keyof typeof STEPS, folder: string, entries: number): unknown {
  process.stderr.write(`journal, ${step}, ${entries} entries\n`);
  const json = execFileSync(
    process.execPath,
    [import.meta.filename, step, folder, String(entries)],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  return JSON.parse(json);
}

/** @returns a table in Markdown */
export async function journal(counts: readonly number[]): Promise<string> {
  const rows: string[] = [];
  for (const entries of counts)
    await inTemporaryFolder((folder) => {
      const saved = inProcess('save', folder, entries) as Saved;
      const loaded = inProcess('load', folder, entries) as Loaded;
      const cells = [
        entries.toLocaleString('en'),
        saved.appendSeconds.toFixed(1),
        (saved.segmentBytes / entries).toFixed(1),
        saved.seconds.toFixed(1),
        saved.holdMs.toFixed(1),
        (saved.snapshotBytes / entries).toFixed(1),
        loaded.seconds.toFixed(1),
        loaded.holdMs.toFixed(1),
        (loaded.residentBytes / entries).toFixed(1),
      ];
      rows.push(`| ${cells.join(' | ')} |`);
      return Promise.resolve();
    });
  return [
    '| entries | append s | segment bytes each | save s | longest hold ms | snapshot bytes each | load s | longest hold ms | list bytes each |',
    '|---|---|---|---|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

if (process.argv[1] === import.meta.filename) {
  const [step, folder, entries] = process.argv.slice(2) as [keyof typeof STEPS, string, string];
  process.stdout.write(JSON.stringify(await STEPS[step](folder, Number(entries))));
}
