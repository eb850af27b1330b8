import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { OperatorError } from '../errors.ts';

/** A definition that `micro-gw init -a` puts into a new project. */
export interface ApiDefinition {
  /** Ends with .json, .yaml or .yml. */
  readonly fileName: string;
  readonly text: string;
}

export interface DownloadOptions {
  /** Header fields to send. They go to the address's own origin only. */
  readonly headers: Readonly<Record<string, string>>;
  /** `-k`: any certificate is accepted for this one download. */
  readonly insecure: boolean;
}

const MAX_BYTES = 10 * 1024 * 1024;
/** Milliseconds for the whole download, redirects included. */
const TIMEOUT_MS = 30_000;
const MAX_REDIRECTS = 5;

/** @param shown the path as it was typed */
export async function readApiDefinition(path: string, shown: string): Promise<ApiDefinition> {
  const message = `Error while getting the open API definition. Probably the file path '${shown}' is invalid.`;
  const stats = await stat(path).catch(() => undefined);
  if (stats?.isFile() !== true) throw new OperatorError('ERR_PROJECT', message);
  if (stats.size > MAX_BYTES) {
    throw new OperatorError('ERR_PROJECT', `'${shown}' is larger than 10 MiB.`);
  }
  try {
    const text = await readFile(path, 'utf8');
    return { fileName: fileNameFor(basename(path), text), text };
  } catch (cause) {
    throw new OperatorError('ERR_PROJECT', message, { cause });
  }
}

/**
 * Downloads a definition. Redirects are followed within bounds, never from https to http, and never to another origin when header fields
 * were given: they are likely to be credentials.
 */
export async function fetchApiDefinition(
  address: string,
  options: DownloadOptions,
): Promise<ApiDefinition> {
  // On first use: only this one option of one command needs a client.
  const { Agent, fetch } = await import('undici');
  const dispatcher = new Agent({ connect: { rejectUnauthorized: !options.insecure } });
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  let url = parseUrl(address);
  try {
    for (let redirects = 0; ; redirects++) {
      const { headers } = options;
      const answer = await fetch(url.href, { headers, dispatcher, signal, redirect: 'manual' });
      const location = answer.headers.get('location');
      if (answer.status >= 300 && answer.status < 400 && location !== null) {
        if (redirects === MAX_REDIRECTS) throw new Error('too many redirects');
        await answer.body?.cancel();
        url = redirectTarget(url, location, Object.keys(headers).length > 0);
        continue;
      }
      if (answer.status !== 200) throw new Error(`HTTP status ${answer.status}`);
      const text = await boundedText(answer.body);
      return { fileName: fileNameFor(url.pathname.split('/').at(-1) ?? '', text), text };
    }
  } catch (cause) {
    if (cause instanceof OperatorError) throw cause;
    throw new OperatorError('ERR_DOWNLOAD', `'${shown(url)}' cannot be fetched: ${reason(cause)}`, {
      cause,
    });
  } finally {
    await dispatcher.destroy();
  }
}

function parseUrl(address: string): URL {
  const url = URL.parse(address);
  if (url === null) throw new OperatorError('ERR_USAGE', `'${address}' is not a URL.`);
  if (`${url.username}${url.password}` === '') return url;
  const message = 'The URL holds a user name or password. Give them with --headers and --values.';
  throw new OperatorError('ERR_USAGE', message);
}

function redirectTarget(from: URL, location: string, hasHeaders: boolean): URL {
  const to = URL.parse(location, from.href);
  if (to === null || !/^https?:$/.test(to.protocol)) throw new Error('redirected to no address');
  if (from.protocol === 'https:' && to.protocol === 'http:') {
    throw new Error('redirected from https to http');
  }
  if (hasHeaders && to.origin !== from.origin) {
    throw new Error(`redirected to ${to.origin}, which must not get the given headers`);
  }
  return to;
}

async function boundedText(body: AsyncIterable<unknown> | null): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    if (!(chunk instanceof Uint8Array)) continue;
    bytes += chunk.byteLength;
    if (bytes > MAX_BYTES) throw new Error('larger than 10 MiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** A safe file name; where the name does not tell JSON from YAML, the text does. */
function fileNameFor(name: string, text: string): string {
  const safe = name.replaceAll(/[^A-Za-z0-9._-]/g, '_').replace(/^\.+/, '') || 'api_definition';
  if (/\.(?:json|yaml|yml)$/i.test(safe)) return safe;
  return `${safe}${text.trimStart().startsWith('{') ? '.json' : '.yaml'}`;
}

/** Without the query, which may hold a key. */
function shown(url: URL): string {
  return url.origin + url.pathname;
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // undici says only "fetch failed" and keeps what happened in the cause.
  return error.cause instanceof Error ? error.cause.message : error.message;
}
