/** A parsed JSON object. Read its members with {@link member}: names come from outside. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Levels of nesting that a header, claim set, key set or introspection answer may have. */
const MAX_DEPTH = 16;

/** Strings and structure of a text that is known to be JSON: everything between them is numbers, literals and white space. */
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses one JSON object (RFC 8259) with no room for two readings: valid UTF-8 without byte order mark, no member twice at any level
 * (RFC 7515 section 4, RFC 7519 section 4: parsers differ in which they keep), bounded depth. Undefined for anything else. The caller
 * bounds the size.
 */
export function parseJsonObject(bytes: Uint8Array): JsonObject | undefined {
  let value: unknown;
  try {
    const text = utf8.decode(bytes);
    value = JSON.parse(text);
    if (!isJsonObject(value) || !isUnambiguous(text)) return undefined;
  } catch {
    return undefined;
  }
  return value;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An own member: never something inherited, whatever its name is. */
export function member(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/** False when an object in this valid JSON text names a member twice (compared after unescaping), or it is nested too deeply. */
function isUnambiguous(text: string): boolean {
  const open: (Set<string> | undefined)[] = [];
  let latest = '';
  for (const [token] of text.matchAll(TOKENS)) {
    switch (token) {
      case '{':
      case '[':
        if (open.push(token === '{' ? new Set() : undefined) > MAX_DEPTH) return false;
        break;
      case '}':
      case ']':
        open.pop();
        break;
      case ':': {
        const names = open.at(-1);
        const name: unknown = JSON.parse(latest);
        if (typeof name !== 'string' || names === undefined || names.has(name)) return false;
        names.add(name);
        break;
      }
      default:
        latest = token;
    }
  }
  return true;
}
