/** Opcode of a Close frame (RFC 6455 section 5.5.1). */
const CLOSE = 8;

/** Longest head of a frame: two bytes, a length of eight, a mask of four. */
const LONGEST_HEAD = 14;

/**
 * Follows the frames of one direction of a WebSocket (RFC 6455 section 5.2), to know where a frame of the gateway's own may stand. It looks
 * at no payload and keeps none.
 */
export class FrameEdge {
  readonly #head = Buffer.alloc(LONGEST_HEAD);
  #have = 0;
  #wanted = 2;
  /** Bytes of payload still to come. */
  #left = 0;
  #closed = false;

  /** No frame is under way. */
  get isHere(): boolean {
    return this.#left === 0 && this.#have === 0;
  }

  /** A Close frame has passed: no other may follow. */
  get closed(): boolean {
    return this.#closed;
  }

  pass(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, chunk.length - at);
        this.#left -= skipped;
        at += skipped;
        continue;
      }
      this.#head[this.#have++] = chunk[at++] ?? 0;
      if (this.#have === 2) this.#wanted = headLength(this.#head[1] ?? 0);
      if (this.#have < this.#wanted) continue;
      this.#left = payloadLength(this.#head);
      if (((this.#head[0] ?? 0) & 0x0f) === CLOSE) this.#closed = true;
      this.#have = 0;
      this.#wanted = 2;
    }
  }
}

function headLength(second: number): number {
  const length = second & 0x7f;
  return 2 + (length === 127 ? 8 : length === 126 ? 2 : 0) + (second & 0x80 ? 4 : 0);
}

/** Past 2^53 it is not exact, which takes longer to send than any connection lives. */
function payloadLength(head: Buffer): number {
  const length = (head[1] ?? 0) & 0x7f;
  if (length === 126) return head.readUInt16BE(2);
  return length === 127 ? head.readUInt32BE(2) * 2 ** 32 + head.readUInt32BE(6) : length;
}

/**
 * A Close frame from server to client.
 * @param code RFC 6455 section 7.4.1
 * @param reason at most 123 bytes
 */
export function closeFrame(code: number, reason: string): Buffer {
  const payload = Buffer.from(`..${reason}`);
  payload.writeUInt16BE(code);
  return Buffer.concat([Buffer.from([0x80 | CLOSE, payload.length]), payload]);
}
