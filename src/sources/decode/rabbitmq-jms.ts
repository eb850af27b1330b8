import { DecodeError, putField, utf8Text, type Fields, type FieldValue } from './byte-reader.ts';
import { JavaStream } from './java-stream.ts';

/** What a message of RabbitMQ's JMS client holds. */
export type RabbitmqJmsBody =
  | { readonly kind: 'fields'; readonly fields: Fields }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array };

const PACKAGE = 'com.rabbitmq.jms.client.message.';
const MAX_PROPERTIES = 1000;
/** Tag of a value that is a serialised object, at its place in the stream. */
const OBJECT = 0x7f;

/** True when a body begins as RabbitMQ's JMS client begins every message: Java's magic number and version. */
export function isJavaStream(body: Uint8Array): boolean {
  return body[0] === 0xac && body[1] === 0xed && body[2] === 0x00 && body[3] === 0x05;
}

/**
 * Reads a message of a JMS (not AMQP-mode) destination of RabbitMQ's JMS client: class name, id, two maps of properties, body.
 * @throws DecodeError for anything else, stream and object messages included.
 */
export function readRabbitmqJms(body: Uint8Array): RabbitmqJmsBody {
  const stream = new JavaStream(body);
  const className = stream.utf();
  if (!className.startsWith(PACKAGE)) throw new DecodeError('Java stream is not a JMS message');
  stream.utf(); // the client's own message id
  skipProperties(stream); // rmq.*: its destination is a serialised object
  skipProperties(stream); // the sender's own
  switch (className.slice(PACKAGE.length)) {
    case 'RMQMapMessage':
      return { kind: 'fields', fields: readMap(stream) };
    case 'RMQTextMessage':
      if (stream.u8() !== 0) return { kind: 'text', text: '' };
      return { kind: 'text', text: utf8Text(stream.bytes(stream.i32())) };
    case 'RMQBytesMessage':
      return { kind: 'bytes', bytes: stream.rest() };
    default:
      throw new DecodeError('JMS message is neither a map nor text');
  }
}

function skipProperties(stream: JavaStream): void {
  const count = stream.i32();
  if (count < 0 || count > MAX_PROPERTIES) throw new DecodeError('message has too many properties');
  for (let i = 0; i < count; i++) {
    stream.utf();
    readValue(stream);
  }
}

function readMap(stream: JavaStream): Fields {
  const fields = new Map<string, FieldValue>();
  const count = stream.i32();
  if (count < 0) throw new DecodeError('map has a negative number of entries');
  for (let i = 0; i < count; i++) {
    const name = stream.utf();
    putField(fields, name, readValue(stream));
  }
  return fields;
}

function readValue(stream: JavaStream): FieldValue {
  switch (stream.u8()) {
    case 0xff:
      return null;
    case 1:
      return stream.u8() !== 0;
    case 2:
      return stream.i8();
    case 3:
      return stream.i16();
    case 4:
      return stream.i32();
    case 5:
      return stream.i64();
    case 6:
      return stream.f32();
    case 7:
      return stream.f64();
    case 8:
      return stream.utf();
    case 9:
      return String.fromCharCode(stream.u16());
    case 10:
      return stream.bytes(stream.i32());
    case OBJECT:
      stream.skipObject();
      return undefined;
    default:
      throw new DecodeError('map has a value of unknown type');
  }
}
