import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import forge from 'node-forge';
import { issueCertificate, type IssuedCertificate } from '../../src/tls/certificate.ts';
import { until } from '../support/until.ts';
import { exchange, send, startApi, TOKEN } from './stage.ts';

/** More than the listener takes. */
const CONNECTIONS = 140;

/** Connections that have sent this and never read an answer. */
async function holding(t: TestContext, port: number, text: string): Promise<void> {
  for (let i = 0; i < CONNECTIONS; i += 1) {
    const socket = connect(port, '127.0.0.1');
    t.after(() => socket.destroy());
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.pause();
    socket.write(text);
    // Each is heard before the next one comes.
    await pause(2);
  }
}

/** A certificate like this one, of the same authority, without a subject. */
function withoutSubject({ cert }: IssuedCertificate, authority: IssuedCertificate): string {
  const made = forge.pki.certificateFromPem(cert);
  made.setSubject([]);
  made.sign(forge.pki.privateKeyFromPem(authority.key), forge.md.sha256.create());
  return forge.pki.certificateToPem(made);
}

it('a client certificate with a subject that is missing or endless is named all the same', async (t) => {
  const dates = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 6e5) };
  const authority = await issueCertificate({
    ...dates,
    commonName: 'authority',
    purpose: 'authority',
  });
  const order = { ...dates, issuer: authority };
  const server = await issueCertificate({
    ...order,
    commonName: 'localhost',
    purpose: 'server',
    hosts: ['localhost'],
  });
  const long = await issueCertificate({
    ...order,
    commonName: 'x'.repeat(10_000),
    purpose: 'client',
  });
  const nameless = { ...long, cert: withoutSubject(long, authority) };
  const { port, operations } = await startApi(t, {
    tls: { cert: server.cert, key: server.key, clientCa: [authority.cert] },
  });
  for (const [{ cert, key }, name] of [
    [long, /^CN=x{252}…$/],
    [nameless, /^certificate [0-9A-F]+$/],
  ] as const) {
    operations.requests.length = 0;
    const { status } = await send(`https://localhost:${port}/revocations`, {
      method: 'POST',
      json: { subject: name.source },
      tls: { ca: authority.cert, cert, key },
    });
    assert.equal(status, 201);
    assert.match(operations.requests[0]?.by.name ?? '', name);
  }
});

describe('nobody without the token keeps the operator out', () => {
  it('by a GET that holds its body back', async (t) => {
    const { call, port } = await startApi(t);
    const head = `GET /status HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Length: 10\r\n\r\n`;
    await holding(t, port, head);
    assert.equal((await call('/status')).status, 200);
  });

  it('by half a head behind a whole request', async (t) => {
    const { call, port } = await startApi(t);
    const host = `Host: localhost:${port}\r\n`;
    await holding(t, port, `GET /ready HTTP/1.1\r\n${host}\r\nGET /ready HTTP/1.1\r\n`);
    assert.equal((await call('/status')).status, 200);
  });

  it('by requests sent far ahead of their answers', async (t) => {
    const { call, port, log } = await startApi(t);
    const request = `GET /status HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`;
    await holding(t, port, request.repeat(300));
    assert.equal((await call('/status')).status, 200);
    await until(() => log.lines.length > 0, 'the refusals');
    assert.ok(log.lines.length <= CONNECTIONS * 8, `${log.lines.length} refusals`);
  });

  it('while a few requests sent ahead are answered one after the other', async (t) => {
    const { port } = await startApi(t);
    const fields = `Host: localhost:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n`;
    const requests = `GET /status HTTP/1.1\r\n${fields}\r\n`.repeat(7);
    const answers = await exchange(
      port,
      `${requests}GET /status HTTP/1.1\r\n${fields}Connection: close\r\n\r\n`,
    );
    assert.equal(answers.match(/HTTP\/1\.1 200 /g)?.length, 8);
  });
});
