import type { HttpAnswer } from '../net/http-client.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value, or undefined when the text is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** The first value of an answer's header field. */
export function headerOf(headers: HttpAnswer['headers'], name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
}

/** Whether the answer says that it is JSON (RFC 8259, or a `+json` type), whatever its parameters. */
export function saysJson(headers: HttpAnswer['headers']): boolean {
  const type = headerOf(headers, 'content-type')?.split(';')[0]?.trim().toLowerCase() ?? '';
  return type === 'application/json' || type.endsWith('+json');
}

/** What a status that is not 200 means, for the log. */
export function statusReason(status: number): string {
  if (status === 401) return 'HTTP 401: the user name or password is refused';
  if (status === 403) return 'HTTP 403: this user may not read it';
  if (status >= 300 && status < 400) return `HTTP ${status}: redirects are not followed`;
  return `HTTP ${status}`;
}

/** Text from the other side, made fit for an error message: printable ASCII, at most 200 characters. */
export function quoted(text: unknown): string {
  if (typeof text !== 'string' || text === '') return 'no reason given';
  return text.slice(0, 200).replaceAll(/[^\x20-\x7e]/g, '?');
}
