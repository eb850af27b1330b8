import type { IncomingMessage } from 'node:http';
import { ApiRefusal } from '../errors.ts';
import { type JsonObject, parseJsonObject } from '../strict-json.ts';

/** Bytes of a request body. */
const MAX_BODY_BYTES = 64 * 1024;

/** JSON is UTF-8 (RFC 8259 section 8.1). */
const OTHER_CHARSET = /;\s*charset\s*=\s*(?!"?utf-8\b)/i;

/**
 * Reads a body: one JSON object, bounded, with no room for two readings. How long it may take is the server's `requestTimeout`. Nothing of
 * it is in any message. No body at all counts as an object without members.
 * @throws ApiRefusal unsupported_media_type, body_too_large, malformed_body
 */
export async function readJsonBody(request: IncomingMessage): Promise<JsonObject> {
  const { headers } = request;
  // Nobody need say of what type nothing is: whoever reads it says what is missing.
  const isEmpty =
    headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
  if (isEmpty && headers['content-type'] === undefined) return {};
  // Also what keeps a form of a foreign page out: a browser asks before it sends this type, and is refused.
  const [type = ''] = (headers['content-type'] ?? '').split(';', 1);
  const isPlain =
    headers['content-encoding'] === undefined && !OTHER_CHARSET.test(headers['content-type'] ?? '');
  if (type.trim().toLowerCase() !== 'application/json' || !isPlain)
    throw new ApiRefusal(
      'unsupported_media_type',
      'the body must be application/json, in UTF-8 and not compressed',
    );
  if (Number(headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  const body = parseJsonObject(Buffer.concat(chunks));
  if (body === undefined)
    throw new ApiRefusal(
      'malformed_body',
      'the body must be one JSON object in UTF-8, with no member twice and at most 16 levels deep',
    );
  return body;
}

/** Bytes of a refused body that are still taken. */
const MAX_DISCARDED_BYTES = 2 * 1024 * 1024;

/**
 * Takes what is left of a body that is refused, within bounds: whoever is still sending would lose the answer with the connection. What is
 * larger goes with the connection all the same. Never rejects.
 */
export async function discardBody(request: IncomingMessage): Promise<void> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_DISCARDED_BYTES) return;
  let size = 0;
  try {
    const rest = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    for await (const chunk of rest) {
      size += chunk.length;
      if (size > MAX_DISCARDED_BYTES) return;
    }
  } catch {
    // It broke: there is nobody left to answer.
  }
}

function tooLarge(): ApiRefusal {
  return new ApiRefusal('body_too_large', `the body is larger than ${MAX_BODY_BYTES} bytes`);
}

/**
 * How a name from outside is written into a message or as `field`: bounded, and in one line.
 */
export function shownName(name: string): string {
  const text = name.toWellFormed().replace(/[\p{C}\p{Z}]/gu, '\uFFFD');
  return text.length > 64 ? `${text.slice(0, 63).toWellFormed()}…` : text;
}
