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

/** Time of all processors since the machine started, microseconds. */
export interface ProcessorTime {
  /** Somebody had a processor, or waited for one that the host had given to others. */
  readonly wanted: number;
  /** The latter (proc(5), "steal"). */
  readonly stolen: number;
}

/** @throws Error when /proc/stat is not as on Linux */
export function processorMicroseconds(): ProcessorTime {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  // user nice system idle iowait irq softirq steal; what guests had is in the first two already.
  const ticks = line.split(/ +/).slice(1, 9).map(Number);
  if (ticks.length !== 8 || ticks.some(Number.isNaN)) throw new Error(`/proc/stat: ${line}`);
  const [idle = 0, waiting = 0] = ticks.slice(3);
  const all = ticks.reduce((sum, each) => sum + each, 0);
  const microseconds = (count: number): number => (count / TICKS_PER_SECOND) * 1e6;
  return {
    wanted: microseconds(all - idle - waiting),
    stolen: microseconds(ticks[7] ?? 0),
  };
}
