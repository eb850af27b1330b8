import { ByteReader, DecodeError } from './byte-reader.ts';

const MAGIC_AND_VERSION = 0xaced0005;
const MAX_DEPTH = 16;
const MAX_HANDLES = 4096;
const FIRST_HANDLE = 0x7e0000;

const TC_NULL = 0x70;
const TC_REFERENCE = 0x71;
const TC_CLASSDESC = 0x72;
const TC_OBJECT = 0x73;
const TC_STRING = 0x74;
const TC_ARRAY = 0x75;
const TC_CLASS = 0x76;
const TC_BLOCKDATA = 0x77;
const TC_ENDBLOCKDATA = 0x78;
const TC_BLOCKDATALONG = 0x7a;
const TC_LONGSTRING = 0x7c;
const TC_ENUM = 0x7e;

const SC_WRITE_METHOD = 0x01;
const SC_SERIALIZABLE = 0x02;
const SC_EXTERNALIZABLE = 0x04;
const SC_BLOCK_DATA = 0x08;

/** What is needed of a class to know how many bytes its objects take. Its name is of no interest: nothing is ever instantiated. */
interface ClassDescription {
  flags: number;
  /** Type character per field, in the order of the stream. */
  fields: readonly string[];
  superclass: ClassDescription | undefined;
  /** First character after `[` of an array class's name. */
  elementType: string | undefined;
}

const PRIMITIVE_WIDTHS: Readonly<Record<string, number>> = {
  B: 1,
  C: 2,
  D: 8,
  F: 4,
  I: 4,
  J: 8,
  S: 2,
  Z: 1,
};

/**
 * Reads a Java object stream (Java Object Serialization Specification, chapter 6) as RabbitMQ's JMS client writes it: primitive values
 * in block data, which may end in the middle of a value, and now and then an object, which is walked over and forgotten. No class is
 * looked up, nothing is instantiated; depth and the number of handles are bounded, and no length is believed before the bytes are there.
 */
export class JavaStream {
  readonly #reader: ByteReader;
  /** Class descriptions by handle; undefined for handles of anything else. */
  readonly #handles: (ClassDescription | undefined)[] = [];
  #blockLeft = 0;

