/**
 * A message body that is not what it claims to be. `message` is a fixed phrase: it is logged and counted, and never quotes the body.
 */
export class DecodeError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'DecodeError';
  }
}

/** A field of a decoded body. Nested maps, lists and Java objects are passed over: `undefined`. 64-bit integers are bigint. */
export type FieldValue = string | number | bigint | boolean | null | Uint8Array | undefined;

/** The named fields of one message. A Map, since names come from outside. */
export type Fields = ReadonlyMap<string, FieldValue>;

/** More entries than this in one map is no revocation event. */
const MAX_ENTRIES = 1000;

// A leading byte order mark is part of the text: tokens are compared exactly.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Big-endian reads over one body, each checked against its end. Nothing is allocated for a length that the body does not have. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  i8(): number {
    return this.#view.getInt8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  i16(): number {
    return this.#view.getInt16(this.#advance(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  i32(): number {
    return this.#view.getInt32(this.#advance(4));
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8));
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#advance(8));
  }

  f32(): number {
    return this.#view.getFloat32(this.#advance(4));
  }

  f64(): number {
    return this.#view.getFloat64(this.#advance(8));
  }

  /** A view of the next `length` bytes, not a copy. */
  take(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** Bytes up to the next 0x00, which is consumed. */
  takeToNul(): Uint8Array {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw new DecodeError('body is cut short');
    const taken = this.take(end - this.#at);
    this.#at++;
    return taken;
  }

  skip(length: number): void {
    this.#advance(length);
  }

  /** The next byte without consuming it. */
  peek(): number {
    return this.#view.getUint8(this.#check(1));
  }

  #advance(length: number): number {
    const start = this.#check(length);
    this.#at = start + length;
    return start;
  }

  #check(length: number): number {
    if (length < 0 || length > this.remaining) throw new DecodeError('body is cut short');
    return this.#at;
  }
}

/** Strict UTF-8: a token that cannot be read exactly must not be guessed. */
export function utf8Text(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new DecodeError('text is not valid UTF-8');
  }
}

/** Puts one entry in; a map that names a field twice, or has too many, is refused. */
export function putField(fields: Map<string, FieldValue>, name: string, value: FieldValue): void {
  if (fields.has(name)) throw new DecodeError('map names a field twice');
  if (fields.size >= MAX_ENTRIES) throw new DecodeError('map has too many entries');
  fields.set(name, value);
}
