import { readFileSync } from 'node:fs';

/** Clock ticks a second in /proc (getconf CLK_TCK): 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU time a process has used since it started, user and system, all threads, in microseconds. */
export function cpuMicroseconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the program's name in parentheses and may hold blanks: count from behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return (ticks / TICKS_PER_SECOND) * 1e6;
}

/** Time of all processors since the machine started, in microseconds: all of it, and what its host gave to others (proc(5), "steal"). */
export function processorMicroseconds(): { readonly all: number; readonly stolen: number } {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  // What guests had is in the first two fields already.
  const ticks = line.split(/ +/).slice(1, 9).map(Number);
  const microseconds = ticks.map((count) => (count / TICKS_PER_SECOND) * 1e6);
  return { all: microseconds.reduce((sum, each) => sum + each, 0), stolen: microseconds[7] ?? 0 };
}
