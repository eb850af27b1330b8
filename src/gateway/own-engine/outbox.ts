import type { Settling } from '../../http1/wire.ts';

/** Somebody with something to send. */
export interface Sender {
  /** Sends what is kept. */
  send(): void;
}

/** So many are kept at most: whoever was first is not to wait for long. */
const MOST = 64;

/**
 * Who has something to send by the end of this turn of the event loop. A write wakes the process that waits for it, and it is by far the
 * dearer where that sleeps: so of all that came in one turn the answers leave together, when the first of them has woken whoever reads them.
 */
export class Outbox {
  #senders: Sender[] = [];
  #settling: Settling | undefined;
  #due = false;

  /** `sender` has something to send, and is not in here yet. */
  add(sender: Sender): void {
    this.#schedule();
    this.#senders.push(sender);
    if (this.#senders.length === MOST) this.#sendAll();
  }

  /** `who` hears when all is read that has come on its socket: once another is heard, or when the turn is over. It must not throw. */
  settle(who: Settling): void {
    this.heard(who);
    this.#schedule();
    this.#settling = who;
  }

  /** Something came on the socket of `who`: libuv is done with the one before. */
  heard(who: Settling): void {
    const settling = this.#settling;
    if (settling === undefined || settling === who) return;
    this.#settling = undefined;
    settling.settled();
  }

  #schedule(): void {
    if (this.#due) return;
    this.#due = true;
    setImmediate(() => this.#end());
  }

  #end(): void {
    this.#due = false;
    const settling = this.#settling;
    this.#settling = undefined;
    settling?.settled();
    this.#sendAll();
  }

  #sendAll(): void {
    const senders = this.#senders;
    this.#senders = [];
    for (const sender of senders) sender.send();
  }
}
