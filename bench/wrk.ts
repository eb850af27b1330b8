import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startProgram } from '../test/support/program.ts';

/** A checked request of the petstore. */
export const PETS_PATH = '/petstore/v1/pet/findByStatus?status=available';

/** Connections that wrk keeps open, each with one request under way. */
const CONNECTIONS = 64;

/** What wrk sends. */
export interface WrkLoad {
  readonly path: string;
  /** Header fields beside `Host` and `Authorization`. */
  readonly fields: Readonly<Record<string, string>>;
  /** Each request takes the next one. */
  readonly tokens: readonly string[];
  /** Stops when each token was sent once, instead of beginning anew. */
  readonly once: boolean;
}

/** What wrk saw. */
export interface Tally {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly p99Ms: number;
}

/** wrk's script for a load, in files of `id`; returns its path. */
export function writeWrkScript(folder: string, id: string, load: WrkLoad): string {
  const list = join(folder, `${id}-tokens.txt`);
  writeFileSync(list, `${load.tokens.join('\n')}\n`);
  const file = join(folder, `${id}.lua`);
  const fields = Object.entries(load.fields).map(
    ([name, value]) => `, [${lua(name)}] = ${lua(value)}`,
  );
  writeFileSync(
    file,
    `local requests = {}
local next = 0
function init(args)
  for token in io.lines(${lua(list)}) do
    requests[#requests + 1] = wrk.format("GET", ${lua(load.path)},
      { ["Authorization"] = "Bearer " .. token${fields.join('')} })
  end
end
function request()
  next = next + 1
  if next > #requests then
    ${load.once ? 'wrk.thread:stop()' : ''}
    next = 1
  end
  return requests[next]
end
function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency.mean, latency:percentile(99)))
end
`,
  );
  return file;
}

function lua(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/**
 * Reads the line that the script prints at its end. A load that may end before its time has its pace from the time of a request: so many
 * connections, each with one request under way.
 * @throws Error when a request was refused or broken: there are no fast errors in the figures
 */
export function readWrk(output: string, once: boolean): Tally {
  const figures = /^RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$/m
    .exec(output)
    ?.slice(1)
    .map(Number);
  if (figures === undefined) throw new Error(`wrk did not report:\n${output}`);
  const [requests = 0, durationUs = 0, refused = 0, broken = 0, meanUs = 0, p99Us = 0] = figures;
  if (refused > 0 || broken > 0) throw new Error(`${refused} requests refused, ${broken} broken`);
  if (requests === 0) throw new Error('no request was answered');
  return {
    requests,
    requestsPerSecond: once ? CONNECTIONS / (meanUs / 1e6) : requests / (durationUs / 1e6),
    p99Ms: p99Us / 1000,
  };
}

export interface WrkRun {
  readonly url: string;
  readonly script: string;
  readonly seconds: number;
  readonly once?: boolean;
  /** As `taskset` takes them; one thread for each of `threads`. */
  readonly cores: string;
  readonly threads?: number;
}

/** Runs wrk. */
export async function wrk(run: WrkRun): Promise<Tally> {
  const { url, script, seconds, once = false, cores, threads = 1 } = run;
  const words = [
    `-t${threads}`,
    `-c${CONNECTIONS}`,
    `-d${seconds}s`,
    '--latency',
    '-s',
    script,
    url,
  ];
  const program = startProgram('taskset', ['-c', cores, 'wrk', ...words]);
  await program.ended(seconds * 1000 + 30_000);
  return readWrk(program.output(), once);
}
