import type { TestContext } from 'node:test';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import { startHttpServer } from '../support/http-server.ts';
import { openApi, stage, statusOf, wire } from './stage.ts';

/** A request as the upstream got it. */
export interface Seen {
  readonly line: string;
  /** `Name: value`, a line each. */
  readonly fields: string;
  readonly body: string;
}

/** A gateway that would forward anything, before an upstream that keeps what it saw. */
export async function watched(
  t: TestContext,
  options: (upstream: string) => Partial<GatewayOptions> = (url) => ({ apis: [openApi(url)] }),
): Promise<{ readonly port: number; readonly seen: Seen[] }> {
  const seen: Seen[] = [];
  const upstream = await startHttpServer((incoming, response) => {
    let body = '';
    incoming.setEncoding('latin1').on('data', (chunk: string) => (body += chunk));
    incoming.on('end', () => {
      const fields = incoming.rawHeaders.flatMap((name, at) =>
        at % 2 === 0 ? [`${name}: ${incoming.rawHeaders[at + 1]}\n`] : [],
      );
      seen.push({ line: `${incoming.method} ${incoming.url}`, fields: fields.join(''), body });
      response.end('ok');
    });
  });
  t.after(() => upstream.close());
  const { port } = await stage(t, options(upstream.url));
  return { port, seen };
}

/** The first final answer to some bytes; status 0 when the connection was closed without one. */
export interface Answer {
  readonly status: number;
  /** It is the last one of its connection. */
  readonly closing: boolean;
}

const CONTINUE = /^HTTP\/1\.1 100 [^]*?\r\n\r\n/;

export async function ask(t: TestContext, port: number, bytes: string | Buffer): Promise<Answer> {
  const client = await wire(t, port);
  client.send(bytes);
  try {
    const text = await client.until(/(?:^|\r\n\r\n)HTTP\/1\.1 [2-5]\d\d [^]*?\r\n\r\n/);
    const answer = text.replace(CONTINUE, '');
    return {
      status: statusOf(answer),
      closing: /\r\nConnection: close\r\n/i.test(answer),
    };
  } catch (error) {
    if (client.socket.closed) return { status: 0, closing: true };
    throw error;
  } finally {
    client.socket.destroy();
  }
}
