/**
 * `npm run bench:revocation`: what it costs to keep revocations, next to a `Map` of ids, bloom filters of KrakenD's sizing and WSO2's linear
 * scan, every case alone in a process of its own; then what the journal costs, how soon a revocation is enforced, and whether requests suffer
 * from many. `--entries 1000000,5000000` (numbers of entries), `--case table,map,journal,enforced,flood`, `--rounds N`, `--write` (puts the
 * tables into docs/benchmarks.md).
 */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { flood } from './flood.ts';
import { journal } from './journal.ts';
import { publishToEnforced } from './publish-to-enforced.ts';
import { writeResults } from './results.ts';
import { CASES, type CaseName } from './revocation-cases.ts';
import type { Figures } from './revocation-probe.ts';

const ENTRIES = [1_000_000, 1_300_000, 1_900_000, 5_000_000, 10_000_000];
/** What WSO2's gateway is known to hold in practice; with a million a look-up takes milliseconds. */
const SCANNED_ENTRIES = 10_000;

/** Entries in a journal, as a start has to read them. */
const JOURNAL_ENTRIES = [1_000_000, 10_000_000];
const FLOOD = 1_000_000;
const FLOOD_ROUNDS = 10;

/** What is not about one way of keeping revocations. Each makes a table of its own. */
const MORE = ['journal', 'enforced', 'flood'] as const;

const { values } = parseArgs({
  options: {
    entries: { type: 'string' },
    case: { type: 'string', default: [...Object.keys(CASES), ...MORE].join() },
    /** Of a second each, of each receiver, idle and loaded. */
    rounds: { type: 'string', default: '60' },
    write: { type: 'boolean', default: false },
    /** Internal: run this one case here and print its figures as JSON. */
    single: { type: 'boolean', default: false },
  },
});
type More = (typeof MORE)[number];
const ALL = [...(Object.keys(CASES) as CaseName[]), ...MORE];

const entries = values.entries?.split(',').map(Number);
const names = values.case.split(',').map((name) => {
  const found = ALL.find((known) => known === name);
  if (found === undefined) throw new Error(`no case ${name}; there are ${ALL.join(', ')}`);
  return found;
});

function isMore(name: CaseName | More): name is More {
  return MORE.some((more) => more === name);
}

async function single(name: CaseName, entries: number): Promise<void> {
  process.stdout.write(JSON.stringify(await CASES[name](entries)));
}

function inProcess(name: CaseName, entries: number): Figures {
  process.stderr.write(`${name}, ${entries} entries\n`);
  const json = execFileSync(
    process.execPath,
    // A Map of ten million ids takes more than the heap that Node allows itself.
    [
      '--max-old-space-size=6000',
      import.meta.filename,
      '--single',
      `--case=${name}`,
      `--entries=${entries}`,
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  return JSON.parse(json) as Figures;
}

function row(figures: Figures): string {
  const { name, entries, bytesComputed, bytesMeasured, longestInsertsMs, notes } = figures;
  const ns = (value: number | undefined): string => value?.toFixed(0) ?? '-';
  const cells = [
    entries.toLocaleString('en'),
    name,
    bytesComputed?.toFixed(1) ?? '-',
    bytesMeasured.toFixed(1),
    ns(figures.hitNs),
    ns(figures.missNs),
    ns(figures.insertNs),
    longestInsertsMs.toFixed(1),
    ns(figures.expireNs),
    notes ?? '',
  ];
  return `| ${cells.join(' | ')} |`;
}

function report(all: readonly Figures[]): string {
  return [
    '| entries | kept in | bytes each, computed | bytes each, measured | hit ns | miss ns | insert ns | longest 100 inserts ms | expire ns | |',
    '|---|---|---|---|---|---|---|---|---|---|',
    ...all.map(row),
  ].join('\n');
}

/** The ways of keeping revocations, one after the other. */
function compare(cases: readonly CaseName[]): string {
  const all: Figures[] = [];
  for (const count of entries ?? ENTRIES)
    for (const name of cases) if (name !== 'scan') all.push(inProcess(name, count));
  if (cases.includes('scan')) all.push(inProcess('scan', SCANNED_ENTRIES));
  return report(all);
}

const RUN: Readonly<Record<More, () => Promise<string>>> = {
  journal: () => journal(entries ?? JOURNAL_ENTRIES),
  enforced: () => publishToEnforced(Number(values.rounds)),
  flood: () => flood(entries?.[0] ?? FLOOD, FLOOD_ROUNDS),
};

const HEADINGS: Readonly<Record<More, string>> = {
  journal: 'The journal',
  enforced: 'From published to enforced',
  flood: 'Requests while many revocations come in',
};

async function run(): Promise<string> {
  const machine = `${cpus().length} processors, ${cpus()[0]?.model.trim() ?? 'unknown'}`;
  const when = new Date().toISOString().slice(0, 10);
  const load = loadavg()[0]?.toFixed(1);
  const parts = [
    `${when}, Node ${process.versions.node}, ${machine}; load average of the machine before the run ${load}`,
  ];
  const cases = names.filter((name) => !isMore(name));
  if (cases.length > 0) parts.push('### The list', compare(cases));
  for (const name of names.filter(isMore)) parts.push(`### ${HEADINGS[name]}`, await RUN[name]());
  return parts.join('\n\n');
}

const [firstName] = names;
if (values.single && firstName !== undefined && !isMore(firstName)) {
  await single(firstName, entries?.[0] ?? 0);
} else {
  const results = await run();
  console.log(results);
  if (values.write) writeResults('npm run bench:revocation -- --write', results);
}
