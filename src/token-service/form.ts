import type { IncomingMessage } from 'node:http';
import { invalidRequest, OAuthError } from './oauth-error.ts';

const MAX_BODY_BYTES = 64 * 1024;
const MAX_PARAMETERS = 32;

/** Request parameters, each once and none empty (RFC 6749 section 3.1: a parameter without a value counts as left out). */
export type Form = ReadonlyMap<string, string>;

/**
 * Reads an `application/x-www-form-urlencoded` body, bounded in bytes and parameters. Rejects with OAuthError: 400 for another media type,
 * a parameter given twice or bytes that are no text, 413 for too much. How long it may take is the server's `requestTimeout`.
 */
export async function readForm(request: IncomingMessage): Promise<Form> {
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/x-www-form-urlencoded') {
    throw invalidRequest('The body must be application/x-www-form-urlencoded');
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) {
      throw new OAuthError(413, 'invalid_request', 'The body is too large', {
        headers: { Connection: 'close' },
      });
    }
    chunks.push(chunk);
  }
  return parametersOf(Buffer.concat(chunks));
}

function parametersOf(body: Buffer): Form {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch (error) {
    throw new OAuthError(400, 'invalid_request', 'The body is not UTF-8', { cause: error });
  }
  const form = new Map<string, string>();
  const seen = new Set<string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (seen.has(name)) throw invalidRequest('A parameter is given more than once');
    seen.add(name);
    if (seen.size > MAX_PARAMETERS) throw invalidRequest('There are too many parameters');
    if (value !== '') form.set(name, value);
  }
  return form;
}
