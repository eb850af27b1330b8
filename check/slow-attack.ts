import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProgram } from '../test/support/program.ts';

/** What slowhttptest does: sends heads, or bodies, a few bytes at a time, or takes answers so. */
export type Slowness = 'headers' | 'body' | 'read';

/** Words of slowhttptest. An answer is taken through a window of 1 to 64 bytes, 32 bytes a second. */
const WORDS: Readonly<Record<Slowness, readonly string[]>> = {
  headers: ['-H', '-i', '2', '-x', '24'],
  body: ['-B', '-i', '2', '-x', '10', '-s', '8192'],
  read: ['-X', '-w', '1', '-y', '64', '-n', '1', '-z', '32'],
};

export interface Attack {
  readonly how: Slowness;
  readonly url: string;
  readonly connections: number;
  readonly seconds: number;
}

/** One look of slowhttptest, by a connection of its own, each second. */
export interface Look {
  readonly second: number;
  /** Whether that was answered in time. */
  readonly available: boolean;
  /** Slow connections that were open then. */
  readonly connected: number;
}

/** Seconds that slowhttptest waits for an answer to its own connection. */
const PROBE_SECONDS = 5;

/** Resolves with what slowhttptest has seen, when it has ended. */
export async function attack({ how, url, connections, seconds }: Attack): Promise<Look[]> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-slow-'));
  const report = join(folder, 'report');
  const words = {
    u: url,
    c: connections,
    r: Math.ceil(connections / 2),
    l: seconds,
    p: PROBE_SECONDS,
    o: report,
  };
  const program = startProgram('slowhttptest', [
    '-g',
    ...WORDS[how],
    ...Object.entries(words).flatMap(([name, value]) => [`-${name}`, String(value)]),
  ]);
  try {
    const code = await program.ended((seconds + 30) * 1_000);
    if (code !== 0) throw new Error(`slowhttptest ended with ${code}:\n${program.output()}`);
    return looks(readFileSync(`${report}.csv`, 'utf8'));
  } finally {
    await program.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param csv of slowhttptest: a head line, then a line for each second. Throws when it is not */
export function looks(csv: string): Look[] {
  const [head = '', ...lines] = csv.trim().split('\n');
  const names = head.split(',');
  const [second = -1, connected = -1, available = -1] = [
    'Seconds',
    'Connected',
    'Service Available',
  ].map((name) => names.indexOf(name));
  const found = lines.map((line): Look => {
    const values = line.split(',').map(Number);
    const at = (column: number): number => values[column] ?? Number.NaN;
    return {
      second: at(second),
      connected: at(connected),
      available: at(available) > 0,
    };
  });
  const whole = found.every((look) => Number.isInteger(look.second + look.connected));
  if (found.length === 0 || !whole) throw new Error(`not a report of slowhttptest: ${csv}`);
  return found;
}
