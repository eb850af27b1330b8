import { Worker } from 'node:worker_threads';
import type { MergeOrder, MergeOutcome } from './merge.ts';

/** The file beside this one, as source or as built. */
const SCRIPT = new URL(
  import.meta.url.endsWith('.ts') ? './merge-worker.ts' : './merge-worker.js',
  import.meta.url,
);

/** Runs a merge in a thread of its own; rejects when it fails or when the signal aborts. */
export async function mergeInThread(order: MergeOrder, signal: AbortSignal): Promise<MergeOutcome> {
  const worker = new Worker(SCRIPT, { workerData: order, name: 'journal merge' });
  const stop = (): void => void worker.terminate();
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  try {
    return await new Promise<MergeOutcome>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (code) => reject(new Error(`the merge ended with exit code ${code}`)));
    });
  } finally {
    signal.removeEventListener('abort', stop);
    // What the worker holds open ends with it.
    await worker.terminate();
  }
}
