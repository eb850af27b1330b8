import { STATUS_CODES } from 'node:http';
import { API_REFUSALS, type ApiRefusal } from '../errors.ts';

/** Header fields of every answer: nothing is kept, guessed at, framed or run. There are none for other origins. */
export const ANSWER_FIELDS: Readonly<Record<string, string>> = {
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
};

/** The body of every refusal. */
export function refusalBody({ code, message, field }: ApiRefusal): string {
  return `${JSON.stringify({ code, message, ...(field === undefined ? {} : { field }) })}\n`;
}

/** A whole HTTP/1.1 response, for a connection on which there is no request to answer. */
export function refusalText(refusal: ApiRefusal): string {
  const status = API_REFUSALS[refusal.code];
  const body = refusalBody(refusal);
  const fields = Object.entries({
    ...ANSWER_FIELDS,
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${fields.join('')}\r\n${body}`;
}
