import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { until } from '../support/until.ts';
import type { ListenerTls } from '../../src/gateway/options.ts';
import { localCertificate, openApi, stage, wire } from './stage.ts';

async function listener(t: TestContext, more: Partial<ListenerTls> = {}): Promise<number> {
  const { cert, key } = await localCertificate();
  const { port } = await stage(t, {
    apis: [openApi('http://127.0.0.1:9')],
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls: { cert, key, ...more } }],
  });
  return port;
}

/** What a handshake comes to. */
async function shake(
  t: TestContext,
  port: number,
  options: ConnectionOptions,
): Promise<{ readonly socket: TLSSocket; readonly session: Buffer }> {
  const { cert } = await localCertificate();
  const socket = connect({ port, host: 'localhost', ca: cert, ...options });
  t.after(() => socket.destroy());
  socket.resume();
  const tickets: Buffer[] = [];
  socket.on('session', (ticket) => tickets.push(ticket));
  await once(socket, 'secureConnect');
  // A session that is resumed in TLS 1.2 gives no new ticket.
  if (options.session === undefined) await until(() => tickets.length > 0, 'a ticket');
  return { socket, session: tickets[0] ?? Buffer.alloc(0) };
}

test('TLS 1.2 and 1.3 are spoken, and nothing older', async (t) => {
  const port = await listener(t);
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const { socket } = await shake(t, port, { minVersion: version, maxVersion: version });
    assert.equal(socket.getProtocol(), version);
  }
  for (const version of ['TLSv1', 'TLSv1.1'] as const) {
    await assert.rejects(
      shake(t, port, {
        minVersion: version,
        maxVersion: version,
        ciphers: 'ALL:@SECLEVEL=0',
      }),
      { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' },
    );
  }
});

test('one version alone can be spoken', async (t) => {
  for (const [versions, spoken, other] of [
    [['1.2'], 'TLSv1.2', 'TLSv1.3'],
    [['1.3'], 'TLSv1.3', 'TLSv1.2'],
  ] as const) {
    const port = await listener(t, { versions });
    const { socket } = await shake(t, port, {});
    assert.equal(socket.getProtocol(), spoken);
    await assert.rejects(shake(t, port, { minVersion: other, maxVersion: other }), {
      code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    });
  }
});

test('of TLS 1.2 only AEAD with forward secrecy is taken', async (t) => {
  const port = await listener(t);
  const offer = (ciphers: string) => shake(t, port, { maxVersion: 'TLSv1.2', ciphers });
  for (const good of [
    'ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-CHACHA20-POLY1305',
  ]) {
    const { socket } = await offer(good);
    assert.match(socket.getCipher().name, /GCM|CHACHA20/);
  }
  for (const bad of [
    'ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA', // CBC
    'ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA384',
    'ECDHE-RSA-ARIA128-GCM-SHA256:ECDHE-ECDSA-AES128-CCM',
    'AES128-GCM-SHA256:AES256-GCM-SHA384', // the key of the certificate tells all
    'DHE-RSA-AES128-GCM-SHA256',
  ]) {
    await assert.rejects(offer(bad), { code: 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE' }, bad);
  }
});

test('the order of the listener counts, not that of the client', async (t) => {
  const port = await listener(t);
  const { socket } = await shake(t, port, {
    maxVersion: 'TLSv1.2',
    ciphers: [
      'ECDHE-RSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-RSA-AES256-GCM-SHA384',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
    ].join(':'),
  });
  assert.match(socket.getCipher().name, /AES256/);
});

test('sessions are resumed, also by another listener with the same keys, and by no other', async (t) => {
  const ticketKeys = randomBytes(48);
  const [port, twin, stranger] = [
    await listener(t, { ticketKeys }),
    await listener(t, { ticketKeys }),
    await listener(t),
  ];
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const protocol of ['h2', 'http/1.1']) {
      const options = { maxVersion, ALPNProtocols: [protocol] };
      const first = await shake(t, port, options);
      assert.ok(!first.socket.isSessionReused());
      const resumed = { ...options, session: first.session };
      for (const [to, reused] of [
        [port, true],
        [twin, true],
        [stranger, false],
      ] as const) {
        const { socket } = await shake(t, to, resumed);
        assert.equal(socket.isSessionReused(), reused, `${maxVersion} ${protocol}`);
        assert.equal(socket.alpnProtocol, protocol);
      }
    }
  }
});

test('a resumed session is served', async (t) => {
  const port = await listener(t);
  const options = { ALPNProtocols: ['http/1.1'] };
  const { session } = await shake(t, port, options);
  const { socket } = await shake(t, port, { ...options, session });
  assert.ok(socket.isSessionReused());
  const answer = once(socket, 'data');
  socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const [bytes] = (await answer) as [Buffer];
  assert.match(bytes.toString('latin1'), /^HTTP\/1\.1 200 /);
});

test('a handshake that does not come to its end in time is ended', async (t) => {
  const { cert, key } = await localCertificate();
  const { port } = await stage(t, {
    apis: [openApi('http://127.0.0.1:9')],
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls: { cert, key } }],
    timeouts: { handshakeMs: 100 },
  });
  for (const begun of ['', '160301', '160301020001']) {
    const client = await wire(t, port);
    client.socket.write(Buffer.from(begun, 'hex'));
    await client.closed();
  }
});

test('of TLS 1.2 no second handshake is made on a connection', async (t) => {
  const port = await listener(t);
  const { socket } = await shake(t, port, {
    maxVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
  });
  let refused: NodeJS.ErrnoException | undefined;
  socket.on('error', (error: NodeJS.ErrnoException) => (refused = error));
  socket.renegotiate({}, () => undefined);
  await until(() => refused !== undefined, 'it is refused');
  assert.match(String(refused?.code), /NO_RENEGOTIATION|ECONNRESET/);
});
