import type { Definition } from './definition.ts';
import { isSwagger2 } from './definition.ts';
import { isObject, member } from './json.ts';
import type { JsonObject, JsonPath } from './json.ts';
import type { Problems } from './problems.ts';

/**
 * Production endpoints that `servers` of an API, a path or an operation name (Swagger 2: `schemes`, `host` and `basePath`), or undefined
 * when they name none. A relative server has no host and is no endpoint.
 */
export function serverUrls(
  definition: Definition,
  path: JsonPath,
  holder: unknown,
  problems: Problems,
): string[] | undefined {
  if (isSwagger2(definition)) {
    return path.length === 0 ? swagger2Urls(definition, problems) : undefined;
  }
  const servers = member(holder, 'servers');
  if (!Array.isArray(servers)) return undefined;
  const urls: string[] = [];
  for (const [index, server] of servers.entries()) {
    const text = isObject(server) ? serverText(server) : '';
    if (text === '' || text.startsWith('/') || text.startsWith('.')) continue;
    const url = endpointUrl(definition, [...path, 'servers', index, 'url'], text, problems);
    if (url !== undefined) urls.push(url);
  }
  return withoutPlainTwins(definition, [...path, 'servers'], urls, problems);
}

/** The text of a server's URL, its variables replaced by their defaults (OpenAPI 3.1 section 4.8.5). */
export function serverText(server: JsonObject): string {
  const url = typeof server['url'] === 'string' ? server['url'] : '';
  return url.replaceAll(/\{([^{}]*)\}/g, (whole, name: string) => {
    const value = member(member(server['variables'], name), 'default');
    return typeof value === 'string' ? value : whole;
  });
}

/**
 * Checks one upstream URL.
 * @returns the URL without a trailing slash, or undefined when a problem was noted
 */
export function endpointUrl(
  definition: Definition,
  path: JsonPath,
  text: unknown,
  problems: Problems,
): string | undefined {
  const place = definition.at(path);
  if (typeof text === 'string' && /^\s*etcd\s*\(/i.test(text)) {
    if (/^\s*etcd\s*\([^,]+,[^,]+\)\s*$/i.test(text)) {
      problems.notBuilt(place, 'etcd (endpoints kept in etcd)', 'Write the URL itself.');
    } else {
      const message =
        "'etcd' key containing string should be provided as 'etcd (etcd_key, default_url)'";
      problems.invalid(
        place,
        message,
        'Write the URL itself: endpoints in etcd are not built yet.',
      );
    }
    return undefined;
  }
  const url = typeof text === 'string' ? URL.parse(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const shown = typeof text === 'string' ? withoutPassword(text) : JSON.stringify(text);
    const remedy = 'Write an absolute http or https URL.';
    problems.invalid(place, `Malformed Url is provided :${shown}`, remedy);
    return undefined;
  }
  const { username, password, search, hash } = url;
  if (`${username}${password}` !== '') {
    const remedy = 'Credentials do not belong into a definition: remove them.';
    problems.invalid(place, 'The endpoint URL holds a user name or password', remedy);
    return undefined;
  }
  if (`${search}${hash}` !== '' || /[{}]/.test(decodeBraces(url.pathname + url.host))) {
    const message = `Malformed Url is provided :${url.href}`;
    problems.invalid(place, message, 'Leave out query, fragment and unreplaced {variables}.');
    return undefined;
  }
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/** Swagger 2: no `schemes` means https, the one that keeps the traffic private. */
function swagger2Urls(definition: Definition, problems: Problems): string[] | undefined {
  const host = member(definition.document, 'host');
  if (typeof host !== 'string') return undefined;
  const listed = member(definition.document, 'schemes');
  const schemes = Array.isArray(listed) && listed.length > 0 ? listed : ['https'];
  const basePath = member(definition.document, 'basePath');
  const path = typeof basePath === 'string' ? basePath : '';
  const urls = schemes.flatMap((scheme: unknown) => {
    const text = `${String(scheme)}://${host}${path}`;
    const url = endpointUrl(definition, ['host'], text, problems);
    return url === undefined ? [] : [url];
  });
  return withoutPlainTwins(definition, ['schemes'], urls, problems);
}

/**
 * A server listed under both https and http is one server offered twice, and half of the calls must not go unencrypted for it. Plain
 * endpoints of the WSO2 extensions are explicit and stay.
 */
function withoutPlainTwins(
  definition: Definition,
  path: JsonPath,
  urls: readonly string[],
  problems: Problems,
): string[] | undefined {
  const kept = urls.filter((url) => {
    if (!url.startsWith('http:') || !urls.includes(`https:${url.slice(5)}`)) return true;
    problems.warn(definition.at(path), `${url} is also offered with https: only https is used`);
    return false;
  });
  return kept.length === 0 ? undefined : kept;
}

function decodeBraces(text: string): string {
  return text.replaceAll(/%7b/gi, '{').replaceAll(/%7d/gi, '}');
}

function withoutPassword(text: string): string {
  return text.replace(/\/\/[^/@]*@/, '//***@');
}
