/** A parsed JSON or YAML mapping whose members are not known yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** One step per object key or array index, from the root of a document. */
export type JsonPath = readonly (string | number)[];

/** True for mappings, false for arrays, null and scalars. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An own member, or undefined: never one of `Object.prototype`. */
export function member(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}
