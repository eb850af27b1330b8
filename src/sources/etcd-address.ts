import { OperatorError } from '../errors.ts';
import type { HttpClient } from '../net/http-client.ts';
import { isJsonObject, parseJson, statusReason } from './json-answer.ts';
import { parseSourceAddress, percentDecoded, type SourceCredentials } from './source-address.ts';

/** One etcd cluster as its URLs say. */
export interface EtcdAddress {
  /** Where each endpoint's API begins, no slash at the end. At least one. */
  readonly bases: readonly string[];
  /** Undefined: `/version` decides. */
  readonly api: 'v2' | 'v3' | undefined;
  /** Where revoked tokens are kept, without slashes at its ends: `jti`. Empty: the whole store. */
  readonly directory: string;
  readonly credentials: SourceCredentials | undefined;
}

/**
 * Reads one or several etcd URLs (a list, or separated by commas): `<endpoint>/v2/keys/<dir>/` means API v2,
 * `<endpoint>/v3/keys/<dir>/` API v3 with key prefix `<dir>/`, and `<endpoint>/<dir>/` leaves the choice to the server. Endpoints without a
 * path take the one of the others.
 * @throws OperatorError for anything else, or when endpoints disagree
 */
export function parseEtcdAddress(urls: string | readonly string[], source: string): EtcdAddress {
  const texts = (typeof urls === 'string' ? [urls] : urls)
    .flatMap((text) => text.split(','))
    .map((text) => text.trim())
    .filter((text) => text !== '');
  const places = texts.map((text) => parsePlace(text, source));
  const withPath = places.filter(({ path }) => path !== '');
  const place = withPath[0] ?? places[0];
  if (place === undefined)
    throw new OperatorError('ERR_SOURCE_ADDRESS', `source ${source}: it has no address`);
  if (withPath.some(({ path }) => path !== place.path))
    throw new OperatorError(
      'ERR_SOURCE_ADDRESS',
      `source ${source}: its endpoints have different paths`,
    );
  return {
    bases: places.map(({ origin }) => origin + place.base),
    api: place.api,
    directory: place.directory,
    credentials: places.find(({ credentials }) => credentials !== undefined)?.credentials,
  };
}

function parsePlace(text: string, source: string) {
  const { url, credentials } = parseSourceAddress(text, source);
  const path = url.pathname.replace(/\/+$/, '');
  const [, base, version, rest] = /^(.*?)\/v([23])\/keys(?:\/(.*))?$/.exec(path) ?? [];
  const directory = (version === undefined ? path : (rest ?? ''))
    .split('/')
    .filter((segment) => segment !== '')
    .map(percentDecoded)
    .join('/');
  return {
    origin: url.origin,
    path,
    base: base ?? '',
    api: version === undefined ? undefined : (`v${version}` as 'v2' | 'v3'),
    directory,
    credentials,
  };
}

/** What `GET /version` says of one endpoint. */
export interface EtcdVersion {
  /** The API to use where the URL leaves it open. */
  readonly api: 'v2' | 'v3';
  /** Where the JSON gateway of API v3 is: `/v3`, `/v3beta` or `/v3alpha`. */
  readonly gateway: string;
}

/** Asks an endpoint which etcd it is. Rejects when it is none, or cannot be reached. */
export async function readEtcdVersion(
  http: HttpClient,
  base: string,
  signal?: AbortSignal,
): Promise<EtcdVersion> {
  const answer = await http.request({
    method: 'GET',
    url: `${base}/version`,
    maxBytes: 65_536,
    ...(signal && { signal }),
  });
  if (answer.status !== 200) throw new Error(`etcd's /version: ${statusReason(answer.status)}`);
  const body = parseJson(answer.body);
  const version = isJsonObject(body) ? body['etcdserver'] : undefined;
  const [, majorText, minorText] = /^(\d{1,4})\.(\d{1,4})\./.exec(String(version)) ?? [];
  if (majorText === undefined || minorText === undefined)
    throw new Error("etcd's /version: the answer is not etcd's");
  const [major, minor] = [Number(majorText), Number(minorText)];
  if (major < 3) return { api: 'v2', gateway: '/v3alpha' };
  if (major > 3 || minor >= 4) return { api: 'v3', gateway: '/v3' };
  return { api: 'v3', gateway: minor === 3 ? '/v3beta' : '/v3alpha' };
}
