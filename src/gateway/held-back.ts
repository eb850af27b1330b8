import type { GatewayFault } from '../errors.ts';
import type { Exchange } from './exchange.ts';
import { reject } from './reject.ts';
import { Seldom } from './seldom.ts';

/** How long, at least, milliseconds. */
const HELD_MS = 200;

/** Refusals that are held back at one time. */
const MAX_HELD = 1_000;

/** One is given every so many milliseconds, at most: what comes all at once is not answered all at once, and does not come back all at once. */
const TICK_MS = 5;

/** Between two lines of the log that are about one of them, milliseconds: who sends junk is not to fill it. The access log has them all. */
const SAY_EVERY_MS = 1_000;

interface Held {
  readonly exchange: Exchange;
  readonly fault: GatewayFault;
  readonly untilMs: number;
}

/**
 * Refusals that are given a little later than they could be. A connection of HTTP/1.1 has one request at a time, so this brakes who sends
 * one bad request after the other, and costs nobody else anything. Beyond a bound they are answered at once, and their connections closed.
 */
export class HeldBack {
  readonly #now: () => number;
  /** In the order of their times. */
  readonly #held: Held[] = [];
  #timer: NodeJS.Timeout | undefined;
  readonly #seldom: Seldom;

  /** @param now milliseconds of a clock that is never set back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#seldom = new Seldom(SAY_EVERY_MS, now);
  }

  hold(exchange: Exchange, fault: GatewayFault): void {
    if (this.#held.length < MAX_HELD) {
      this.#held.push({ exchange, fault, untilMs: this.#now() + HELD_MS });
      this.#timer ??= setInterval(() => this.release(), TICK_MS).unref();
      return;
    }
    exchange.closeAfter = true;
    this.#refuse(exchange, fault);
  }

  /** What the timer does: refuses the next one that has waited long enough and is still there. */
  release(): void {
    const nowMs = this.#now();
    const held = this.#held;
    let past = 0;
    for (const { exchange, fault, untilMs } of held) {
      if (untilMs > nowMs) break;
      past += 1;
      if (exchange.answered) continue; // its client has left
      this.#refuse(exchange, fault);
      break;
    }
    held.splice(0, past);
    if (held.length > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #refuse(exchange: Exchange, fault: GatewayFault): void {
    const count = this.#seldom.happened();
    fault.unsaid = count === undefined;
    if (count !== undefined && count > 1) {
      exchange.log.info('Gateway', `${count - 1} more were answered 429 ${fault.fault}`);
    }
    reject(exchange, fault);
  }
}
