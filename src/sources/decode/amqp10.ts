import {
  ByteReader,
  DecodeError,
  putField,
  utf8Text,
  type Fields,
  type FieldValue,
} from './byte-reader.ts';

/** What the sections of one AMQP 1.0 message hold. */
export type Amqp10Body =
  | { readonly kind: 'fields'; readonly fields: Fields }
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'bytes';
      readonly bytes: Uint8Array;
      readonly contentType: string | undefined;
    };

const MAX_DEPTH = 16;
const MAX_SECTIONS = 64;

/** Section descriptors (AMQP 1.0 part 3, section 3.2). */
const PROPERTIES = 0x73n;
const DATA = 0x75n;
const SEQUENCE = 0x76n;
const VALUE = 0x77n;
const FIRST_SECTION = 0x70n;
const LAST_SECTION = 0x78n;
/** Place of `content-type` in the properties list. */
const CONTENT_TYPE_AT = 6;

const SECTION_NAMES: Readonly<Record<string, bigint>> = {
  'amqp:header:list': 0x70n,
  'amqp:delivery-annotations:map': 0x71n,
  'amqp:message-annotations:map': 0x72n,
  'amqp:properties:list': PROPERTIES,
  'amqp:application-properties:map': 0x74n,
  'amqp:data:binary': DATA,
  'amqp:amqp-sequence:list': SEQUENCE,
  'amqp:amqp-value:*': VALUE,
  'amqp:footer:map': LAST_SECTION,
};

/** True when a body begins as an encoded section does: RabbitMQ's AMQP 1.0 plugin hands messages over so. */
export function isAmqp10(body: Uint8Array): boolean {
  return (
    body[0] === 0x00 &&
    body[1] === 0x53 &&
    body[2] !== undefined &&
    body[2] >= 0x70 &&
    body[2] <= 0x78
  );
}

/**
 * Reads the sections of an AMQP 1.0 message. The body's own type decides: a map gives fields, a string text, data bytes.
 * @throws DecodeError for sequences and anything that is cut short, too deep or unknown.
 */
export function readAmqp10(body: Uint8Array): Amqp10Body {
  const reader = new ByteReader(body);
  const data: Uint8Array[] = [];
  let contentType: string | undefined;
  let value: Amqp10Body | undefined;
  for (let sections = 0; reader.remaining > 0; sections++) {
    if (sections >= MAX_SECTIONS) throw new DecodeError('message has too many sections');
    const section = readDescriptor(reader);
    if (section === VALUE && value === undefined && data.length === 0) value = readBody(reader);
    else if (section === DATA && value === undefined) data.push(readBinary(reader));
    else if (section === PROPERTIES) contentType = readContentType(reader) ?? contentType;
    else if (section === SEQUENCE) throw new DecodeError('stream messages have no named fields');
    else if (section === VALUE || section === DATA)
      throw new DecodeError('message has more than one body');
    else skipValue(reader, reader.u8(), 0);
  }
  if (value !== undefined) {
    return value.kind === 'bytes' ? { ...value, contentType } : value;
  }
  if (data.length === 0) throw new DecodeError('message has no body');
  return { kind: 'bytes', bytes: Buffer.concat(data), contentType };
}

/** `00`, then the section's number or symbolic name. */
function readDescriptor(reader: ByteReader): bigint {
  if (reader.u8() !== 0x00) throw new DecodeError('not a section of an AMQP 1 message');
  const descriptor = readScalar(reader, reader.u8());
  const section =
    typeof descriptor === 'string' && Object.hasOwn(SECTION_NAMES, descriptor)
      ? SECTION_NAMES[descriptor]
      : typeof descriptor === 'bigint'
        ? descriptor
        : undefined;
  if (section === undefined || section < FIRST_SECTION || section > LAST_SECTION)
    throw new DecodeError('not a section of an AMQP 1 message');
  return section;
}

function readBody(reader: ByteReader): Amqp10Body {
  const code = reader.u8();
  if (code === 0xc1 || code === 0xd1) return { kind: 'fields', fields: readMap(reader, code) };
  const value = readScalar(reader, code);
  if (typeof value === 'string') return { kind: 'text', text: value };
  if (value instanceof Uint8Array) return { kind: 'bytes', bytes: value, contentType: undefined };
  if (value === null) return { kind: 'text', text: '' };
  throw new DecodeError('message is neither a map nor text');
}

