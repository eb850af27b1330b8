import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { createOperatorApi, type OperatorApiOptions } from '../../src/admin/operator-api.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { fakeOperations } from './fake-operations.ts';

export const TOKEN = 'Zm9yLXRlc3RzLW9ubHktZm9yLXRlc3RzLW9ubHktMDA';

export interface Sending {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Buffer;
  /** Sent as JSON, with its media type. */
  readonly json?: unknown;
  /** PEM, for TLS. */
  readonly tls?: {
    readonly ca: string;
    readonly cert?: string;
    readonly key?: string;
    readonly checkServerIdentity?: () => undefined;
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON; undefined when it is none. */
  readonly json: Record<string, unknown> | undefined;
}

/** The operator's API on a real socket over a fake core. */
export async function startApi(t: TestContext, options: Partial<OperatorApiOptions> = {}) {
  const operations = fakeOperations();
  const log = recordedLog();
  const api = createOperatorApi(
    { host: '127.0.0.1', port: 0, token: TOKEN, allowedHosts: [], ...options },
    operations,
    log,
  );
  const address = await api.listen();
  t.after(() => api.close(0));
  /** With the operator's token. */
  const call = (path: string, sending: Sending = {}): Promise<Answer> =>
    send(`${address.url}${path}`, {
      ...sending,
      headers: { Authorization: `Bearer ${TOKEN}`, ...sending.headers },
    });
  const post = (path: string, json: unknown): Promise<Answer> =>
    call(path, { method: 'POST', json });
  return { api, operations, log, ...address, call, post };
}

export function send(url: string, sending: Sending = {}): Promise<Answer> {
  const { json, tls } = sending;
  const body = json === undefined ? sending.body : JSON.stringify(json);
  const options = {
    method: sending.method ?? 'GET',
    agent: false as const,
    headers: {
      ...(json === undefined ? {} : { 'Content-Type': 'application/json' }),
      // Node's client frames the body of a DELETE only when told so.
      ...(json === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body ?? '')) }),
      ...sending.headers,
    },
    ...tls,
  };
  return new Promise((resolve, reject) => {
    const request = (url.startsWith('https:') ? httpsRequest : httpRequest)(
      url,
      options,
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => void chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const { statusCode = 0, headers } = response;
          resolve({ status: statusCode, headers, text, json: parsed(text) });
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** Bytes in, and whatever comes back until the other side closes; it has ten seconds for that. */
export async function exchange(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const late = setTimeout(() => {
    text = 'not closed in time';
    socket.destroy();
  }, 10_000);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(bytes);
  await once(socket, 'close');
  clearTimeout(late);
  return text;
}
