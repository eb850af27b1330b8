import { setImmediate as turn } from 'node:timers/promises';
import { invalidToken } from '../auth/refusal.ts';
import type { Caller } from '../auth/caller.ts';
import type { Connection } from './connection.ts';
import type { Exchange } from './exchange.ts';
import { reject } from './reject.ts';

/** Milliseconds between two walks. */
const WALK_MS = 250;

/** Exchanges that are asked about before other work has its turn. */
const SLICE = 250;

interface Connections {
  connections(): Iterable<Connection>;
}

/**
 * Ends what is still under way for a token that was revoked after it was let in: WebSockets, streamed answers, uploads, long polls.
 *
 * There is no index of them: four times a second it walks over the connections, and asks about an exchange that it has seen in the walk
 * before. A plain request is over by then, and pays nothing but a place to write its caller.
 */
export class LiveWatch {
  readonly #listeners: readonly Connections[];
  readonly #revoked: (caller: Caller) => boolean;
  readonly #graceMs: number;
  #timer: NodeJS.Timeout | undefined;
  #walking = false;

  /** @param graceMs milliseconds from the revocation's discovery to the end */
  constructor(
    listeners: readonly Connections[],
    revoked: (caller: Caller) => boolean,
    graceMs: number,
  ) {
    this.#listeners = listeners;
    this.#revoked = revoked;
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
    let looked = 0;
    for (const listener of this.#listeners) {
      for (const connection of listener.connections()) {
        for (const exchange of connection.exchanges()) {
          this.#look(exchange);
          looked++;
        }
        if (looked < SLICE) continue;
        looked = 0;
        await turn();
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
    if (!this.#revoked(caller)) {
      exchange.revokedAt = undefined;
      return;
    }
    exchange.revokedAt ??= performance.now();
    if (performance.now() - exchange.revokedAt >= this.#graceMs) end(exchange);
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
