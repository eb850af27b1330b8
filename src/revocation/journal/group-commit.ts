import { FRAME_BYTES } from './format.ts';
import { Frame, USUAL_FRAME_BYTES } from './record-codec.ts';

/** The journal cannot promise now that what was learnt survives. The message says why. */
export class JournalTrouble extends Error {}

export interface GroupCommitOptions {
  /** Longest wait of an append for its write, milliseconds. */
  readonly groupCommitMs: number;
  /** Most memory for what waits, bytes. */
  readonly bufferBytes: number;
  /** Writes frames to the disk, all or (as far as anybody can rely on it) none. */
  commit(frames: readonly Frame[]): Promise<void>;
  /** Called when writing begins to fail, and when it works again. */
  changed(): void;
  /** Called after each commit. */
  committed(): void;
}

interface Waiter {
  readonly upTo: number;
  readonly resolve: () => void;
  readonly reject: (error: JournalTrouble) => void;
}

/** A frame, and how many records there were when it was full. */
interface Waiting {
  readonly frame: Frame;
  readonly upTo: number;
}

/** With somebody waiting, a commit begins so soon, milliseconds: long enough for others to come along. */
const SOON_MS = 2;
/**
 * Between the begins of two commits, milliseconds: each costs the machine about a millisecond and serves all that came since the one before.
 * Where so many wait that their sender may be held up by it, it is shorter.
 */
const INTERVAL_MS = 45;
const INTERVAL_OF_MANY_MS = 20;
const MANY = 200;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5000;
/** Frames in one commit, so that none takes long: 8 MB. */
const MOST_FRAMES = 128;
const SPARE_FRAMES = 16;

