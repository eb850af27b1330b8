import { gunzipSync } from 'node:zlib';
import { isAmqp10, readAmqp10 } from './amqp10.ts';
import { readAmqpMap } from './amqp-map.ts';
import { DecodeError, type Fields } from './byte-reader.ts';
import { readJmsMapMessage } from './jms-map-message.ts';
import { isJavaStream, readRabbitmqJms } from './rabbitmq-jms.ts';
import { readFields, type RevocationReading } from './revocation-fields.ts';
import { fieldsOfJson } from './revocation-json.ts';

/** A message of a revocation topic, with what its broker says about the body. */
export interface TopicMessage {
  readonly body: Uint8Array;
  /** AMQP `content-type`; parameters allowed. */
  readonly contentType?: string | undefined;
  /** AMQP `content-encoding`: `gzip`, or the charset of a JMS TextMessage. */
  readonly contentEncoding?: string | undefined;
  /** AMQP `type`: RabbitMQ writes `amqp-1.0` for what came in over AMQP 1.0. */
  readonly type?: string | undefined;
}

/** A revocation event is some hundred bytes; a body larger than this, packed or unpacked, is none. */
export const MAX_BODY_BYTES = 64 * 1024;

/** Keeps nothing between two calls that are not streaming. */
const UTF8 = new TextDecoder('utf-8', { fatal: true });

const GZIP_NAMES: ReadonlySet<string> = new Set(['gzip', 'x-gzip']);

/**
 * Reads one message in any of the forms that WSO2's, Qpid's and RabbitMQ's publishers send. Never throws: what cannot be read is a drop
 * with a fixed phrase for a reason. Bounded in time and memory by {@link MAX_BODY_BYTES}.
 */
export function readRevocationMessage(message: TopicMessage): RevocationReading {
  try {
    return readFields(fieldsOf(unpacked(message)));
  } catch (error) {
    if (error instanceof DecodeError) return { kind: 'drop', reason: error.message, reload: false };
    return { kind: 'drop', reason: 'message could not be read', reload: false };
  }
}

function unpacked(message: TopicMessage): TopicMessage {
  if (message.body.length > MAX_BODY_BYTES) throw new DecodeError('body is too large');
  const encoding = message.contentEncoding?.trim().toLowerCase();
  if (encoding === undefined || !GZIP_NAMES.has(encoding)) return message;
  return { ...message, body: gunzip(message.body), contentEncoding: undefined };
}

function gunzip(body: Uint8Array): Uint8Array {
  try {
    return gunzipSync(body, { maxOutputLength: MAX_BODY_BYTES });
  } catch {
    throw new DecodeError('body is not valid gzip, or too large when unpacked');
  }
}

function fieldsOf(message: TopicMessage): Fields {
  if (message.type?.toLowerCase() === 'amqp-1.0') return fieldsOfAmqp10(message);
  return fieldsByContentType(message);
}

function fieldsOfAmqp10(message: TopicMessage): Fields {
  const read = readAmqp10(message.body);
  if (read.kind === 'fields') return read.fields;
  if (read.kind === 'text') return fieldsOfJson(read.text);
  // A 0-9-1 body that crossed an AMQP 1.0 hop: not unpacked a second time, so that nothing nests without end.
  return fieldsByContentType({
    body: read.bytes,
    contentType: read.contentType ?? message.contentType,
  });
}

function fieldsByContentType({ body, contentType, contentEncoding }: TopicMessage): Fields {
  const [type = '', ...parameters] = (contentType ?? '').split(';');
  const name = type.trim().toLowerCase();
  switch (name) {
    case 'amqp/map':
    case 'amqp-0-10/map':
      return readAmqpMap(body);
    case 'jms/map-message':
      return readJmsMapMessage(body);
    case 'jms/stream-message':
    case 'amqp/list':
    case 'amqp-0-10/list':
      throw new DecodeError('stream messages have no named fields');
    case 'application/java-object-stream':
    case 'application/x-java-serialized-object':
      throw new DecodeError('Java object messages are not accepted');
    default:
      if (name.startsWith('text/') || name === 'application/json' || name.endsWith('+json'))
        return fieldsOfJson(decodeText(body, charset(parameters) ?? contentEncoding));
      return sniffedFields(body);
  }
}

/** A body without a telling content-type. */
function sniffedFields(body: Uint8Array): Fields {
  if (isJavaStream(body)) {
    const read = readRabbitmqJms(body);
    if (read.kind === 'fields') return read.fields;
    return fieldsOfJson(read.kind === 'text' ? read.text : decodeText(read.bytes));
  }
  if (isAmqp10(body)) {
    const read = readAmqp10(body);
    if (read.kind === 'fields') return read.fields;
    return fieldsOfJson(read.kind === 'text' ? read.text : decodeText(read.bytes));
  }
  if (body.length === 0) throw new DecodeError('body is empty');
  return fieldsOfJson(decodeText(body));
}

function charset(parameters: readonly string[]): string | undefined {
  for (const parameter of parameters) {
    const [name, value] = parameter.split('=', 2);
    if (name?.trim().toLowerCase() === 'charset') return value?.trim().replaceAll('"', '');
  }
  return undefined;
}

/** UTF-8 unless said otherwise; never with replacement characters, which would make another token of it. */
function decodeText(body: Uint8Array, label = ''): string {
  const decoder = label.trim() === '' ? UTF8 : textDecoder(label);
  try {
    return decoder.decode(body);
  } catch {
    throw new DecodeError('text is not valid in its character set');
  }
}

function textDecoder(label: string): InstanceType<typeof TextDecoder> {
  try {
    return new TextDecoder(label, { fatal: true });
  } catch {
    throw new DecodeError('content-encoding is not one that is understood');
  }
}
