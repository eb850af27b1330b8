/**
 * `npm run check:fuzz`: gives the HTTP/1.1 codec (`src/http1/`) inputs that it has not seen, guided by which of its blocks they run, and compares what
 * it makes of them with node's own parser. Exits 1 at the first input that the codec accepts and node does not, or reads in another way.
 * docs/fuzzing.md says more.
 */
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import type { Input } from '../test/http1/messages.ts';
import { mutate, MUTATIONS } from '../test/http1/mutation.ts';
import { NASTY, NASTY_LINES } from '../test/http1/nasty.ts';
import { BlockCoverage } from './block-coverage.ts';
import { Random } from './random.ts';

const HELP = `Usage: npm run check:fuzz -- [options]

  --minutes <n>   how long (default 10; parts of one too)
  --seed <n>      of the random numbers (default: the time)
`;

/** Inputs between two looks at the coverage. */
const BATCH = 512;
/** Inputs kept at most: the oldest that are no seeds go. */
const MAX_KEPT = 20_000;
const MAX_TEXT = 4_000;
const REPORT_MS = 30_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    help: { type: 'boolean', default: false },
  },
});

// Before the codec is imported, so that all of it is counted.
const coverage = new BlockCoverage((url) => url.includes('/src/http1/'));
const { compare, examine, readAlone } = await import('../test/http1/differential.ts');
const { validInput } = await import('../test/http1/messages.ts');
const { CORPUS, readCorpus } = await import('../test/http1/corpus.ts');
const { NodeRequests } = await import('../test/http1/node-parser.ts');

/** Makes inputs out of those that were worth keeping. */
class Pool {
  readonly #random: Random;
  readonly #kept: Input[];
  readonly #seeds: number;

  constructor(random: Random, seeds: readonly Input[]) {
    this.#random = random;
    this.#kept = [...seeds];
    this.#seeds = seeds.length;
  }

  get size(): number {
    return this.#kept.length;
  }

