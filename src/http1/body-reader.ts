import { CR, FIELD_TEXT, HEX, LF, TOKEN } from './characters.ts';
import { readFields } from './fields.ts';
import { HeadInput } from './head-input.ts';
import type { HeadLimits } from './limits.ts';
import { CHUNKED, UNTIL_CLOSE } from './message-head.ts';
import { GrammarError } from './refusal.ts';

export interface BodyEvents {
  /** Bytes of the body, never none: a view into what `read` was given. */
  onData(chunk: Buffer): void;
  /** Once, last, and only of a chunked body that has trailers: name in lower case and value, alternating. */
  onTrailers(fields: readonly string[]): void;
}

/** Digits of a chunk's size: it stays a safe integer. */
const MAX_SIZE_DIGITS = 13;

/** Of all chunks of a body. They mean nothing to anybody here, and cost the sender nothing. */
const MAX_EXTENSION_BYTES = 16_384;

/** Fields that would change what was decided when the head was read (RFC 9110 section 6.5.1); some readers end the connection by those of the last two. */
const NO_TRAILERS: ReadonlySet<string> = new Set([
  'content-length',
  'transfer-encoding',
  'host',
  'connection',
  'proxy-connection',
]);

/** Where in a body the next byte stands; the first four are no part of a chunk's line. */
const AT = {
  done: 0,
  untilClose: 1,
  plain: 2,
  chunkData: 3,
  trailers: 4,
  dataCr: 5,
  dataLf: 6,
  firstSizeDigit: 7,
  size: 8,
  sizeLf: 9,
  extensionStart: 10,
  extensionName: 11,
  extensionValueStart: 12,
  extensionValue: 13,
  quoted: 14,
  quotedPair: 15,
  quotedEnd: 16,
} as const;

type At = (typeof AT)[keyof typeof AT];

/** Reads one body out of what follows a head, in whatever pieces it comes (RFC 9112 sections 6 and 7). */
export class BodyReader {
  readonly #limits: HeadLimits;
  readonly #events: BodyEvents;
  #at: At;
  /** Of the body, or of the chunk: bytes that are missing. */
  #missing: number;
  #digits = 0;
  #extensionBytes = 0;
  #trailerInput: HeadInput | undefined;

  /** @param length bytes, CHUNKED or UNTIL_CLOSE */
  constructor(length: number, limits: HeadLimits, events: BodyEvents) {
    this.#limits = limits;
    this.#events = events;
    this.#missing = length > 0 ? length : 0;
    if (length === CHUNKED) this.#at = AT.firstSizeDigit;
    else if (length === UNTIL_CLOSE) this.#at = AT.untilClose;
    else this.#at = length === 0 ? AT.done : AT.plain;
  }

  /** Whether the body is whole: from the start when it has no bytes, else after its last event. */
  get done(): boolean {
    return this.#at === AT.done;
  }

  /** Bytes that are missing of a body with a length. */
  get missing(): number {
    return this.#missing;
  }

  /**
   * @param to end of what may be read
   * @returns index up to which it read: less than `to` only when done
   * @throws GrammarError `chunk`, `chunkExtensions`, `trailers`, `malformed` and `fieldsTooLarge` of trailers
   */
  read(bytes: Buffer, from: number, to: number): number {
    let index = from;
    while (index < to && this.#at !== AT.done) {
      switch (this.#at) {
        case AT.untilClose:
          this.#events.onData(whole(bytes, index, to));
          return to;
        case AT.plain:
        case AT.chunkData:
          index = this.#data(bytes, index, to);
          break;
        case AT.trailers:
          index = this.#trailers(bytes, index, to);
          break;
        default:
          index = this.#chunkLine(bytes, index, to);
          break;
      }
    }
    return index;
  }