/** Collects records and writes many with one fsync. While that fails, it keeps what fits in its memory and tries again. */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  #full: Waiting[] = [];
  /** Memory of those. */
  #fullBytes = 0;
  #open = new Frame();
  #spare: Frame[] = [];
  #appended = 0;
  #durable = 0;
  #waiters: Waiter[] = [];
  #timer: NodeJS.Timeout | undefined;
  #timerDue = Infinity;
  /** When the last commit began. */
  #began = -Infinity;
  #running: Promise<void> | undefined;
  #retryMs = FIRST_RETRY_MS;
  #trouble: string | undefined;
  #held = true;
  /** Held for so long that nobody is to wait for it. */
  #left = false;
  #closed = false;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  /** Why the last commit failed; undefined when it did not. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Memory that is in use for records that are not on the disk yet. */
  get pendingBytes(): number {
    return this.#fullBytes + (this.#open.empty ? 0 : this.#open.bytes.length);
  }

  /** Records that are not on the disk yet, frame by frame, oldest first; good until the next await. */
  get pending(): Buffer[] {
    return [...this.#full.map(({ frame }) => frame.records), this.#open.records];
  }

  /** Lets commits begin. Before that, records only wait. */
  release(): void {
    this.#held = false;
    this.#left = false;
    this.#plan();
  }

  /**
   * Takes a record. @returns false when there is no memory left for it. The last eighth is for what is `rare`: no flood of tokens pushes a
   * rule out
   */
  append(add: (frame: Frame) => boolean, rare = false): boolean {
    if (this.#closed) return false;
    if (!add(this.#open)) {
      const most = this.#options.bufferBytes * (rare ? 1 : 7 / 8);
      if (this.#fullBytes + this.#open.capacity + USUAL_FRAME_BYTES > most) return false;
      this.#close();
      if (!add(this.#open)) {
        // Longer than anything usual: a frame of its own size.
        this.#open = new Frame(FRAME_BYTES);
        if (!add(this.#open)) return false;
      }
    }
    this.#appended++;
    this.#plan();
    return true;
  }

  /** Resolves once all records so far are on the disk; rejects with {@link JournalTrouble} when writing fails. */
  async durable(): Promise<void> {
    if (this.#closed || this.#left) throw new JournalTrouble('the journal is closed');
    if (this.#trouble !== undefined) throw new JournalTrouble(this.#trouble);
    if (this.#durable === this.#appended) return;
    await new Promise<void>((resolve, reject) => {
      this.#waiters.push({ upTo: this.#appended, resolve, reject });
      this.#plan();
    });
  }

  /** Tries once more to write what waits, and takes no more. @returns false when something could not be written */
  async close(): Promise<boolean> {
    this.#closed = true;
    return await this.hold();
  }

  /**
   * Tries once more to write what waits. What is appended from now on only waits, until {@link release}, and nobody can wait for it.
   * @returns false when something could not be written
   */
  async hold(): Promise<boolean> {
    const wanted = this.#appended;
    const upTo = this.#held ? this.#durable : wanted;
    this.#held = true;
    this.#stopTimer();
    await this.#running;
    while (this.#durable < upTo) {
      this.#running = this.#run();
      await this.#running;
      if (this.#trouble !== undefined) break;
    }
    this.#left = true;
    for (const { reject } of this.#waiters) reject(new JournalTrouble('the journal is closed'));
    this.#waiters = [];
    return this.#durable >= wanted;
  }

  /** Sees to it that a commit begins in time. */
  #plan(): void {
    if (this.#held || this.#closed || this.#running !== undefined) return;
    if (this.#durable === this.#appended) return;
    const waitMs =
      this.#trouble !== undefined
        ? this.#retryMs
        : this.#waiters.length > 0
          ? Math.min(SOON_MS, this.#options.groupCommitMs)
          : this.#options.groupCommitMs;
    const now = performance.now();
    const due = Math.max(
      now + waitMs,
      this.#began + Math.min(this.#intervalMs, this.#options.groupCommitMs),
    );
    if (due >= this.#timerDue) return;
    this.#stopTimer();
    this.#timerDue = due;
    this.#timer = setTimeout(() => {
      this.#stopTimer();
      this.#running = this.#run();
    }, due - now);
  }

  get #intervalMs(): number {
    return this.#appended - this.#durable > MANY ? INTERVAL_OF_MANY_MS : INTERVAL_MS;
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timerDue = Infinity;
  }

  /** One commit. Never rejects. */
  async #run(): Promise<void> {
    this.#began = performance.now();
    const taken = this.#take();
    try {
      await this.#options.commit(taken.map(({ frame }) => frame));
    } catch (error) {
      this.#running = undefined;
      this.#fail(error);
      return;
    }
    this.#running = undefined;
    this.#full = this.#full.slice(taken.length);
    this.#durable = taken.at(-1)?.upTo ?? this.#durable;
    for (const { frame } of taken) {
      this.#fullBytes -= frame.capacity;
      if (frame.capacity !== USUAL_FRAME_BYTES || this.#spare.length === SPARE_FRAMES) continue;
      frame.reset();
      this.#spare.push(frame);
    }
    const served = this.#waiters.filter(({ upTo }) => upTo <= this.#durable);
    this.#waiters = this.#waiters.filter(({ upTo }) => upTo > this.#durable);
    const recovered = this.#trouble !== undefined;
    this.#trouble = undefined;
    this.#retryMs = FIRST_RETRY_MS;
    for (const { resolve } of served) resolve();
    if (recovered) this.#options.changed();
    this.#options.committed();
    this.#plan();
  }

  /** The frames of the next commit; they stay in the list until they are written. */
  #take(): readonly Waiting[] {
    if (!this.#open.empty) this.#close();
    return this.#full.slice(0, MOST_FRAMES);
  }

  /** Puts the open frame to the others and opens the next one. */
  #close(): void {
    this.#full.push({ frame: this.#open, upTo: this.#appended });
    this.#fullBytes += this.#open.capacity;
    this.#open = this.#spare.pop() ?? new Frame();
  }

  #fail(error: unknown): void {
    const before = this.#trouble;
    this.#trouble = `writing failed: ${error instanceof Error ? error.message : String(error)}`;
    if (before !== undefined) this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { reject } of waiters) reject(new JournalTrouble(this.#trouble));
    if (before !== this.#trouble) this.#options.changed();
    this.#plan();
  }
}
