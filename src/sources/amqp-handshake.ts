import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Socket } from 'node:net';

const FRAME_HEAD = 7;
const FRAME_END = 1;
const METHOD_FRAME = 1;
const CONNECTION_CLASS = 10;
const OPEN_OK = 41;
const CLOSE = 50;
/** A handshake is some kilobytes; past this it is watched no longer. */
const MAX_WATCHED_BYTES = 256 * 1024;

/** A broker's `connection.close`: why it ended the handshake. */
export interface BrokerRefusal {
  readonly code: number;
  readonly text: string;
}

/**
 * Watches the bytes of one AMQP 0-9-1 handshake that amqplib makes, for two things that amqplib does not do: it does not tell the broker's
 * reason when `connection.open` is refused, and frames that arrive together with `open-ok` reach it before anyone can listen for its
 * `error` event, which would end the process. The first is read here, the second are held back until its caller listens.
 */
export class HandshakeWatch {
  #socket: Socket | undefined;
  #seen: Buffer = Buffer.alloc(0);
  #held: Buffer | undefined;
  #opened = false;

  /** Runs `connect`, which must make its socket before it returns, and watches that socket. */
  static around<T>(connect: () => T): { readonly result: T; readonly watch: HandshakeWatch } {
    const watch = new HandshakeWatch();
    const grab = (message: unknown): void => {
      const socket = (message as { readonly socket?: unknown }).socket;
      if (socket instanceof Socket) watch.#attach(socket);
    };
    // Node's own announcement of every socket made; nobody else's can come in between, because `connect` is synchronous.
    subscribe('net.client.socket', grab);
    try {
      return { result: connect(), watch };
    } finally {
      unsubscribe('net.client.socket', grab);
    }
  }

  /** What the broker said when it ended the handshake; undefined when it said nothing. */
  get refusal(): BrokerRefusal | undefined {
    let refusal: BrokerRefusal | undefined;
    for (const { methodId, payload } of connectionMethods(this.#seen)) {
      if (methodId === CLOSE) refusal = readClose(payload);
    }
    return refusal;
  }

  /** Lets everything through again: call it once the handshake is over and `error` is listened for. */
  release(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    Reflect.deleteProperty(socket, 'read');
    const held = this.#held;
    this.#held = undefined;
    this.#seen = Buffer.alloc(0);
    if (socket.destroyed) return;
    if (held !== undefined) socket.unshift(held);
    else if (socket.readableLength > 0) socket.emit('readable');
  }

  #attach(socket: Socket): void {
    this.#socket = socket;
    const read = socket.read.bind(socket);
    socket.read = (size?: number): unknown => {
      if (this.#opened) return null;
      const chunk: unknown = read(size);
      return Buffer.isBuffer(chunk) ? this.#watched(chunk) : chunk;
    };
  }

  /** The part of a chunk that belongs to the handshake. */
  #watched(chunk: Buffer): Buffer {
    if (this.#seen.length > MAX_WATCHED_BYTES) return chunk;
    const before = this.#seen.length;
    this.#seen = Buffer.concat([this.#seen, chunk]);
    for (const { methodId, end } of connectionMethods(this.#seen)) {
      if (methodId !== OPEN_OK) continue;
      this.#opened = true;
      const own = end - before;
      if (own < chunk.length) this.#held = chunk.subarray(own);
      return chunk.subarray(0, own);
    }
    return chunk;
  }
}

/** Every whole method frame of class `connection` from the start of `bytes`. */
function* connectionMethods(
  bytes: Buffer,
): Generator<{ readonly methodId: number; readonly payload: Buffer; readonly end: number }> {
  let at = 0;
  while (bytes.length - at >= FRAME_HEAD) {
    const size = bytes.readUInt32BE(at + 3);
    const end = at + FRAME_HEAD + size + FRAME_END;
    if (end > bytes.length) return;
    const payload = bytes.subarray(at + FRAME_HEAD, at + FRAME_HEAD + size);
    if (
      bytes.readUInt8(at) === METHOD_FRAME &&
      payload.length >= 4 &&
      payload.readUInt16BE(0) === CONNECTION_CLASS
    )
      yield { methodId: payload.readUInt16BE(2), payload, end };
    at = end;
  }
}

/** AMQP 0-9-1 section 1.4.2.9: reply code, reply text as a short string. */
function readClose(payload: Buffer): BrokerRefusal | undefined {
  if (payload.length < 7) return undefined;
  const length = payload.readUInt8(6);
  return { code: payload.readUInt16BE(4), text: payload.toString('utf8', 7, 7 + length) };
}
