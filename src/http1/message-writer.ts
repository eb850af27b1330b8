import { chunkStart, LAST_CHUNK } from './head-writer.ts';
import { CHUNKED, UNTIL_CLOSE } from './message-head.ts';
import { GIVEN_AWAY_BYTES, type Wire } from './wire.ts';

/** The framing of a message that has no body whatever its head says: the answer to a HEAD, 204, 304. What is written as its body is dropped. */
export const NO_BODY = -3;

/** Head and small chunks are kept as text up to this many bytes, so that a small message is one system call. */
const MAX_PENDING = 16_384;

/** Writes messages to a wire, one after the other: a head, then its body as the head frames it. */
export class MessageWriter {
  readonly #wire: Wire;
  #pending = '';
  /** Bytes of the body that are still to come; or CHUNKED, UNTIL_CLOSE, NO_BODY. */
  #left = 0;
  /** Bytes given to the wire, of all messages. */
  bytes = 0;
  /** The wire said false, and has not drained yet. */
  blocked = false;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  /**
   * Begins a message; nothing leaves before `flush`, `end` or a large chunk.
   * @param head latin1, whole
   * @param length bytes of the body that the head frames, CHUNKED, UNTIL_CLOSE or NO_BODY
   */
  begin(head: string, length: number): void {
    this.#pending += head;
    this.#left = length;
  }

  /** Writes a whole message without a body at once: an interim answer, a refusal. */
  writeText(text: string): void {
    this.#pending += text;
    this.flush();
  }

  /** Whether the body may have this many bytes more. What does not fit must not be written: it would be read as the next message. */
  fits(bytes: number): boolean {
    return this.#left < 0 || bytes <= this.#left;
  }

  /** @returns false: wait until the wire has drained */
  write(chunk: Uint8Array): boolean {
    const { length } = chunk;
    if (length === 0 || this.#left === NO_BODY) return !this.blocked;
    if (length >= GIVEN_AWAY_BYTES) this.#writeLarge(chunk, '');
    else this.#keep(latin1(chunk), length);
    return !this.blocked;
  }

  /** What was kept leaves. */
  flush(): void {
    const pending = this.#pending;
    if (pending === '') return;
    this.#pending = '';
    this.bytes += pending.length;
    if (!this.#wire.write(pending)) this.blocked = true;
  }

  /**
   * The body ends, with `chunk` if there is one. Everything leaves.
   * @returns false: it has fewer bytes than its head says, and the other side must not take it for whole
   */
  end(chunk: Uint8Array | undefined): boolean {
    const last = this.#left === CHUNKED ? LAST_CHUNK : '';
    if (chunk !== undefined && chunk.length > 0 && this.#left !== NO_BODY) {
      if (chunk.length >= GIVEN_AWAY_BYTES) {
        this.#writeLarge(chunk, last);
        return this.#isWhole();
      }
      this.#keep(latin1(chunk), chunk.length);
    }
    this.#pending += last;
    this.flush();
    return this.#isWhole();
  }

  /** The wire has drained. */
  drained(): void {
    this.blocked = false;
  }

  #isWhole(): boolean {
    const whole = this.#left <= 0;
    this.#left = 0;
    return whole;
  }

  #keep(text: string, bytes: number): void {
    if (this.#pending.length + bytes > MAX_PENDING) this.flush();
    if (this.#left === CHUNKED) this.#pending += `${chunkStart(bytes)}${text}\r\n`;
    else this.#pending += text;
    if (this.#left > 0) this.#left -= bytes;
  }

  #writeLarge(chunk: Uint8Array, last: string): void {
    let first = this.#pending;
    let behind = last;
    this.#pending = '';
    if (this.#left === CHUNKED) {
      first += chunkStart(chunk.length);
      behind = `\r\n${last}`;
    } else if (this.#left !== UNTIL_CLOSE) this.#left -= chunk.length;
    this.bytes += first.length + chunk.length + behind.length;
    const taken =
      first === '' && behind === ''
        ? this.#wire.write(chunk)
        : this.#wire.writeAll(first, chunk, behind);
    if (!taken) this.blocked = true;
  }
}

/** The same bytes as text: strings are joined without a copy, and written with one. */
function latin1(chunk: Uint8Array): string {
  const bytes =
    chunk instanceof Buffer ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  return bytes.toString('latin1');
}
