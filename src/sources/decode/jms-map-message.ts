import {
  ByteReader,
  DecodeError,
  putField,
  utf8Text,
  type Fields,
  type FieldValue,
} from './byte-reader.ts';

/**
 * Reads `jms/map-message`: the older MapMessage of the Qpid and Andes JMS clients (`use_legacy_map_msg_format='true'`).
 * @throws DecodeError when anything is missing, left over or unknown.
 */
export function readJmsMapMessage(body: Uint8Array): Fields {
  const reader = new ByteReader(body);
  const fields = new Map<string, FieldValue>();
  const count = reader.i32();
  if (count < 0) throw new DecodeError('map has a negative number of entries');
  for (let i = 0; i < count; i++) {
    const name = utf8Text(reader.takeToNul());
    putField(fields, name, readValue(reader));
  }
  if (reader.remaining > 0) throw new DecodeError('bytes are left over after the map');
  return fields;
}

function readValue(reader: ByteReader): FieldValue {
  switch (reader.u8()) {
    case 1:
      return reader.u8() !== 0;
    case 2:
      return reader.i8();
    case 3: {
      const length = reader.i32();
      return length === -1 ? null : reader.take(length);
    }
    case 4:
      return reader.i16();
    case 5:
      return String.fromCharCode(reader.u16());
    case 6:
      return reader.i32();
    case 7:
      return reader.i64();
    case 8:
      return reader.f32();
    case 9:
      return reader.f64();
    case 10:
      return utf8Text(reader.takeToNul());
    case 11:
      return null;
    default:
      throw new DecodeError('map has a value of unknown type');
  }
}
