import { readFileSync, rmSync } from 'node:fs';
import { startProgram } from '../test/support/program.ts';
import { quantile } from './measurement.ts';
import type { Tally } from './wrk.ts';

/** Eight clients with eight streams each: as many requests under way as wrk has. */
const CLIENTS = 8;
const STREAMS = 8;

/** The lines of h2load's summary that count. @throws Error when a request was refused or broken */
export function readH2load(output: string): { requests: number; requestsPerSecond: number } {
  const pace = /^finished in \S+, ([\d.]+) req\/s/m.exec(output);
  const counts = /^requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/m.exec(
    output,
  );
  if (pace === null || counts === null) throw new Error(`h2load did not report:\n${output}`);
  const [succeeded = 0, ...bad] = counts.slice(1).map(Number);
  if (bad.some((count) => count > 0) || succeeded === 0)
    throw new Error(`requests were refused or broken:\n${output}`);
  return { requests: succeeded, requestsPerSecond: Number(pace[1]) };
}

/** Milliseconds of each request, from h2load's log: start, status and microseconds, with tabs between them. */
export function readH2loadLog(text: string): number[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Number(line.split('\t')[2]) / 1000);
}

/** Runs h2load over TLS with one token: it sends the same fields with every request. */
export async function h2load(
  url: string,
  token: string,
  seconds: number,
  core: string,
  log: string,
): Promise<Tally> {
  const program = startProgram('taskset', [
    '-c',
    core,
    'h2load',
    '-t1',
    `-c${CLIENTS}`,
    `-m${STREAMS}`,
    `-D${seconds}`,
    `--log-file=${log}`,
    '-H',
    `authorization: Bearer ${token}`,
    '-H',
    'accept: application/json',
    url,
  ]);
  await program.ended(seconds * 1000 + 30_000);
  const tally = readH2load(program.output());
  if (!program.output().includes('Application protocol: h2'))
    throw new Error(`not HTTP/2:\n${program.output()}`);
  const p99Ms = quantile(readH2loadLog(readFileSync(log, 'latin1')), 0.99);
  rmSync(log);
  return { ...tally, p99Ms };
}
