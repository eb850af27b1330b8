/**
 * A data-plane thread of the benchmark: looks in shared memory whether the next expected token is denied yet, with a short sleep between two
 * looks so that it takes no processor from the thread that it waits for.
 */
import { readlinkSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { RevocationReader } from '../src/revocation/reader.ts';
import type { SharedList } from '../src/revocation/revocation-list.ts';
import { monotonicMs } from '../src/revocation/shared-state.ts';
import type { TokenIdentity } from '../src/revocation/token-identity.ts';
import { identityOf, tokenOf, type Round } from './enforcement.ts';

export interface WatcherData {
  readonly list: SharedList;
  /** One word: whether the round is over. */
  readonly over: SharedArrayBuffer;
}

/** A watcher's answer to a round. */
export interface Watched {
  readonly seen: Float64Array;
  readonly pauses: Float64Array;
}

/** What it really is, is measured. */
const SLEEP_MS = 0.05;
const STRANGERS = 1_000;
const MOST_PAUSES = 200_000;

const { list, over } = workerData as WatcherData;
const isOver = new Int32Array(over);
const never = new Int32Array(new SharedArrayBuffer(4));
const reader = new RevocationReader(list, {
  maxStalenessMs: 60_000,
  clockSkewMs: 60_000,
  staleInGap: false,
  consumerKeyClaims: [],
  onOutlived: () => undefined,
});
const strangers = Array.from({ length: STRANGERS }, (_, i) => identityOf(`stranger-${i}`));
let stranger = 0;

// The kernel lengthens each sleep by 0.05 ms, unless a thread asks it not to: that would be in the figures of the one side alone.
writeFileSync(`/proc/${basename(readlinkSync('/proc/thread-self'))}/timerslack_ns`, '1');

function watch(round: Round): Watched {
  const tokens: readonly TokenIdentity[] = Array.from({ length: round.count }, (_, i) =>
    identityOf(tokenOf(round, i)),
  );
  const seen = new Float64Array(round.count).fill(Number.NaN);
  const pauses: number[] = [];
  // Their fingerprints are made once per token, when it is verified: not part of a look.
  for (const token of tokens) reader.revokedBy(token);
  parentPort?.postMessage('ready');
  for (let next = 0; next < tokens.length;) {
    const token = tokens[next];
    const now = monotonicMs();
    if (token !== undefined && reader.revokedBy(token) !== undefined) {
      seen[next++] = now;
      continue;
    }
    if (Atomics.load(isOver, 0) === round.number) break;
    if (round.workUs > 0 && work(token, now + round.workUs / 1000)) continue;
    const asleep = monotonicMs();
    Atomics.wait(never, 0, 0, SLEEP_MS);
    if (pauses.length < MOST_PAUSES) pauses.push(monotonicMs() - asleep);
  }
  return { seen, pauses: Float64Array.from(pauses) };
}

/** Looks other tokens up until `end`. @returns true as soon as `token` is denied */
function work(token: TokenIdentity | undefined, end: number): boolean {
  do {
    for (let i = 0; i < 10; i++) {
      const other = strangers[stranger++ % STRANGERS];
      if (other !== undefined && reader.revokedBy(other) !== undefined)
        throw new Error('a token is denied that nobody revoked');
    }
    if (token !== undefined && reader.revokedBy(token) !== undefined) return true;
  } while (monotonicMs() < end);
  return false;
}

parentPort?.on('message', (round: Round) => parentPort?.postMessage(watch(round)));
