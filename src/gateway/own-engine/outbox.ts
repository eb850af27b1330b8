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

  /** `sender` has something to send, and is not in here yet. */
  add(sender: Sender): void {
    if (this.#senders.length === 0) setImmediate(() => this.#sendAll());
    this.#senders.push(sender);
    if (this.#senders.length === MOST) this.#sendAll();
  }

  #sendAll(): void {
    const senders = this.#senders;
    this.#senders = [];
    for (const sender of senders) sender.send();
  }
}
