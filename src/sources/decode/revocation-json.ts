import { DecodeError, putField, type Fields, type FieldValue } from './byte-reader.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/**
 * The fields of a revocation event in JSON, in any of its three shapes: bare (`{"revokedToken":...}`), WSO2's
 * (`{"event":{"payloadData":{...}}}`) and XStream's map (`{"map":{"entry":[...]}}`).
 * @throws DecodeError for any other text.
 */
export function fieldsOfJson(text: string): Fields {
  if (text.trim() === '') throw new DecodeError('body is empty');
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new DecodeError('text is not JSON');
  }
  if (!isObject(parsed)) throw new DecodeError('JSON is not an object');
  const event = own(parsed, 'event');
  if (isObject(event) && Object.hasOwn(event, 'payloadData')) {
    const payload = own(event, 'payloadData');
    if (Array.isArray(payload))
      throw new DecodeError('event is a stream definition, not a message');
    if (!isObject(payload)) throw new DecodeError('payloadData of the event is not an object');
    return fieldsOfObject(payload);
  }
  const map = own(parsed, 'map');
  if (isObject(map) && !Object.hasOwn(parsed, 'revokedToken')) return fieldsOfXstream(map);
  return fieldsOfObject(parsed);
}

function fieldsOfObject(object: JsonObject): Fields {
  const fields = new Map<string, FieldValue>();
  for (const [name, value] of Object.entries(object)) putField(fields, name, scalar(value));
  return fields;
}

/** `{"string":[name,value]}` for strings, `{"string":name,"long":value}` for the rest; a single entry stands without its array. */
function fieldsOfXstream(map: JsonObject): Fields {
  const entry = own(map, 'entry');
  const fields = new Map<string, FieldValue>();
  if (entry === undefined || entry === '') return fields;
  for (const each of Array.isArray(entry) ? (entry as unknown[]) : [entry]) {
    if (!isObject(each)) throw new DecodeError('map has an entry that is not an object');
    const names = own(each, 'string');
    if (Array.isArray(names)) {
      const [name, value] = names as unknown[];
      putField(fields, String(scalar(name)), scalar(value));
      continue;
    }
    const value = Object.entries(each).find(([key]) => key !== 'string');
    putField(fields, String(scalar(names)), scalar(value?.[1]));
  }
  return fields;
}

function scalar(value: unknown): FieldValue {
  if (value === null) return null;
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return value;
  return undefined;
}

function own(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
