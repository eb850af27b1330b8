import { setImmediate as turn } from 'node:timers/promises';
import { invalidToken } from '../auth/refusal.ts';
import type { Caller } from '../auth/caller.ts';
import type { Connection } from './connection.ts';
import type { Exchange } from './exchange.ts';
import { reject } from './reject.ts';

/** Milliseconds between two walks. */
const WALK_MS = 250;

/** Milliseconds of work before other work has its turn. */
const SLICE_MS = 2;

interface Connections {
  connections(): Iterable<Connection>;
}

/** What is known of revocations. */
interface Lookout {
  readonly revoked: (caller: Caller) => boolean;
  /** Changes whenever what `revoked` says may have changed. Undefined: nobody knows. */
  readonly changes: (() => number) | undefined;
}

/**
 * Ends what is still under way for a token that was revoked after it was let in: WebSockets, streamed answers, uploads, long polls.
 *
 * There is no index of them: four times a second it walks over the connections, and asks about an exchange that it has seen in the walk
 * before. A plain request is over by then, and pays nothing but a place to write its caller. One that was asked about is asked about again
 * only when the list has changed since. A walk takes as many turns of the event loop as it needs, so that ten thousand streams hold no
 * request up.
 */
export class LiveWatch {
  readonly #listeners: readonly Connections[];
  readonly #lookout: Lookout;
  readonly #graceMs: number;
  #timer: NodeJS.Timeout | undefined;
  #walking = false;

  /** @param graceMs milliseconds from the revocation's discovery to the end */
  constructor(listeners: readonly Connections[], lookout: Lookout, graceMs: number) {
    this.#listeners = listeners;
    this.#lookout = lookout;
    this.#graceMs = graceMs;
  }

  start(): void {
    this.#timer = setInterval(() => {
      if (!this.#walking) void this.#walk();
    }, WALK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #walk(): Promise<void> {
    this.#walking = true;
    let began = performance.now();
    for (const listener of this.#listeners) {
      for (const connection of listener.connections()) {
        for (const exchange of connection.exchanges()) this.#look(exchange);
        if (performance.now() - began < SLICE_MS) continue;
        await turn();
        began = performance.now();
      }
    }
    this.#walking = false;
  }

  #look(exchange: Exchange): void {
    const { caller } = exchange;
    if (caller === undefined) return;
    if (!exchange.seen) {
      exchange.seen = true;
      return;
    }
    // Before asking: what is added in between is asked about by the next walk.
    const changes = this.#lookout.changes?.();
    if (changes === undefined || changes !== exchange.askedAt) {
      exchange.askedAt = changes;
      if (!this.#lookout.revoked(caller)) exchange.revokedAt = undefined;
      else exchange.revokedAt ??= performance.now();
    }
    const { revokedAt } = exchange;
    if (revokedAt !== undefined && performance.now() - revokedAt >= this.#graceMs) end(exchange);
  }
}

function end(exchange: Exchange): void {
  const { tunnel, log } = exchange;
  if (tunnel === undefined && !exchange.answered) {
    reject(exchange, invalidToken('the token was revoked while the request was under way'));
    return;
  }
  // An answer that is written is not taken back.
  if (exchange.ended || exchange.outcome === 'revoked') return;
  log.info('Gateway', `ended: the token was revoked (${exchange.describe()})`, exchange.id);
  if (tunnel === undefined) {
    exchange.breakOff('revoked');
  } else {
    exchange.outcome = 'revoked';
    tunnel.close(1008, 'token revoked');
  }
}
