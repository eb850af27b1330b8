/** A parsed JSON object. Read its members with {@link member}: names come from outside. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Levels of nesting that a header, claim set, key set or introspection answer may have. */
const MAX_DEPTH = 16;

const QUOTE = 0x22;
const COLON = 0x3a;
const ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const ARRAY_END = 0x5d;
const OBJECT = 0x7b;
const OBJECT_END = 0x7d;
/** RFC 8259 section 2. */
const WHITE_SPACE: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);

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
  /** Names so far of each object that is open; of an array there are none. */
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case OBJECT:
        if (open.push(new Set()) > MAX_DEPTH) return false;
        break;
      case ARRAY:
        if (open.push(undefined) > MAX_DEPTH) return false;
        break;
      case OBJECT_END:
      case ARRAY_END:
        open.pop();
        break;
      case QUOTE: {
        const end = endOfString(text, at);
        // Of a valid text, a string before a colon is a name, and nothing else stands there.
        if (isBeforeColon(text, end)) {
          const names = open.at(-1);
          const name = unescaped(text.slice(at, end));
          if (names === undefined || names.has(name)) return false;
          names.add(name);
        }
        at = end - 1;
        break;
      }
    }
  }
  return true;
}

/** Behind the closing quote of the string that begins at `begin`. */
function endOfString(text: string, begin: number): number {
  for (let at = begin + 1; ; at++) {
    const character = text.charCodeAt(at);
    if (character === BACKSLASH) at++;
    // There is a quote in every valid text; without one the end of the text ends it.
    else if (character === QUOTE || at >= text.length) return at + 1;
  }
}

function isBeforeColon(text: string, from: number): boolean {
  let at = from;
  while (WHITE_SPACE.has(text.charCodeAt(at))) at++;
  return text.charCodeAt(at) === COLON;
}

/** @param quoted a string with its quotes */
function unescaped(quoted: string): string {
  return quoted.includes('\\') ? String(JSON.parse(quoted)) : quoted.slice(1, -1);
}