  /**
   * The sender is at its end.
   * @throws GrammarError `cutShort`, unless the body is whole or lasts until then
   */
  end(): void {
    if (this.#at === AT.untilClose) this.#at = AT.done;
    if (this.#at !== AT.done) throw new GrammarError('cutShort', 'the body ends too early');
  }

  #data(bytes: Buffer, from: number, to: number): number {
    const end = Math.min(to, from + this.#missing);
    this.#missing -= end - from;
    this.#events.onData(whole(bytes, from, end));
    if (this.#missing === 0) this.#at = this.#at === AT.plain ? AT.done : AT.dataCr;
    return end;
  }

  /** Everything of a chunk but its data: `size *( ";" name [ "=" value ] ) CRLF`, and the CRLF behind the data. */
  #chunkLine(bytes: Buffer, from: number, to: number): number {
    let at: At = this.#at;
    let index = from;
    // What leaves the line is stored by itself, as data are not this loop's.
    while (index < to && at > AT.trailers) {
      const byte = bytes[index++] ?? 0;
      at = this.#chunkByte(at, byte);
      if (at >= AT.extensionStart) this.#countExtension();
    }
    this.#at = at;
    return index;
  }

  #chunkByte(at: At, byte: number): At {
    switch (at) {
      case AT.dataCr:
        if (byte !== CR) throw new GrammarError('chunk', 'chunk longer than its size');
        return AT.dataLf;
      case AT.dataLf:
        if (byte !== LF) throw new GrammarError('chunk', 'bare CR behind a chunk');
        return AT.firstSizeDigit;
      case AT.firstSizeDigit:
        this.#missing = 0;
        this.#digits = 0;
        return this.#sizeDigit(byte);
      case AT.size:
        return afterPart(byte) ?? this.#sizeDigit(byte);
      case AT.sizeLf:
        if (byte !== LF) throw new GrammarError('chunk', 'bare CR behind a chunk size');
        return this.#missing === 0 ? AT.trailers : AT.chunkData;
      case AT.extensionStart:
        return tokenByte(byte, AT.extensionName);
      case AT.extensionName:
        if (byte === 0x3d) return AT.extensionValueStart;
        return afterPart(byte) ?? tokenByte(byte, AT.extensionName);
      case AT.extensionValueStart:
        return byte === 0x22 ? AT.quoted : tokenByte(byte, AT.extensionValue);
      case AT.extensionValue:
        return afterPart(byte) ?? tokenByte(byte, AT.extensionValue);
      case AT.quoted:
        if (byte === 0x22) return AT.quotedEnd;
        return byte === 0x5c ? AT.quotedPair : quotedByte(byte);
      case AT.quotedPair:
        return quotedByte(byte);
      case AT.quotedEnd: {
        const next = afterPart(byte);
        if (next === undefined) throw new GrammarError('chunk', 'bytes behind a quoted string');
        return next;
      }
      default:
        throw new RangeError('not in a chunk line');
    }
  }

  #sizeDigit(byte: number): At {
    const value = HEX[byte] ?? 0xff;
    if (value === 0xff) throw new GrammarError('chunk', 'chunk size that is no number');
    if (++this.#digits > MAX_SIZE_DIGITS) throw new GrammarError('chunk', 'chunk size too large');
    this.#missing = this.#missing * 16 + value;
    return AT.size;
  }

  #countExtension(): void {
    if (++this.#extensionBytes > MAX_EXTENSION_BYTES) {
      throw new GrammarError('chunkExtensions', 'too many bytes of chunk extensions');
    }
  }

  #trailers(bytes: Buffer, from: number, to: number): number {
    if (this.#trailerInput === undefined) {
      if (from + 1 < to && bytes[from] === CR && bytes[from + 1] === LF) {
        this.#at = AT.done;
        return from + 2;
      }
      this.#trailerInput = new HeadInput('fields', this.#limits);
    }
    const read = bytes.subarray(0, to);
    const end = this.#trailerInput.find(read, from);
    if (end === -1) return to;
    const section = this.#trailerInput.take(read, from, end) ?? bytes.subarray(from, end);
    const { fields } = readFields(section, section.toString('latin1'), 0, 0, this.#limits);
    for (let index = 0; index < fields.length; index += 2) {
      if (NO_TRAILERS.has(fields[index] ?? '')) {
        throw new GrammarError('trailers', 'field that no trailer may be');
      }
    }
    this.#at = AT.done;
    if (fields.length > 0) this.#events.onTrailers(fields);
    return end;
  }
}

/** Whether the rest of `bytes` has all that will ever be read of a body: up to its end, or to what breaks the grammar. */
export function isAllThere(
  length: number,
  limits: HeadLimits,
  bytes: Buffer,
  from: number,
): boolean {
  const reader = new BodyReader(length, limits, UNHEARD);
  try {
    reader.read(bytes, from, bytes.length);
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error;
    return true;
  }
  return reader.done;
}

const UNHEARD: BodyEvents = { onData: nothing, onTrailers: nothing };

function nothing(): void {}

function whole(bytes: Buffer, from: number, to: number): Buffer {
  return from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to);
}

/** What follows when `byte` ends a size, name or value; undefined when it does not. */
function afterPart(byte: number): At | undefined {
  if (byte === CR) return AT.sizeLf;
  return byte === 0x3b ? AT.extensionStart : undefined;
}

function tokenByte(byte: number, at: At): At {
  if (TOKEN[byte] === 0) throw new GrammarError('chunk', 'chunk extension that is no token');
  return at;
}

function quotedByte(byte: number): At {
  if (FIELD_TEXT[byte] !== 1) throw new GrammarError('chunk', 'control character in an extension');
  return AT.quoted;
}