  /** @throws DecodeError when the stream does not begin with Java's magic number and version 5. */
  constructor(bytes: Uint8Array) {
    this.#reader = new ByteReader(bytes);
    if (this.#reader.u32() !== MAGIC_AND_VERSION) throw new DecodeError('not a Java object stream');
  }

  u8(): number {
    return this.#primitive(1).u8();
  }

  i8(): number {
    return this.#primitive(1).i8();
  }

  u16(): number {
    return this.#primitive(2).u16();
  }

  i16(): number {
    return this.#primitive(2).i16();
  }

  i32(): number {
    return this.#primitive(4).i32();
  }

  i64(): bigint {
    return this.#primitive(8).i64();
  }

  f32(): number {
    return this.#primitive(4).f32();
  }

  f64(): number {
    return this.#primitive(8).f64();
  }

  /** `DataOutput.writeUTF`: 16-bit length and modified UTF-8. */
  utf(): string {
    return modifiedUtf8(this.bytes(this.u16()));
  }

  /** The next `length` bytes of block data, joined where blocks end. */
  bytes(length: number): Uint8Array {
    if (length < 0 || length > this.#reader.remaining) throw new DecodeError('body is cut short');
    if (length === 0) return new Uint8Array(0);
    if (this.#blockLeft === 0) this.#nextBlock();
    if (length <= this.#blockLeft) {
      this.#blockLeft -= length;
      return this.#reader.take(length);
    }
    const joined = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      if (this.#blockLeft === 0) this.#nextBlock();
      const part = Math.min(length - filled, this.#blockLeft);
      joined.set(this.#reader.take(part), filled);
      this.#blockLeft -= part;
      filled += part;
    }
    return joined;
  }

  /** Walks over the object that comes next. */
  skipObject(): void {
    if (this.#blockLeft > 0) throw new DecodeError('Java stream has data where an object belongs');
    this.#content(0);
  }

  /** Whatever follows the last record, outside block data. */
  rest(): Uint8Array {
    if (this.#blockLeft > 0) throw new DecodeError('Java stream has unread block data');
    return this.#reader.take(this.#reader.remaining);
  }

  #primitive(width: number): ByteReader {
    return new ByteReader(this.bytes(width));
  }

  #nextBlock(): void {
    while (this.#blockLeft === 0) {
      const tag = this.#reader.u8();
      if (tag === TC_BLOCKDATA) this.#blockLeft = this.#reader.u8();
      else if (tag === TC_BLOCKDATALONG) this.#blockLeft = this.#reader.i32();
      else throw new DecodeError('Java stream has an object where data belongs');
      if (this.#blockLeft < 0 || this.#blockLeft > this.#reader.remaining)
        throw new DecodeError('body is cut short');
    }
  }

  #content(depth: number): void {
    if (depth > MAX_DEPTH) throw new DecodeError('Java stream is nested too deeply');
    const tag = this.#reader.u8();
    switch (tag) {
      case TC_NULL:
        return;
      case TC_REFERENCE:
        this.#reference();
        return;
      case TC_CLASSDESC:
        this.#classDescription(depth);
        return;
      case TC_OBJECT: {
        const described = this.#anyClass(depth + 1);
        this.#newHandle(undefined);
        this.#classData(described, depth);
        return;
      }
      case TC_STRING:
        this.#newHandle(undefined);
        this.#reader.skip(this.#reader.u16());
        return;
      case TC_LONGSTRING: {
        this.#newHandle(undefined);
        const length = this.#reader.u64();
        if (length > BigInt(this.#reader.remaining)) throw new DecodeError('body is cut short');
        this.#reader.skip(Number(length));
        return;
      }
      case TC_ARRAY:
        this.#array(depth);
        return;
      case TC_CLASS:
        this.#anyClass(depth + 1);
        this.#newHandle(undefined);
        return;
      case TC_ENUM:
        this.#anyClass(depth + 1);
        this.#newHandle(undefined);
        this.#content(depth + 1); // the constant's name
        return;
      default: // exceptions, proxies, resets and unknown tags
        throw new DecodeError('Java stream has a record that is not accepted');
    }
  }

  #classData(described: ClassDescription | undefined, depth: number): void {
    if (described === undefined) throw new DecodeError('Java stream has an object without class');
    const chain: ClassDescription[] = [];
    for (let each: ClassDescription | undefined = described; each; each = each.superclass) {
      chain.push(each);
      if (chain.length > MAX_DEPTH) throw new DecodeError('Java stream is nested too deeply');
    }
    for (const each of chain.reverse()) {
      if ((each.flags & SC_SERIALIZABLE) !== 0) {
        for (const type of each.fields) this.#value(type, depth);
        if ((each.flags & SC_WRITE_METHOD) !== 0) this.#annotations(depth);
      } else if ((each.flags & SC_EXTERNALIZABLE) !== 0) {
        // Without block data only the class itself would know where its content ends.
        if ((each.flags & SC_BLOCK_DATA) === 0)
          throw new DecodeError('Java stream has a record that is not accepted');
        this.#annotations(depth);
      }
    }
  }

  #value(type: string, depth: number): void {
    const width = PRIMITIVE_WIDTHS[type];
    if (width === undefined) this.#content(depth + 1);
    else this.#reader.skip(width);
  }

  #array(depth: number): void {
    const described = this.#anyClass(depth + 1);
    this.#newHandle(undefined);
    const type = described?.elementType;
    if (type === undefined) throw new DecodeError('Java stream has an array without class');
    const count = this.#reader.i32();
    const width = PRIMITIVE_WIDTHS[type];
    if (width !== undefined) {
      this.#reader.skip(count * width);
      return;
    }
    // An element takes a byte at least.
    if (count < 0 || count > this.#reader.remaining) throw new DecodeError('body is cut short');
    for (let i = 0; i < count; i++) this.#content(depth + 1);
  }

  /** Objects and block data up to the end mark. */
  #annotations(depth: number): void {
    for (;;) {
      const tag = this.#reader.peek();
      if (tag === TC_ENDBLOCKDATA) {
        this.#reader.skip(1);
        return;
      }
      if (tag === TC_BLOCKDATA) {
        this.#reader.skip(1);
        this.#reader.skip(this.#reader.u8());
      } else if (tag === TC_BLOCKDATALONG) {
        this.#reader.skip(1);
        this.#reader.skip(this.#reader.i32());
      } else {
        this.#content(depth + 1);
      }
    }
  }

  /** A class description, a reference to one, or null. */
  #anyClass(depth: number): ClassDescription | undefined {
    if (depth > MAX_DEPTH) throw new DecodeError('Java stream is nested too deeply');
    const tag = this.#reader.u8();
    if (tag === TC_NULL) return undefined;
    if (tag === TC_CLASSDESC) return this.#classDescription(depth);
    if (tag !== TC_REFERENCE)
      throw new DecodeError('Java stream has a record that is not accepted');
    const described = this.#reference();
    if (described === undefined) throw new DecodeError('Java stream refers to a class it lacks');
    return described;
  }

  #classDescription(depth: number): ClassDescription {
    const name = modifiedUtf8(this.#reader.take(this.#reader.u16()));
    this.#reader.skip(8); // serialVersionUID
    const described: ClassDescription = {
      flags: 0,
      fields: [],
      superclass: undefined,
      elementType: name.startsWith('[') ? name.charAt(1) : undefined,
    };
    this.#newHandle(described);
    described.flags = this.#reader.u8();
    const count = this.#reader.u16();
    const fields: string[] = [];
    for (let i = 0; i < count; i++) {
      const type = String.fromCharCode(this.#reader.u8());
      this.#reader.skip(this.#reader.u16());
      if (type === 'L' || type === '[') this.#content(depth + 1);
      else if (PRIMITIVE_WIDTHS[type] === undefined)
        throw new DecodeError('Java stream has a field of unknown type');
      fields.push(type);
    }
    described.fields = fields;
    this.#annotations(depth);
    described.superclass = this.#anyClass(depth + 1);
    return described;
  }

  #reference(): ClassDescription | undefined {
    const index = this.#reader.u32() - FIRST_HANDLE;
    if (index < 0 || index >= this.#handles.length)
      throw new DecodeError('Java stream refers to something it lacks');
    return this.#handles[index];
  }

  #newHandle(described: ClassDescription | undefined): void {
    if (this.#handles.length >= MAX_HANDLES)
      throw new DecodeError('Java stream has too many objects');
    this.#handles.push(described);
  }
}

/** Java's modified UTF-8: U+0000 in two bytes, characters beyond the BMP as two three-byte surrogates. */
export function modifiedUtf8(bytes: Uint8Array): string {
  const reader = new ByteReader(bytes);
  const units: number[] = [];
  while (reader.remaining > 0) {
    const first = reader.u8();
    if (first < 0x80) units.push(first);
    else if (first >> 5 === 0b110) units.push(((first & 0x1f) << 6) | continuation(reader));
    else if (first >> 4 === 0b1110)
      units.push(((first & 0x0f) << 12) | (continuation(reader) << 6) | continuation(reader));
    else throw new DecodeError('text is not valid modified UTF-8');
  }
  return Buffer.from(Uint16Array.from(units).buffer).toString('utf16le');
}

function continuation(reader: ByteReader): number {
  const byte = reader.u8();
  if (byte >> 6 !== 0b10) throw new DecodeError('text is not valid modified UTF-8');
  return byte & 0x3f;
}
