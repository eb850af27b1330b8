import { GrammarError } from './refusal.ts';
import type { RequestBody } from './request-body.ts';
import type { Clock, Wire } from './wire.ts';

/** What a client still sends of a body that nobody wants is waited for, up to this many bytes and milliseconds. */
const DROP_BYTES = 256 * 1024;
export const DROP_MS = 5_000;

/** Milliseconds for what may be under way when nothing is waited for. */
const LINGER_MS = 500;

/**
 * The end of a connection after its last answer (RFC 9112 section 9.6): FIN, and only then, as what is still read and dropped would else make
 * the kernel send RST, which could destroy the answer on its way, the end.
 */
export class Linger {
  readonly #wire: Wire;
  readonly #clock: Clock;
  #body: RequestBody | undefined;
  #sinceMs: number;
  #left = DROP_BYTES;

  /** @param body of which the rest is waited for */
  constructor(wire: Wire, clock: Clock, body: RequestBody | undefined) {
    this.#wire = wire;
    this.#clock = clock;
    this.#body = body;
    this.#sinceMs = clock.nowMs;
    wire.end();
  }

  /** Drops what came. */
  receive(chunk: Buffer, from: number): void {
    const body = this.#body;
    if (body === undefined) return;
    this.#left -= chunk.length - from;
    try {
      body.read(chunk, from);
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
    }
    if (this.#left < 0 || !body.open) this.hurry();
  }

  /** Nothing more is worth waiting for. */
  hurry(): void {
    if (this.#body === undefined) return;
    this.#body = undefined;
    this.#sinceMs = this.#clock.nowMs;
  }

  /**
   * An answer that the network has not taken yet is waited for; a client that takes none of it is the write deadline's.
   * @returns whether it has taken long enough
   */
  isOver(nowMs: number): boolean {
    if (this.#wire.backlog > 0) this.#sinceMs = nowMs;
    return nowMs - this.#sinceMs >= (this.#body === undefined ? LINGER_MS : DROP_MS);
  }
}
