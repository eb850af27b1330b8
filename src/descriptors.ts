import { readFileSync } from 'node:fs';

/** Descriptors for everything but clients and upstreams: journal, logs, sources, the operator's API, event loops. Of a small limit, half. */
const OWN = 256;

/** So many of them are open before the first client comes, on few processors. */
const AT_REST = 64;

/** The part of the others that clients may take. */
const CLIENTS = 3 / 4;

/**
 * How many descriptors this process may have open: its soft limit, which Node raises to the hard one at its start.
 * @returns Infinity where nobody can say
 */
export function descriptorLimit(): number {
  try {
    const line = /^Max open files +(\d+|unlimited) /m.exec(
      readFileSync('/proc/self/limits', 'utf8'),
    );
    return line === null || line[1] === 'unlimited' ? Infinity : Number(line[1]);
  } catch {
    return Infinity; // no Linux, or no /proc
  }
}

/**
 * How many of the `wanted` connections of clients the process can afford: three quarters of what is left beside its own. The rest is for
 * calls upstream, which are far fewer. So a client too many is found out by a count, before the system refuses a descriptor to whoever needs one.
 * @param limit see {@link descriptorLimit}
 */
export function affordableConnections(wanted: number, limit: number = descriptorLimit()): number {
  const forBoth = limit - Math.min(OWN, Math.max(limit / 2, AT_REST));
  return Math.max(1, Math.min(wanted, Math.floor(forBoth * CLIENTS)));
}
