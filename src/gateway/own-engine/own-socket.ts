import type { Socket } from 'node:net';
import { GIVEN_AWAY_BYTES, type Settling, type Wire } from '../../http1/wire.ts';
import { isFinished } from '../connection.ts';
import { Outbox } from './outbox.ts';

/** What a socket tells the state machine that it carries. */
export interface Carried {
  /** Lent or given away by the size of the chunk: see {@link GIVEN_AWAY_BYTES} of wire.ts. Of accepted sockets it is always given away. */
  receive(chunk: Buffer): void;
  /** FIN. */
  receivedEnd(): void;
  /** After a write that returned false. */
  drained(): void;
  /** Once: the socket is closed. */
  gone(error: Error | undefined): void;
  /** Something here has thrown what nobody expected. The socket is destroyed for it, and nothing else ends with it. */
  failed(error: unknown): void;
}

/** Where a socket has its owner: listeners are common to all sockets, so that an idle one costs none of its own. */
const OWNER = Symbol('owner');

/** So many small writes may wait behind what the kernel does not take: their bytes are few, but each takes memory of its own. */
const MAX_BEHIND = 64;

/** One for all sockets of a thread. */
const outbox = new Outbox();

type Owned = Socket & { [OWNER]?: OwnSocket };

/** A TCP or TLS socket as the state machines of `src/http1` see it. */
export class OwnSocket implements Wire {
  /** What HTTP is spoken on. */
  readonly stream: Socket;
  /** The TCP socket below it; the same where there is no TLS. */
  readonly #tcp: Socket;
  #carried: Carried | undefined;
  #told = false;
  /** A write has returned false. */
  #blocked = false;
  /** Small writes since the kernel last took all, and whether there are too many. */
  #behind = 0;
  #full = false;
  /** It was ended from here: what still comes is nobody's. */
  #ended = false;
  /** Text that leaves with this turn of the event loop. */
  #kept = '';
  #settling: Settling | undefined;
  /** A read is being handed over. */
  #reading = false;

  /** Hears nothing before {@link carry}. */
  constructor(stream: Socket, tcp: Socket) {
    this.stream = stream;
    this.#tcp = tcp;
    (stream as Owned)[OWNER] = this;
    stream.on('end', onEnd).on('error', onError).on('close', onClose);
  }

  /** From now on this hears what comes. Data events only come where the socket was not made with a buffer of its own (`onread`). */
  carry(carried: Carried, dataEvents: boolean): void {
    this.#carried = carried;
    if (dataEvents) this.stream.on('data', onData);
  }

  get backlog(): number {
    return this.stream.writableLength + this.#kept.length;
  }

  write(bytes: string | Uint8Array): boolean {
    if (typeof bytes === 'string') {
      const first = this.#kept === '';
      this.#kept += bytes;
      if (this.#kept.length >= GIVEN_AWAY_BYTES) this.send();
      else if (first) outbox.add(this);
    } else {
      this.send();
      this.stream.write(bytes);
    }
    return this.#hasRoom();
  }

  /** Gives what is kept to the kernel. */
  send(): void {
    const kept = this.#kept;
    if (kept === '') return;
    this.#kept = '';
    const { stream } = this;
    if (stream.destroyed) return;
    if (stream.writableLength === 0) this.#behind = 0;
    else if (++this.#behind >= MAX_BEHIND && !this.#full) {
      this.#full = true;
      stream.write(kept, 'latin1', () => this.#taken());
      return;
    }
    stream.write(kept, 'latin1');
  }

  writeAll(first: string, body: Uint8Array, last: string): boolean {
    const { stream } = this;
    this.send();
    stream.cork();
    if (first !== '') stream.write(first, 'latin1');
    stream.write(body);
    if (last !== '') stream.write(last, 'latin1');
    stream.uncork();
    return this.#hasRoom();
  }

  settle(who: Settling): void {
    this.#settling = who;
    // Outside of a read an answer ends with bytes that were kept: what stands behind them is read in the next turn.
    if (this.#reading) outbox.settle(this);
    else setImmediate(() => setImmediate(() => this.settled()));
  }

  /** Of the outbox. */
  settled(): void {
    try {
      this.#settling?.settled();
    } catch (error) {
      if (this.#carried !== undefined) this.#fail(this.#carried, error);
    }
  }

  pause(): void {
    this.stream.pause();
  }

  resume(): void {
    this.stream.resume();
  }

  end(): void {
    this.send();
    this.stream.end();
  }

  destroy(): void {
    this.send();
    this.#ended = true;
    this.stream.destroy();
  }

  reset(): void {
    if (isFinished(this.stream)) {
      this.destroy();
      return;
    }
    this.send();
    this.#ended = true;
    this.#tcp.resetAndDestroy(); // a TLS socket has no reset of its own
    if (this.stream !== this.#tcp) this.stream.destroy();
  }

  /** The socket for another protocol: paused, with no listener that does anything. `gone` still comes. */
  release(): Socket {
    this.send();
    this.#ended = true;
    this.stream.off('data', onData).off('end', onEnd).off('drain', onDrain).pause();
    return this.stream;
  }

  /** Bytes that came, by whichever way. */
  receive(chunk: Buffer): void {
    outbox.heard(this);
    if (this.#ended) return;
    const carried = this.#carried;
    if (carried === undefined) this.destroy(); // nobody has asked for anything
    else {
      this.#reading = true;
      try {
        carried.receive(chunk);
      } catch (error) {
        this.#fail(carried, error);
      }
      this.#reading = false;
    }
  }

  receiveEnd(): void {
    if (this.#ended) return;
    const carried = this.#carried;
    if (carried === undefined) this.destroy();
    else {
      try {
        carried.receivedEnd();
      } catch (error) {
        this.#fail(carried, error);
      }
    }
  }

  drain(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    const carried = this.#carried;
    if (this.#ended || carried === undefined) return;
    try {
      carried.drained();
    } catch (error) {
      this.#fail(carried, error);
    }
  }

  /** The socket is closed, or is about to be as it has failed. */
  close(error: Error | undefined): void {
    this.#ended = true;
    const carried = this.#carried;
    if (this.#told || carried === undefined) return;
    this.#told = true;
    try {
      carried.gone(error);
    } catch (thrown) {
      this.#fail(carried, thrown);
    }
  }

  /** Runs what is no socket's event, a deadline for one, with the same care. */
  guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (this.#carried !== undefined) this.#fail(this.#carried, error);
    }
  }

  #taken(): void {
    this.#full = false;
    this.#behind = 0;
    if (!this.stream.destroyed) this.drain();
  }

  #fail(carried: Carried, error: unknown): void {
    this.destroy();
    carried.failed(error);
  }

  /** The kernel usually takes all of it at once: only what is left counts, however large the write was. */
  #hasRoom(): boolean {
    const { stream } = this;
    if (this.#full) {
      this.#blocked = true;
      return false;
    }
    if (stream.writableLength < stream.writableHighWaterMark) return true;
    if (!this.#blocked) {
      this.#blocked = true;
      stream.once('drain', onDrain);
    }
    return false;
  }
}

function onData(this: Owned, chunk: Buffer): void {
  this[OWNER]?.receive(chunk);
}

function onEnd(this: Owned): void {
  this[OWNER]?.receiveEnd();
}

function onDrain(this: Owned): void {
  this[OWNER]?.drain();
}

function onError(this: Owned, error: Error): void {
  this[OWNER]?.close(error);
  this.destroy(); // node:tls tells of some errors and goes on
}

function onClose(this: Owned): void {
  this[OWNER]?.close(undefined);
}
