import { setTimeout as pause } from 'node:timers/promises';
import type { Log } from '../../log.ts';
import type { Known } from './record.ts';
import { Slices } from './slices.ts';

const KEY = 'Journal';
const RETRY_MS = 1000;

export interface RepairOptions {
  readonly log: Log;
  /** All that the list holds, where it can tell. */
  readonly everything: (() => Iterable<Known>) | undefined;
  readonly bufferBytes: number;
  /** Makes a snapshot of what is still good of the files. */
  salvage(): Promise<void>;
  write(known: Known): void;
  /** Waits until what was written is on the disk, if that is more than so many bytes. Rejects while the disk fails. */
  durable(mostPending: number): Promise<void>;
  /** Called when {@link Repair.trouble} or {@link Repair.needed} changes. */
  changed(): void;
}

/** Makes the files whole again after they were damaged, or after the disk failed for longer than memory lasted. */
export class Repair {
  readonly #options: RepairOptions;
  #stop = new AbortController();
  /** What is good of the files is to be saved into a new snapshot. */
  #salvage = false;
  /** Something that was learnt is neither in the files nor in memory for them: all is to be written again. */
  #lost = false;
  #rewriting = false;
  #running: Promise<void> | undefined;

  constructor(options: RepairOptions) {
    this.#options = options;
  }

  /** Whether the files lack something. */
  get needed(): boolean {
    return this.#salvage || this.#lost || this.#rewriting;
  }

  /** Why nobody can be told that all is on the disk; undefined where it is. */
  get trouble(): string | undefined {
    if (!this.#lost && !this.#rewriting) return undefined;
    return this.#options.everything === undefined
      ? 'not all that was learnt could be written; it can be learnt again after a new start'
      : 'what was learnt is being written again';
  }

  /** Files were found damaged before anything was learnt that is not in them. */
  salvage(): void {
    this.#salvage = true;
    this.go();
  }

  /** Files were found damaged or removed while the gateway runs. */
  damaged(): void {
    this.#salvage = true;
    this.lost();
    this.go();
  }

  /** There was no memory left for something that was learnt. */
  lost(): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#options.log.error(KEY, 'not all that was learnt is on the disk');
    this.#options.changed();
  }

  /** Everything is to be written again, as nobody knows what became of the files meanwhile. Where the list cannot tell, they count as they are. */
  rewrite(): void {
    if (this.#options.everything === undefined) return;
    this.#lost = true;
    this.go();
  }

  /** Begins, if there is something to do. Called whenever the disk takes writes. */
  go(): void {
    if (this.#running !== undefined || !this.#todo) return;
    const { signal } = this.#stop;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (!signal.aborted) this.#options.changed();
    });
  }

  /** Stops what runs. Nothing is begun from now on, whatever is called, until {@link resume}: the files may be another gateway's. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** The files are ours again: what there is to do is done once there is reason to {@link go}. Call it after {@link stop} has resolved. */
  resume(): void {
    this.#stop = new AbortController();
  }

  get #todo(): boolean {
    if (this.#stop.signal.aborted) return false;
    return this.#salvage || (this.#lost && this.#options.everything !== undefined);
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { log } = this.#options;
    const { signal } = this.#stop;
    while (this.#todo) {
      try {
        await this.#once();
        log.info(KEY, 'the journal is whole again');
      } catch (error) {
        if (signal.aborted) return;
        const reason = error instanceof Error ? error.message : String(error);
        log.warn(KEY, `the journal could not be made whole: ${reason}`);
        await pause(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #once(): Promise<void> {
    const options = this.#options;
    if (this.#salvage) {
      await options.salvage();
      this.#salvage = false;
    }
    if (!this.#lost || options.everything === undefined) return;
    this.#rewriting = true;
    // What is lost from here on sets it again.
    this.#lost = false;
    try {
      const slices = new Slices();
      for (const known of options.everything()) {
        options.write(known);
        if (!slices.over) continue;
        await slices.pause();
        await options.durable(options.bufferBytes / 4);
        this.#stop.signal.throwIfAborted();
      }
      await options.durable(0);
    } catch (error) {
      this.#lost = true;
      throw error;
    } finally {
      this.#rewriting = false;
    }
  }
}
