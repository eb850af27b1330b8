import {
  ByteReader,
  DecodeError,
  putField,
  utf8Text,
  type Fields,
  type FieldValue,
} from './byte-reader.ts';

/** Type codes of AMQP 0-10 (transitory draft, section 3.3) that revocation events are made of. */
const INT32 = 0x21;
const INT64 = 0x31;
const STR16 = 0x95;
/** Andes' own addition; Apache's decoder does not know it. */
const STR32 = 0x98;

/**
 * Reads an AMQP 0-10 map (`amqp/map`): what Apache Qpid's and WSO2 Andes' JMS clients make of a MapMessage.
 * @throws DecodeError when anything is missing, left over or unknown.
 */
export function readAmqpMap(body: Uint8Array): Fields {
  const reader = new ByteReader(body);
  const fields = new Map<string, FieldValue>();
  if (reader.u32() !== reader.remaining) throw new DecodeError('map size and body size differ');
  if (reader.remaining === 0) return fields; // a null map
  const count = reader.u32();
  for (let i = 0; i < count; i++) {
    const name = utf8Text(reader.take(reader.u8()));
    putField(fields, name, readValue(reader, reader.u8()));
  }
  if (reader.remaining > 0) throw new DecodeError('bytes are left over after the map');
  return fields;
}

function readValue(reader: ByteReader, code: number): FieldValue {
  switch (code) {
    case 0x00:
    case 0x02:
      return reader.u8();
    case 0x01:
      return reader.i8();
    case 0x04: // Java's Character: its low byte only
      return String.fromCharCode(reader.u8());
    case 0x08:
      return reader.u8() !== 0;
    case 0x10:
    case 0x12:
      return reader.u16();
    case 0x11:
      return reader.i16();
    case 0x20:
    case 0x22:
      return reader.u32();
    case INT32:
      return reader.i32();
    case 0x23:
      return reader.f32();
    case 0x30:
    case 0x32:
    case 0x38:
      return reader.u64();
    case INT64:
      return reader.i64();
    case 0x33:
      return reader.f64();
    case 0x85:
      return utf8Text(reader.take(reader.u8()));
    case STR16:
      return utf8Text(reader.take(reader.u16()));
    case STR32:
      return utf8Text(reader.take(reader.u32()));
    case 0x84:
      return latin1(reader.take(reader.u8()));
    case 0x94:
      return latin1(reader.take(reader.u16()));
    case 0x86:
      return utf16(reader.take(reader.u8()));
    case 0x96:
      return utf16(reader.take(reader.u16()));
    case 0x97: // Andes' specification files disagree on which of the two is meant
    case 0x99:
      return utf16(reader.take(reader.u32()));
    case 0x80:
      return reader.take(reader.u8());
    case 0x90:
      return reader.take(reader.u16());
    case 0xa0:
      return reader.take(reader.u32());
    case 0xf0:
      return null;
    default:
      skipValue(reader, code);
      return undefined;
  }
}

/** Every code's high nibble tells its width, so that types we have no use for can be passed over. */
function skipValue(reader: ByteReader, code: number): void {
  const width = code >> 4;
  if (width <= 7) reader.skip(2 ** width);
  else if (width === 0x8) reader.skip(reader.u8());
  else if (width === 0x9) reader.skip(reader.u16());
  else if (width === 0xa) reader.skip(reader.u32());
  else if (width === 0xc) reader.skip(5);
  else if (width === 0xd) reader.skip(9);
  else if (width !== 0xf) throw new DecodeError('map has a value of unknown type');
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

function utf16(bytes: Uint8Array): string {
  if (bytes.length % 2 !== 0) throw new DecodeError('text is not valid UTF-16');
  return Buffer.from(bytes).swap16().toString('utf16le');
}

/** A value to put into a map: a string, a Java `int`, or (bigint) a Java `long`. */
export type AmqpMapValue = string | number | bigint;

/**
 * Writes an AMQP 0-10 map. Strings are `str16` (0x95): Apache's decoders know nothing else, and Andes' still read it beside their own
 * `str32` (0x98).
 * @throws RangeError when a name or a string is longer than its length field can say, or a number is not a Java `int`.
 */
export function writeAmqpMap(fields: ReadonlyMap<string, AmqpMapValue>): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of fields) {
    const key = Buffer.from(name, 'utf8');
    const length = Buffer.alloc(1);
    length.writeUInt8(key.length);
    parts.push(length, key, encodeValue(value));
  }
  const content = Buffer.concat(parts);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(content.length + 4, 0);
  head.writeUInt32BE(fields.size, 4);
  return Buffer.concat([head, content]);
}

function encodeValue(value: AmqpMapValue): Buffer {
  if (typeof value === 'string') {
    const text = Buffer.from(value, 'utf8');
    const head = Buffer.alloc(3);
    head.writeUInt8(STR16, 0);
    head.writeUInt16BE(text.length, 1);
    return Buffer.concat([head, text]);
  }
  if (typeof value === 'bigint') {
    const encoded = Buffer.alloc(9);
    encoded.writeUInt8(INT64, 0);
    encoded.writeBigInt64BE(value, 1);
    return encoded;
  }
  const encoded = Buffer.alloc(5);
  encoded.writeUInt8(INT32, 0);
  encoded.writeInt32BE(value, 1);
  return encoded;
}
