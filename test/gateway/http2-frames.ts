import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { codeName } from '../../src/gateway/http2-ending.ts';

/** RFC 9113 section 6. */
export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PUSH_PROMISE = 5;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;
export const PADDED = 0x8;
export const WITH_PRIORITY = 0x20;

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export type Fields = readonly (readonly [name: string, value: string])[];

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** A frame with any payload, right or wrong (section 4.1). */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array | readonly number[] = [],
): Buffer {
  const bytes = Buffer.alloc(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, 9);
  return bytes;
}

export function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6);
  for (const [at, [id, value]] of pairs.entries()) {
    payload.writeUInt16BE(id, at * 6);
    payload.writeUInt32BE(value, at * 6 + 2);
  }
  return frame(SETTINGS, 0, 0, payload);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Field lines as literals that no table keeps (RFC 7541 section 6.2.2). Names and values are latin1, and may be wrong. */
export function block(fields: Fields): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of fields) {
    parts.push(Buffer.of(0), ...text(name), ...text(value));
  }
  return Buffer.concat(parts);
}

/** A string that is not Huffman coded (RFC 7541 section 5.2). */
function text(value: string): [Buffer, Buffer] {
  const bytes = Buffer.from(value, 'latin1');
  const length: number[] = [];
  if (bytes.length < 127) {
    length.push(bytes.length);
  } else {
    length.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest = Math.floor(rest / 128)) length.push(128 + (rest % 128));
    length.push(rest);
  }
  return [Buffer.from(length), bytes];
}

/** What a server has answered to a stream. */
export interface Answer {
  status: number;
  /** Bytes of DATA. */
  bytes: number;
  /** END_STREAM has come. */
  ended: boolean;
  /** Name of the code of RST_STREAM. */
  reset: string | undefined;
}

/** A client of HTTP/2 that sends what it is told to, right or wrong, and keeps what it gets. */
export class Http2Peer {
  readonly socket: TLSSocket;
  readonly frames: Frame[] = [];
  readonly #answers = new Map<number, Answer>();
  /** Name of the code of the last GOAWAY. */
  goaway: string | undefined;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('error', () => undefined); // a reset is a close
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
  }

  /**
   * A connection whose handshake is done. Nothing is sent yet; see {@link greet}.
   * @param ca PEM of whom to trust
   */
  static async connect(t: TestContext, port: number, ca: string): Promise<Http2Peer> {
    const socket = connect({ port, host: 'localhost', ca, ALPNProtocols: ['h2'] });
    t.after(() => socket.destroy());
    await once(socket, 'secureConnect');
    return new Http2Peer(socket);
  }

  get closed(): boolean {
    return this.socket.destroyed || this.socket.readableEnded;
  }

  /** What a good client begins with, without a dynamic table for answers. */
  greet(): this {
    return this.send(PREFACE, settings([1, 0]), frame(SETTINGS, ACK, 0));
  }

  send(...parts: readonly Uint8Array[]): this {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(parts));
    return this;
  }

  answer(stream: number): Answer {
    let answer = this.#answers.get(stream);
    if (answer === undefined) {
      answer = { status: 0, bytes: 0, ended: false, reset: undefined };
      this.#answers.set(stream, answer);
    }
    return answer;
  }

  /** Resolves when `condition` holds after something was received or the connection has ended. False: not within the deadline. */
  async until(condition: () => boolean, deadlineMs = 3_000): Promise<boolean> {
    const { socket } = this;
    return new Promise((resolve) => {
      const settle = (result: boolean): void => {
        clearTimeout(timer);
        socket.off('data', look).off('end', look).off('close', look);
        resolve(result);
      };
      const look = (): void => {
        if (condition()) settle(true);
      };
      const timer = setTimeout(() => settle(false), deadlineMs);
      socket.on('data', look).on('end', look).on('close', look);
      look();
    });
  }

  #read(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (;;) {
      if (this.#rest.length < 9) return;
      const end = 9 + this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < end) return;
      this.#take({
        type: this.#rest.readUInt8(3),
        flags: this.#rest.readUInt8(4),
        stream: this.#rest.readUInt32BE(5) & 0x7fffffff,
        payload: this.#rest.subarray(9, end),
      });
      this.#rest = this.#rest.subarray(end);
    }
  }

  #take(received: Frame): void {
    const { type, flags, stream, payload } = received;
    this.frames.push(received);
    if (type === GOAWAY) this.goaway = codeName(payload.readUInt32BE(4));
    if (stream === 0) return;
    const answer = this.answer(stream);
    if (type === HEADERS && answer.status === 0) answer.status = statusOf(payload);
    if (type === DATA) answer.bytes += payload.length;
    if (type === RST_STREAM) answer.reset = codeName(payload.readUInt32BE(0));
    if ((type === HEADERS || type === DATA) && (flags & END_STREAM) !== 0) answer.ended = true;
  }
}

/** Statuses of the static table, by index (RFC 7541 appendix A). */
const STATIC: Readonly<Record<number, number>> = {
  8: 200,
  9: 204,
  10: 206,
  11: 304,
  12: 400,
  13: 404,
  14: 500,
};

/** `:status`, which is first in every answer (section 8.3.2), of an encoder that was told to keep no table. */
function statusOf(payload: Buffer): number {
  let at = 0;
  while (((payload[at] ?? 0) & 0xe0) === 0x20) at++; // the size of the table: 0
  const first = payload[at] ?? 0;
  if ((first & 0x80) !== 0) return STATIC[first & 0x7f] ?? Number.NaN;
  const length = payload[at + 1] ?? 0; // the name is in the static table
  const value = payload.subarray(at + 2, at + 2 + (length & 0x7f));
  return Number((length & 0x80) === 0 ? value.toString('latin1') : digits(value));
}

/** Huffman codes of digits: 0 to 2 are `00000` to `00010`, 3 to 9 `011001` to `011111` (RFC 7541 appendix B). */
function digits(value: Buffer): string {
  let bits = '';
  for (const byte of value) bits += byte.toString(2).padStart(8, '0');
  let found = '';
  while (bits.length >= 5 && bits.startsWith('0')) {
    const short = Number.parseInt(bits.slice(0, 5), 2);
    const width = short < 3 ? 5 : 6;
    found += String(short < 3 ? short : Number.parseInt(bits.slice(0, 6), 2) - 22);
    bits = bits.slice(width);
  }
  return found;
}
