/** The thread in which a merge runs: sorting and writing must not hold up the control thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { merge, type MergeOrder } from './merge.ts';

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port to another thread, not to another window
parentPort?.postMessage(await merge(workerData as MergeOrder));
