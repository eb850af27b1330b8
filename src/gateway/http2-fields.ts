import { GatewayFault } from '../errors.ts';

/** A field name of HTTP/2: a token without upper case (RFC 9113 section 8.2). */
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

/** A field value: no control but a tab, no blank at either end (RFC 9113 section 8.2.1). */
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;

/** Of HTTP/1.1 alone: where a message ends, and what becomes of the connection (RFC 9113 section 8.2.2). */
export const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

const PSEUDO: ReadonlySet<string> = new Set([':method', ':scheme', ':path', ':authority']);

const COLON = 0x3a;

/**
 * Checks the fields of a request of HTTP/2 before any of it becomes HTTP/1.1 (RFC 9113 sections 8.2, 8.3, 10.3). What reads HTTP/2 does so
 * too: two have to be wrong before bytes of a field could be taken for more than a field.
 * @param fields name and value, alternating, in the order in which they came
 * @throws GatewayFault `badRequest`
 */
export function checkHttp2Fields(fields: readonly string[]): void {
  const pseudo = new Set<string>();
  let regular = false;
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] ?? '';
    const value = fields[index + 1] ?? '';
    if (!VALUE.test(value)) throw malformed('a field value that HTTP/2 does not allow');
    if (name.charCodeAt(0) === COLON) {
      if (regular) throw malformed('a pseudo field after another field');
      if (!PSEUDO.has(name)) throw malformed('an unknown pseudo field');
      if (pseudo.has(name)) throw malformed('a pseudo field twice');
      if (name === ':scheme' && value !== 'https' && value !== 'http') {
        throw malformed('neither http nor https');
      }
      pseudo.add(name);
    } else {
      regular = true;
      if (!NAME.test(name)) throw malformed('a field name that HTTP/2 does not allow');
      if (CONNECTION_SPECIFIC.has(name) || (name === 'te' && value !== 'trailers')) {
        throw malformed('a field that belongs to a connection of HTTP/1.1');
      }
    }
  }
  if (!pseudo.has(':method') || !pseudo.has(':scheme') || !pseudo.has(':path')) {
    throw malformed('a pseudo field is missing');
  }
}

function malformed(detail: string): GatewayFault {
  return new GatewayFault('badRequest', detail);
}
