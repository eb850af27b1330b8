import { OperatorError } from '../errors.ts';

/** Name and password for HTTP Basic, or for etcd's own log-in. */
export interface SourceCredentials {
  readonly username: string;
  readonly password: string;
}

/** Where a source is, without the secrets that the text may have held. */
export interface SourceAddress {
  /** No userinfo, no fragment. */
  readonly url: URL;
  /** From the URL's userinfo, if it has any. */
  readonly credentials: SourceCredentials | undefined;
}

/**
 * Reads the address of a source. Userinfo in it becomes credentials.
 * @throws OperatorError that does not repeat the text, because it may hold a password
 */
export function parseSourceAddress(text: string, source: string): SourceAddress {
  if (!URL.canParse(text))
    throw new OperatorError('ERR_SOURCE_ADDRESS', `source ${source}: its address is no URL`);
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new OperatorError(
      'ERR_SOURCE_ADDRESS',
      `source ${source}: its address begins with ${url.protocol}// instead of https:// or http://`,
    );
  const { username, password } = url;
  url.username = '';
  url.password = '';
  url.hash = '';
  return {
    url,
    credentials:
      username === ''
        ? undefined
        : { username: percentDecoded(username), password: percentDecoded(password) },
  };
}

/** Value of an `Authorization` field (RFC 7617, UTF-8). */
export function basicAuthorization({ username, password }: SourceCredentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** True for `localhost` and the loopback addresses: what never leaves the machine. */
export function isLoopback(url: URL): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(url.hostname);
}

/** As `decodeURIComponent`; text that is not percent-encoded UTF-8 stays as it is. */
export function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