  keep(input: Input): void {
    if (this.#kept.length >= MAX_KEPT) this.#kept.splice(this.#seeds, 1);
    this.#kept.push(input);
  }

  next(): Input {
    const random = this.#random;
    const from = this.#pick();
    let text = from.text;
    if (random.chance(0.15)) text = this.#crossed(from);
    for (let left = 1 + Math.floor(random.between(0, 4)); left > 0; left--) {
      text = mutate(text, {
        kind: random.pick(MUTATIONS),
        at: Math.floor(random.between(0, 0x10000)),
        other: Math.floor(random.between(0, 0x10000)),
        text: this.#nasty(),
      });
    }
    text = text.slice(0, MAX_TEXT);
    return { ...from, text, cuts: this.#cuts(text.length) };
  }

  /** The shorter of two: it takes less time, and more of its bytes matter. */
  #pick(): Input {
    const [one, two] = [this.#any(), this.#any()];
    return one.text.length <= two.text.length ? one : two;
  }

  /** Half of them from what was found last: there the unknown is nearest. */
  #any(): Input {
    const first = this.#random.chance(0.5) ? Math.max(0, this.#kept.length - 64) : 0;
    return this.#kept[Math.floor(this.#random.between(first, this.#kept.length))] as Input;
  }

  /** The beginning of one, the end of another. */
  #crossed({ text, side }: Input): string {
    const other = this.#pick();
    if (other.side !== side) return text;
    const cut = Math.floor(this.#random.between(0, text.length));
    return (
      text.slice(0, cut) + other.text.slice(Math.floor(this.#random.between(0, other.text.length)))
    );
  }

  #nasty(): string {
    const random = this.#random;
    if (random.chance(0.25)) return String.fromCharCode(Math.floor(random.between(0, 256)));
    const text = random.pick(random.chance(0.6) ? NASTY : NASTY_LINES);
    return random.chance(0.02) ? text.repeat(Math.floor(random.between(2, 40))) : text;
  }

  #cuts(length: number): Input['cuts'] {
    if (this.#random.chance(0.05)) return 'every';
    const count = this.#random.pick([0, 1, 1, 2, 3, 6]);
    return Array.from({ length: count }, () =>
      Math.floor(this.#random.between(0, length + 1)),
    ).sort((a, b) => a - b);
  }
}

/** Those of these inputs that run what none before them has run: by halves, so that few looks are needed. */
function newcomers(inputs: readonly Input[]): Input[] {
  coverage.look();
  for (const input of inputs) readAlone(input);
  const look = coverage.look();
  if (!look.fresh) return [];
  if (inputs.length === 1) {
    look.mark();
    return [...inputs];
  }
  const half = inputs.length >> 1;
  return [...newcomers(inputs.slice(0, half)), ...newcomers(inputs.slice(half))];
}

/** What is wrong, without the input's own words. */
function kindOf(what: string): string | undefined {
  return (
    (/^(.+?) of message \d/.exec(what) ?? /\((HPE_\w+)\)/.exec(what))?.[1] ?? what.slice(0, 12)
  );
}

/** The shortest input that can be made of this one by leaving bytes out, and that is still wrong in the same way. */
async function shortest(found: Input, node: InstanceType<typeof NodeRequests>): Promise<Input> {
  const kind = async (input: Input): Promise<string | undefined> => {
    const [finding] = await examine(node, [input]);
    return finding === undefined ? undefined : kindOf(finding.what);
  };
  const wanted = await kind(found);
  const inOneRead = { ...found, cuts: [] };
  let best = (await kind(inOneRead)) === wanted ? inOneRead : found;
  for (let size = best.text.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < best.text.length;) {
      const without = { ...best, text: best.text.slice(0, at) + best.text.slice(at + size) };
      if ((await kind(without)) === wanted) best = without;
      else at += size;
    }
  }
  return best;
}

/** Prints an input that is wrong and saves it where the tests read it from now on. */
async function tell(found: Input, node: InstanceType<typeof NodeRequests>): Promise<void> {
  const input = await shortest(found, node);
  Error.stackTraceLimit = 10;
  const [finding] = await examine(node, [input]);
  const why = finding?.what.split('\n')[0] ?? '';
  const name = `finding-${createHash('sha256').update(JSON.stringify(input)).digest('hex').slice(0, 12)}.json`;
  const text = JSON.stringify([{ why, ...input }], undefined, 2);
  writeFileSync(join(CORPUS, name), `${text}\n`);
  console.error(`${finding?.what}\n${text}\nsaved: ${relative(process.cwd(), join(CORPUS, name))}`);
}

async function main(minutes: number, seed: number): Promise<number> {
  const random = new Random(seed);
  const node = new NodeRequests();
  const seeds = [
    ...readCorpus().map(({ why: _why, ...input }) => input),
    ...fc.sample(validInput, { seed, numRuns: 400 }),
  ];
  const pool = new Pool(random, seeds);
  // Most inputs are refused, and where is known.
  Error.stackTraceLimit = 0;
  const features = new Set<string>();
  const began = performance.now();
  const end = began + minutes * 60_000;
  let executions = 0;
  let reported = began;
  const report = (): void => {
    const seconds = (performance.now() - began) / 1000;
    const { lines, ran } = coverage.summary();
    console.log(
      `${seconds.toFixed(0)} s: ${executions} inputs (${(executions / seconds).toFixed(0)}/s), ${ran} of ${lines} lines, ${features.size} outcomes, ${pool.size} kept`,
    );
  };
  console.log(`seed ${seed}, ${minutes} minutes, ${seeds.length} inputs to begin with`);
  let batch: Input[] = seeds;
  for (;;) {
    const own = batch.map(readAlone);
    const look = coverage.look();
    const { wrong, node: theirs } = await compare(node, batch, own);
    executions += batch.length;
    const bad = wrong.findIndex((what) => what !== undefined);
    if (bad >= 0) {
      await tell(batch[bad] as Input, node);
      node.close();
      console.log(
        `found after ${((performance.now() - began) / 1000).toFixed(1)} s and ${executions} inputs; seed ${seed}`,
      );
      return 1;
    }
    // What both made of it is a reason to keep an input too: paths that no single block shows.
    for (const [index, input] of batch.entries()) {
      const { reading } = own[index] as (typeof own)[number];
      const count = Math.min(reading.messages.length, 3);
      const outcome = `${input.side} ${count} ${reading.refused} ${reading.at} ${theirs[index]?.refused}`;
      if (features.has(outcome)) continue;
      features.add(outcome);
      pool.keep(input);
    }
    if (look.fresh) for (const input of newcomers(batch)) pool.keep(input);
    look.mark();
    const now = performance.now();
    if (now - reported > REPORT_MS) {
      report();
      reported = now;
    }
    if (now > end) break;
    batch = Array.from({ length: BATCH }, () => pool.next());
  }
  report();
  console.log(`not or not wholly run: ${coverage.summary().missed.join(' ') || 'nothing'}`);
  node.close();
  coverage.close();
  return 0;
}

if (values.help) {
  console.log(HELP);
} else {
  const [minutes, seed] = [Number(values.minutes), Number(values.seed)];
  if (!(minutes > 0) || !Number.isInteger(seed)) {
    console.error(HELP);
    process.exitCode = 2;
  } else {
    process.exitCode = await main(minutes, seed);
  }
}
