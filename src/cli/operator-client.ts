import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { getCACertificates } from 'node:tls';
import { readOperatorToken } from '../admin/operator-token.ts';
import type { OperatorConfig } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { findHome } from '../config/locate.ts';
import { isLoopbackHost } from '../admin/hosts.ts';
import { OperatorError } from '../errors.ts';
import { createHttpClient, type HttpClientOptions } from '../net/http-client.ts';
import { loadKeyStore } from '../tls/key-store.ts';
import type { Io } from './io.ts';
import { visible } from './table.ts';
import { usage } from './words.ts';

/** The options by which every command finds the gateway, for `parseArgs`. */
export const CLIENT_OPTIONS = {
  'operator-url': { type: 'string' },
  'operator-token-file': { type: 'string' },
  'operator-ca': { type: 'string' },
  'operator-key-store': { type: 'string' },
  json: { type: 'boolean' },
} as const;

export interface ClientValues {
  readonly 'operator-url'?: string;
  readonly 'operator-token-file'?: string;
  readonly 'operator-ca'?: string;
  readonly 'operator-key-store'?: string;
}

const KEY_STORE_PASSWORD = 'MGW_OPERATOR_KEY_STORE_PASSWORD';
const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export interface Exchange {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Begins with a slash. */
  readonly path: string;
  readonly body?: Readonly<Record<string, unknown>>;
  /** A member that the answer has if it comes from a gateway. */
  readonly has: string;
  /** Milliseconds that the gateway may take longer than usual. */
  readonly extraMs?: number;
}

/** Where the gateway listens for its operator, and how one proves to be it. */
interface Target {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: HttpClientOptions;
}

/**
 * One call of the operator's API, at the gateway that the options or the configuration name.
 * @returns the answer's body
 * @throws OperatorError ERR_OPERATOR_UNREACHABLE, ERR_OPERATOR_REFUSED, or what keeps the configuration or the token from being read
 */
export async function callOperator<Body extends object>(
  exchange: Exchange,
  words: { readonly values: ClientValues; readonly overrides: readonly string[] },
  io: Io,
): Promise<Body> {
  const target = await targetOf(words.values, words.overrides, io);
  const client = createHttpClient(target.tls);
  try {
    const { status, body } = await client
      .request({
        method: exchange.method,
        url: `${target.url}${exchange.path}`,
        headers: {
          ...target.headers,
          ...(exchange.body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        ...(exchange.body === undefined ? {} : { body: JSON.stringify(exchange.body) }),
        timeoutMs: TIMEOUT_MS + (exchange.extraMs ?? 0),
        maxBytes: MAX_ANSWER_BYTES,
      })
      .catch((cause: unknown) => {
        const message = cause instanceof Error ? cause.message : String(cause);
        const closed = message.includes('ECONNREFUSED');
        const hint = '. Start the gateway, or say with --operator-url where it listens';
        throw unreachable(closed ? `${message}${hint}` : message, cause);
      });
    const answer = parsed(body);
    if (status >= 400) throw refused(status, answer);
    if (answer === undefined || !(exchange.has in answer))
      throw unreachable(`${target.url} does not answer as a gateway's operator listener does`);
    return answer as Body;
  } finally {
    await client.close();
  }
}

function unreachable(message: string, cause?: unknown): OperatorError {
  return new OperatorError(
    'ERR_OPERATOR_UNREACHABLE',
    message,
    cause === undefined ? {} : { cause },
  );
}

function refused(status: number, answer: Readonly<Record<string, unknown>> | undefined) {
  const { code, message, field } = answer ?? {};
  if (typeof code !== 'string' || typeof message !== 'string')
    return unreachable(`answered ${status}, and not as a gateway's operator listener does`);
  const hint =
    code === 'unauthorized'
      ? '. One with another MGW_HOME has another token: --operator-token-file names its file'
      : '';
  const where = typeof field === 'string' ? `${visible(field)}: ` : '';
  return new OperatorError(
    'ERR_OPERATOR_REFUSED',
    `the gateway refused (${visible(code)}): ${where}${visible(message)}${hint}`,
  );
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}

async function targetOf(
  values: ClientValues,
  overrides: readonly string[],
  io: Io,
): Promise<Target> {
  const env = io.env ?? process.env;
  const path = (text: string): string => resolve(io.cwd, text);
  let config: OperatorConfig | undefined;
  const configured = (): OperatorConfig => {
    config ??= loadConfig({ argv: overrides, env, cwd: io.cwd }).config.operator;
    if (config === undefined)
      throw unreachable("operatorConfig.enable is false: this gateway has no operator's listener");
    return config;
  };

  const url = values['operator-url'];
  const keyStore = values['operator-key-store'];
  const certificate =
    keyStore === undefined
      ? undefined
      : await loadKeyStore(path(keyStore), env[KEY_STORE_PASSWORD] ?? '');
  const tokenFile = values['operator-token-file'];
  const headers =
    certificate === undefined || tokenFile !== undefined
      ? await bearer(tokenFile === undefined ? configured().tokenPath : path(tokenFile))
      : {};
  const own = certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key };
  if (url !== undefined) {
    const ca = await authorities(values['operator-ca'], findHome(env, io.cwd), path);
    return { url: originOf(url), headers, tls: { ...own, ca } };
  }
  const operator = configured();
  return { url: urlOf(operator), headers, tls: { ...own, ...(await pinned(operator)) } };
}

async function bearer(file: string): Promise<Readonly<Record<string, string>>> {
  const { token } = await readOperatorToken(file);
  return { Authorization: `Bearer ${token}` };
}

/** The token is shown to nobody on the way: plain HTTP is for this machine. */
function originOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url?.protocol === 'http:';
  if (
    url === undefined ||
    (!plain && url.protocol !== 'https:') ||
    url.username !== '' ||
    url.password !== '' ||
    url.search !== '' ||
    url.hash !== '' ||
    url.pathname !== '/'
  )
    throw usage('--operator-url must be http://host:port or https://host:port');
  if (plain && !isLoopbackHost(url.hostname))
    throw usage('--operator-url must be https: plain http is for this very machine only');
  return url.origin;
}

/** An address to bind is not always one to connect to. */
function urlOf({ host, port, keyStore }: OperatorConfig): string {
  if (port === 0)
    throw unreachable('operatorConfig.port is 0, so only the log of the gateway says which it has');
  const plain = host.replace(/^\[(.*)\]$/s, '$1');
  const address = plain === '0.0.0.0' ? '127.0.0.1' : /^[0:]+$/.test(plain) ? '::1' : plain;
  const shown = address.includes(':') ? `[${address}]` : address;
  return `${keyStore === undefined ? 'http' : 'https'}://${shown}:${port}`;
}

/** Of the gateway whose configuration this is, the very certificate is known: nothing else is trusted, so its names do not matter. */
async function pinned({ keyStore }: OperatorConfig): Promise<HttpClientOptions> {
  if (keyStore === undefined) return {};
  const { cert } = await loadKeyStore(keyStore.path, keyStore.password);
  return { ca: [cert], verifyHostname: false };
}

async function authorities(
  file: string | undefined,
  home: string,
  path: (text: string) => string,
): Promise<readonly string[]> {
  if (file !== undefined) {
    try {
      return [await readFile(path(file), 'utf8')];
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
      throw usage(`--operator-ca: the file cannot be read: ${code}`, cause);
    }
  }
  const local = await readFile(join(home, 'security', 'local-ca.pem'), 'utf8').catch(() => '');
  return [...getCACertificates('default'), ...(local === '' ? [] : [local])];
}
