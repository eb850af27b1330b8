import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { Caller } from '../../src/auth/caller.ts';
import { GatewayFault } from '../../src/errors.ts';
import { createGateway } from '../../src/gateway/gateway.ts';
import type { Bound, Engine, Gateway, GatewayOptions } from '../../src/gateway/options.ts';
import type { Api, Route } from '../../src/openapi/route.ts';
import { issueCertificate, type IssuedCertificate } from '../../src/tls/certificate.ts';
import { recordedLog, type RecordedLog } from '../support/recorded-log.ts';

/** What the stand-in for authentication knows: `Bearer <name>`. */
export function caller(name: string): Caller {
  return {
    tokenType: 'jwt',
    issuer: 'https://issuer.example',
    subject: name,
    clientId: undefined,
    scopes: new Set(),
    keyType: name === 'sandbox' ? 'SANDBOX' : 'PRODUCTION',
    identity: { digests: [], scopes: [], expiresAtMs: 0 },
    expiresAtMs: 0,
  };
}

/** `good` and `sandbox` are let in at once, `later` after a turn of the event loop; all else is refused as a revoked token is. */
export const authenticator: GatewayOptions['authenticator'] = {
  authenticate([credentials, ...more]) {
    if (credentials === undefined) throw new GatewayFault('missingCredentials', 'none');
    const name = credentials.replace('Bearer ', '');
    if (more.length === 0 && (name === 'good' || name === 'sandbox')) return caller(name);
    if (name === 'later') return new Promise((resolve) => setImmediate(resolve, caller(name)));
    const fault = new GatewayFault('invalidCredentials', 'the token is revoked', {
      challenge: { error: 'invalid_token', errorDescription: 'The token is not valid' },
    });
    if (name === 'refused later') return Promise.reject(fault);
    throw fault;
  },
};

export function api(
  basePath: string,
  ...routes: readonly (readonly [string, Partial<Route>])[]
): Api {
  return {
    title: basePath,
    version: '1',
    basePath,
    file: 'api.yaml',
    routes: routes.map(([operation, more]) => {
      const [method = '', template = ''] = operation.split(' ');
      return { method, template, secured: false, scopes: [], production: [], sandbox: [], ...more };
    }),
  };
}

/** Everything below `/open` for every method, without a token, to one upstream. */
export function openApi(production: string): Api {
  const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'];
  return api(
    '',
    ...methods.flatMap((method) =>
      ['/', '/{a}', '/{a}/{b}', '/{a}/{b}/{c}'].map(
        (template) => [`${method} ${template}`, { production: [production] }] as const,
      ),
    ),
  );
}

export interface Stage {
  readonly gateway: Gateway;
  /** What it was made with. */
  readonly options: GatewayOptions;
  readonly log: RecordedLog;
  readonly bound: readonly Bound[];
  /** Port of the first listener. */
  readonly port: number;
  readonly url: string;
}

/** The engine that these tests run over: each has to pass them. */
export const ENGINE: Engine = process.env['PORTCULLIS_HTTP_ENGINE'] === 'node' ? 'node' : 'own';

/** A gateway with one plain listener, ended with the test. */
export async function stage(t: TestContext, options: Partial<GatewayOptions>): Promise<Stage> {
  const log = recordedLog(false);
  const whole: GatewayOptions = {
    engine: ENGINE,
    listeners: [{ kind: 'http', host: '127.0.0.1', port: 0 }],
    apis: [],
    authenticator,
    ready: () => true,
    log,
    ...options,
  };
  const gateway = createGateway(whole);
  const bound = await gateway.listen();
  t.after(() => gateway.close(0));
  const port = bound[0]?.port ?? 0;
  return { gateway, options: whole, log, bound, port, url: `http://127.0.0.1:${port}` };
}

/** An upstream that is only a socket: `serve` does with each connection what it likes. */
export async function rawUpstream(
  t: TestContext,
  serve: (socket: Socket) => void,
): Promise<{ readonly url: string; readonly port: number; connections(): number }> {
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    count++;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const { port } = address;
  return { url: `http://127.0.0.1:${port}`, port, connections: () => count };
}

/** A socket to the gateway that collects what it is sent, as latin1. */
export class Wire {
  readonly socket: Socket;
  text = '';
  /** How the connection ended: `clean` by FIN, `reset` by RST. */
  ending: 'open' | 'clean' | 'reset' = 'open';

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => (this.text += chunk));
    socket.on('end', () => (this.ending = 'clean'));
    socket.on('error', () => (this.ending = 'reset'));
  }

  send(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    return this;
  }

  /** What came until `pattern` was in it. */
  async until(pattern: RegExp, deadlineMs = 5_000): Promise<string> {
    await this.#wait(() => pattern.test(this.text), String(pattern), deadlineMs);
    if (!pattern.test(this.text))
      throw new Error(`closed before ${String(pattern)}: ${this.text.slice(0, 500)}`);
    return this.text;
  }

  /** All that came until the connection was over. */
  async closed(deadlineMs = 5_000): Promise<string> {
    await this.#wait(() => false, 'the end of the connection', deadlineMs);
    return this.text;
  }

  #wait(enough: () => boolean, what: string, deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (error?: Error): void => {
        clearTimeout(timer);
        this.socket.off('data', look).off('close', look);
        if (error === undefined) resolve();
        else reject(error);
      };
      const look = (): void => {
        if (this.socket.closed || enough()) finish();
      };
      const timer = setTimeout(() => {
        finish(
          new Error(`not within ${deadlineMs} ms: ${what}; so far: ${this.text.slice(0, 500)}`),
        );
      }, deadlineMs);
      this.socket.on('data', look).on('close', look);
      look();
    });
  }
}

export async function wire(t: TestContext, port: number): Promise<Wire> {
  const socket = connectTcp({ port, host: '127.0.0.1' });
  t.after(() => socket.destroy());
  const made = new Wire(socket);
  await once(socket, 'connect');
  return made;
}

/** Sends bytes and waits for the end of the connection. */
export async function sendAll(
  t: TestContext,
  port: number,
  bytes: string | Buffer,
): Promise<string> {
  return (await wire(t, port)).send(bytes).closed();
}

export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
}

let certificate: Promise<IssuedCertificate> | undefined;

/** A certificate for `localhost` and 127.0.0.1 that signs itself. */
export function localCertificate(): Promise<IssuedCertificate> {
  certificate ??= issueCertificate({
    commonName: 'localhost',
    purpose: 'server',
    hosts: ['localhost', '127.0.0.1'],
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 86_400_000),
  });
  return certificate;
}