function readBinary(reader: ByteReader): Uint8Array {
  const value = readScalar(reader, reader.u8());
  if (!(value instanceof Uint8Array)) throw new DecodeError('data section is not binary');
  return value;
}

/** Size and count of a list or map; the size is checked against the body by taking it. */
function readCompound(reader: ByteReader, code: number): { inner: ByteReader; count: number } {
  const wide = code >> 4 === 0xd;
  const inner = new ByteReader(reader.take(wide ? reader.u32() : reader.u8()));
  return { inner, count: wide ? inner.u32() : inner.u8() };
}

function readMap(reader: ByteReader, code: number): Fields {
  const { inner, count } = readCompound(reader, code);
  if (count % 2 !== 0) throw new DecodeError('map has a name without value');
  const fields = new Map<string, FieldValue>();
  for (let i = 0; i < count; i += 2) {
    const name = readScalar(inner, inner.u8());
    const value = readScalar(inner, inner.u8());
    if (typeof name !== 'string') throw new DecodeError('map has a name that is not text');
    putField(fields, name, value);
  }
  if (inner.remaining > 0) throw new DecodeError('bytes are left over after the map');
  return fields;
}

function readContentType(reader: ByteReader): string | undefined {
  const code = reader.u8();
  if (code === 0x45) return undefined; // list of nothing
  if (code !== 0xc0 && code !== 0xd0) throw new DecodeError('properties section is not a list');
  const { inner, count } = readCompound(reader, code);
  for (let i = 0; i < count; i++) {
    const value = readScalar(inner, inner.u8());
    if (i === CONTENT_TYPE_AT) return typeof value === 'string' ? value : undefined;
  }
  return undefined;
}

/** One value. Lists, maps, arrays and described values are passed over and give `undefined`. */
function readScalar(reader: ByteReader, code: number): FieldValue {
  switch (code) {
    case 0x40:
      return null;
    case 0x41:
      return true;
    case 0x42:
      return false;
    case 0x43:
      return 0;
    case 0x44:
      return 0n;
    case 0x50:
    case 0x52:
      return reader.u8();
    case 0x51:
    case 0x54:
      return reader.i8();
    case 0x53:
      return BigInt(reader.u8());
    case 0x55:
      return BigInt(reader.i8());
    case 0x56:
      return reader.u8() !== 0;
    case 0x60:
      return reader.u16();
    case 0x61:
      return reader.i16();
    case 0x70:
      return reader.u32();
    case 0x71:
      return reader.i32();
    case 0x72:
      return reader.f32();
    case 0x80:
      return reader.u64();
    case 0x81:
    case 0x83: // timestamp: epoch milliseconds
      return reader.i64();
    case 0x82:
      return reader.f64();
    case 0xa0:
      return reader.take(reader.u8());
    case 0xb0:
      return reader.take(reader.u32());
    case 0xa1:
    case 0xa3:
      return utf8Text(reader.take(reader.u8()));
    case 0xb1:
    case 0xb3:
      return utf8Text(reader.take(reader.u32()));
    default:
      skipValue(reader, code, 0);
      return undefined;
  }
}

/** Every constructor's high nibble tells its width (AMQP 1.0 part 1, section 1.2). */
function skipValue(reader: ByteReader, code: number, depth: number): void {
  if (depth > MAX_DEPTH) throw new DecodeError('message is nested too deeply');
  const width = code >> 4;
  if (code === 0x00) {
    skipValue(reader, reader.u8(), depth + 1); // descriptor
    skipValue(reader, reader.u8(), depth + 1);
  } else if (width === 0x4) {
    // the value is in the constructor
  } else if (width >= 0x5 && width <= 0x9) reader.skip(2 ** (width - 5));
  else if (width === 0xa || width === 0xc || width === 0xe) reader.skip(reader.u8());
  else if (width === 0xb || width === 0xd || width === 0xf) reader.skip(reader.u32());
  else throw new DecodeError('message has a value of unknown type');
}
