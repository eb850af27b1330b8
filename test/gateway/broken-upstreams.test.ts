import assert from 'node:assert/strict';
import type { AddressInfo, Socket } from 'node:net';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls, createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import { localCertificate, openApi, rawUpstream, sendAll, stage, statusOf, wire } from './stage.ts';

/** An upstream that goes no further than the handshake. */
async function tlsUpstream(
  t: TestContext,
  options: TlsOptions,
): Promise<{ readonly port: number }> {
  const server = createTlsServer(options, (socket) => socket.on('error', () => undefined).end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port };
}

const GET = 'GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n';
const FAILED =
  '{"fault":{"code":101503, "message":"Runtime Error", "description":"Error connecting to the back end"}}';
const TIMED_OUT =
  '{"fault":{"code":101504, "message":"Runtime Error", "description":"Connection timed out"}}';

const replying = (text: string) => (socket: Socket) => {
  socket.once('data', () => socket.write(Buffer.from(text, 'latin1')));
};

const BEFORE_THE_HEAD: Readonly<Record<string, (socket: Socket) => void>> = {
  'closes at once': (socket) => void socket.end(),
  'resets at once': (socket) => void socket.resetAndDestroy(),
  'closes after the request': (socket) => void socket.once('data', () => socket.end()),
  'resets after the request': (socket) => void socket.once('data', () => socket.resetAndDestroy()),
  'closes in the head': (socket) =>
    void socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Le')),
  'speaks something else': replying('SSH-2.0-OpenSSH_9.2\r\n'),
  'sends a bad status line': replying('HTTP/1.1 abc OK\r\n\r\n'),
  'sends another version': replying('HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n'),
  'sends a status beyond 599': replying('HTTP/1.1 777 OK\r\nContent-Length: 0\r\n\r\n'),
  'sends two lengths': replying(
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc',
  ),
  'sends two equal lengths': replying(
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab',
  ),
  'sends a negative length': replying('HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'),
  'sends length and chunks': replying(
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  'sends a coding that is not chunked': replying(
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
  ),
  'sends NUL in a field': replying('HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n'),
  'sends a control character in a field': replying(
    'HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n',
  ),
  'folds a line': replying('HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'),
  'switches protocols': replying(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n',
  ),
  'sends interim answers without end': (socket) =>
    void socket.once('data', () => socket.write('HTTP/1.1 102 Processing\r\n\r\n'.repeat(5_000))),
  'sends a head without end': replying(
    `HTTP/1.1 200 OK\r\n${'X-Filler: 0123456789\r\n'.repeat(5_000)}`,
  ),
};

for (const [what, serve] of Object.entries(BEFORE_THE_HEAD)) {
  test(`502 when the upstream ${what}`, async (t) => {
    const upstream = await rawUpstream(t, serve);
    const { port, gateway } = await stage(t, { apis: [openApi(upstream.url)] });
    const answer = await sendAll(t, port, GET);
    assert.equal(statusOf(answer), 502, answer);
    assert.ok(answer.endsWith(`\r\n\r\n${FAILED}`));
    assert.deepEqual(gateway.counters(), { active: 0, outcomes: { upstreamFailed: 1 } });
  });
}

test('502 when there is no upstream; the log says which and why, the client is told nothing', async (t) => {
  const { port, log } = await stage(t, { apis: [openApi('http://127.0.0.1:1/secret')] });
  const answer = await sendAll(t, port, GET);
  assert.equal(statusOf(answer), 502);
  const id = /X-Request-Id: (.*)\r\n/.exec(answer)?.[1] ?? 'none';
  assert.equal(log.lines.length, 1);
  assert.match(
    log.lines[0] ?? '',
    /^WARN \[Gateway\] .* 502 upstreamFailed: http:\/\/127\.0\.0\.1:1: ECONNREFUSED/,
  );
  assert.ok(log.lines[0]?.includes(`[${id}]`));
});

test('504 when the head does not come, and the upstream call is ended', async (t) => {
  let closed = false;
  const upstream = await rawUpstream(t, (socket) => {
    socket.resume();
    socket.on('close', () => (closed = true));
    socket.on('end', () => socket.destroy());
  });
  const { port, gateway } = await stage(t, {
    apis: [openApi(upstream.url)],
    upstream: { headersTimeoutMs: 100 },
  });
  const answer = await sendAll(t, port, GET);
  assert.equal(statusOf(answer), 504);
  assert.ok(answer.endsWith(`\r\n\r\n${TIMED_OUT}`));
  await until(() => closed, 'the upstream connection is closed');
  assert.deepEqual(gateway.counters().outcomes, { upstreamTimedOut: 1 });
});

for (const how of ['stays', 'destroy', 'resetAndDestroy'] as const) {
  const client = how === 'stays' ? 'stays' : `leaves (${how})`;
  test(`504 when the upstream stops taking an upload, also when its client ${client}`, async (t) => {
    const peers: Socket[] = [];
    const upstream = await rawUpstream(t, (socket) => {
      peers.push(socket);
      socket.once('data', () => socket.pause());
      socket.on('end', () => socket.destroy());
    });
    const { port, gateway, log } = await stage(t, {
      apis: [openApi(upstream.url)],
      upstream: { idleBodyTimeoutMs: 500 },
    });
    const { socket } = (await wire(t, port)).send(
      GET.replace('GET', 'POST').replace('\r\n\r\n', '\r\nContent-Length: 900000000\r\n\r\n'),
    );
    const chunk = Buffer.alloc(65_536);
    let tookMs = performance.now();
    const give = (): void => {
      tookMs = performance.now();
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', give);
    give();
    await until(() => peers[0]?.isPaused() === true, 'the upstream has stopped');
    if (how !== 'stays') {
      await until(() => performance.now() - tookMs > 100, 'the gateway has stopped too');
      socket[how]();
    }
    await until(() => gateway.counters().active === 0, 'the call is over');
    const { outcomes } = gateway.counters();
    // On a machine that is slow enough the gateway still reads, and sees its client leave.
    if (how === 'stays' || outcomes['aborted'] === undefined) {
      assert.deepEqual(outcomes, { upstreamTimedOut: 1 });
      assert.match(log.lines.join(), /504 upstreamTimedOut: .*: nothing of the request was taken/);
    }
    peers[0]?.resume();
    await until(() => peers[0]?.destroyed === true, 'its connection is closed');
  });
}

const IN_THE_BODY: Readonly<Record<string, (socket: Socket) => void>> = {
  'a length that is not reached': (socket) =>
    void socket.once('data', () =>
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome'),
    ),
  'a length, then a reset': (socket) =>
    void socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome', () =>
        setImmediate(() => socket.resetAndDestroy()),
      );
    }),
  'chunks without the last': (socket) =>
    void socket.once('data', () =>
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n'),
    ),
  'a bad chunk size': (socket) =>
    void socket.once('data', () =>
      socket.write(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n0x2\r\nab\r\n',
      ),
    ),
  'a chunk longer than it says': (socket) =>
    void socket.once('data', () =>
      socket.write(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsomething\r\n0\r\n\r\n',
      ),
    ),
  'no length, then a reset': (socket) =>
    void socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome', () =>
        setTimeout(() => socket.resetAndDestroy(), 20),
      );
    }),
  'silence in the middle': (socket) =>
    void socket.once('data', () =>
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome'),
    ),
};

for (const [what, serve] of Object.entries(IN_THE_BODY)) {
  for (const version of ['1.1', '1.0']) {
    test(`a body with ${what} never looks whole to an HTTP/${version} client`, async (t) => {
      const upstream = await rawUpstream(t, serve);
      const { port, gateway, log } = await stage(t, {
        apis: [openApi(upstream.url)],
        upstream: { idleBodyTimeoutMs: 200 },
      });
      const client = await wire(t, port);
      client.send(`GET /a HTTP/${version}\r\nHost: h\r\n\r\n`);
      const answer = await client.closed();
      assert.equal(client.ending, 'reset', answer);
      assert.doesNotMatch(answer, /\r\n0\r\n\r\n$/);
      await until(() => gateway.counters().active === 0, 'the request is over');
      assert.deepEqual(gateway.counters().outcomes, { brokenOff: 1 });
      assert.ok(log.lines.some((line) => line.startsWith('WARN') && line.includes('broke')));
    });
  }
}

test('nor does it over TLS', async (t) => {
  const tls = await localCertificate();
  const upstream = await rawUpstream(
    t,
    (socket) =>
      void socket.once('data', () =>
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome'),
      ),
  );
  const { port } = await stage(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
    apis: [openApi(upstream.url)],
  });
  const socket = connectTls({ port, host: 'localhost', ca: tls.cert, ALPNProtocols: ['http/1.1'] });
  t.after(() => socket.destroy());
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  socket.write('GET /a HTTP/1.0\r\n\r\n');
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET', text);
});

test('what TLS refuses is said in plain words, with the key that mends it', async (t) => {
  const { cert, key } = await localCertificate();
  const plain = await rawUpstream(
    t,
    (socket) => void socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
  );
  // Up to TLS 1.2 the refusal is part of the handshake: it never races with the end of the connection.
  const asking = { requestCert: true, ca: cert, maxVersion: 'TLSv1.2' } as const;
  const trusting = { ca: [cert] };
  for (const [server, upstream, words] of [
    [{}, {}, /self-signed and not in the trust store: add it to listenerConfig\.trustStorePath/],
    [asking, trusting, /client certificate \(httpClients\.sslConfig\.keyStorePath\)/],
    [{ ALPNProtocols: ['h2'] }, trusting, /x-portcullis-http2: true in the API definition/],
    [undefined, {}, /does not speak TLS: write the endpoint with http:/],
  ] as const) {
    const { port: at } =
      server === undefined ? plain : await tlsUpstream(t, { cert, key, ...server });
    const { port, log } = await stage(t, { apis: [openApi(`https://localhost:${at}`)], upstream });
    assert.equal(statusOf(await sendAll(t, port, GET)), 502);
    const line = log.lines.join();
    assert.match(line, words);
    assert.doesNotMatch(line, /\n|SSL routines/);
  }
});

test('a head that is too large is said once, with the key that raises the bound', async (t) => {
  for (const size of [600, 5_000]) {
    const upstream = await rawUpstream(
      t,
      replying(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(size)}\r\n\r\n`),
    );
    const { port, log } = await stage(t, {
      apis: [openApi(upstream.url)],
      upstream: { maxHeaderSize: 512 },
    });
    assert.equal(statusOf(await sendAll(t, port, GET)), 502);
    assert.match(
      log.lines.join(),
      /\d: too many bytes of fields: raise httpClients\.responseLimits\.maxHeaderSize \(GET/,
    );
  }
});

test('504 when the upstream does not finish the TLS handshake', async (t) => {
  const upstream = await rawUpstream(t, (socket) => void socket.resume());
  const { port } = await stage(t, {
    apis: [openApi(upstream.url.replace('http:', 'https:'))],
    upstream: { connectTimeoutMs: 100 },
  });
  assert.equal(statusOf(await sendAll(t, port, GET)), 504);
});

test('a body that ends with its connection is whole', async (t) => {
  const upstream = await rawUpstream(
    t,
    (socket) => void socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\nall of it')),
  );
  const { port, gateway } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = await wire(t, port);
  client.send(GET);
  assert.match(await client.closed(), /all of it\r\n0\r\n\r\n$/);
  assert.equal(client.ending, 'clean');
  assert.deepEqual(gateway.counters().outcomes, { forwarded: 1 });
});

test("what an upstream sends beyond its body is nobody's answer", async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.on('data', () =>
      socket.write(
        'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison',
      ),
    );
  });
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  for (let round = 0; round < 3; round++) {
    assert.ok((await sendAll(t, port, GET)).endsWith('\r\n\r\nok'));
  }
  assert.equal(upstream.connections(), 3, 'a connection with surplus bytes is not used again');
});

test('HEAD and 204 with a body do not poison the next request', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.on('data', (bytes) => {
      const head = bytes.toString('latin1');
      if (head.startsWith('HEAD'))
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison');
      else if (head.startsWith('DELETE')) socket.write('HTTP/1.1 204 No Content\r\n\r\npoison');
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  for (const method of ['HEAD', 'DELETE', 'HEAD', 'GET']) {
    const answer = await sendAll(t, port, GET.replace('GET', method));
    assert.ok(!answer.includes('poison'), method);
    assert.ok(statusOf(answer) < 300, method);
  }
});

for (const status of ['304 Not Modified', '204 No Content']) {
  test(`${status} with a Content-Length is whole with its head`, async (t) => {
    const upstream = await rawUpstream(t, (socket) => {
      socket.on('data', () =>
        socket.write(`HTTP/1.1 ${status}\r\nContent-Length: 9\r\nETag: 1\r\n\r\n`),
      );
    });
    for (const filter of [undefined, { filterResponse: () => pause(20) }]) {
      const { port, gateway, log } = await stage(t, { apis: [openApi(upstream.url)], filter });
      for (let round = 0; round < 3; round++) {
        const client = await wire(t, port);
        const answer = await client.send(GET).closed();
        assert.equal(client.ending, 'clean');
        assert.ok(
          answer.startsWith(`HTTP/1.1 ${status.slice(0, 3)} `) && answer.endsWith('\r\n\r\n'),
        );
        assert.match(answer, /\r\nETag: 1\r\n/i);
      }
      await until(() => gateway.counters().active === 0, 'the requests are over');
      assert.deepEqual(gateway.counters().outcomes, { forwarded: 3 });
      assert.ok(!log.lines.some((line) => line.includes('broke')));
    }
  });
}

/** Answers the first request of every connection and dies with the second, without a byte. */
function dyingOnReuse(seen: string[], how: 'end' | 'resetAndDestroy') {
  return (socket: Socket): void => {
    let count = 0;
    socket.on('data', (bytes) => {
      seen.push(bytes.toString('latin1').split(' ')[0] ?? '');
      if (++count === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      else socket[how]();
    });
  };
}

for (const how of ['end', 'resetAndDestroy'] as const) {
  test(`a request that met the end of a kept connection (${how}) is sent once more, when that is safe`, async (t) => {
    const seen: string[] = [];
    const upstream = await rawUpstream(t, dyingOnReuse(seen, how));
    const { port } = await stage(t, { apis: [openApi(upstream.url)], upstream: { maxActive: 1 } });
    assert.equal(statusOf(await sendAll(t, port, GET)), 200);
    assert.equal(statusOf(await sendAll(t, port, GET)), 200);
    assert.deepEqual(seen, ['GET', 'GET', 'GET']);
    const post = GET.replace('GET', 'POST').replace('\r\n\r\n', '\r\nContent-Length: 0\r\n\r\n');
    assert.equal(statusOf(await sendAll(t, port, post)), 502);
    assert.equal(seen.filter((method) => method === 'POST').length, 1, 'POST is not');
    assert.equal(statusOf(await sendAll(t, port, GET)), 200);
    const put = `${GET.replace('GET', 'PUT').replace('\r\n\r\n', '\r\nContent-Length: 2\r\n\r\n')}hi`;
    assert.equal(statusOf(await sendAll(t, port, put)), 502);
    assert.equal(seen.filter((method) => method === 'PUT').length, 1, 'nothing with a body is');
  });
}

test('what is sent once more does not meet another connection that is as old', async (t) => {
  const waiting: Socket[] = [];
  let stale = new Set<Socket>();
  const upstream = await rawUpstream(t, (socket) => {
    socket.on('data', () => {
      if (stale.has(socket)) socket.resetAndDestroy();
      else waiting.push(socket);
    });
  });
  const answerAll = (): void => {
    for (const socket of waiting.splice(0)) {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }
  };
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  const first = Array.from({ length: 6 }, () => sendAll(t, port, GET));
  await until(() => waiting.length === 6, 'six at a time');
  stale = new Set(waiting);
  answerAll();
  for (const answer of await Promise.all(first)) assert.equal(statusOf(answer), 200);
  const again = sendAll(t, port, GET);
  await Promise.race([again, until(() => waiting.length === 1, 'it is sent once more')]);
  answerAll();
  assert.equal(statusOf(await again), 200);
  assert.equal(upstream.connections(), 7);
});

test('a fresh connection that fails is not tried again', async (t) => {
  const upstream = await rawUpstream(
    t,
    (socket) => void socket.once('data', () => socket.resetAndDestroy()),
  );
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  assert.equal(statusOf(await sendAll(t, port, GET)), 502);
  assert.equal(upstream.connections(), 1);
});

test('one broken upstream does not harm the calls to another', async (t) => {
  const broken = await rawUpstream(t, (socket) => void socket.resume());
  const healthy = await startHttpServer((_, response) => response.end('ok'));
  t.after(() => healthy.close());
  const { port } = await stage(t, {
    apis: [openApi(broken.url), { ...openApi(healthy.url), basePath: '/healthy' }],
    upstream: { maxActive: 2 },
  });
  for (let count = 0; count < 2; count++) (await wire(t, port)).send(GET);
  await until(() => broken.connections() === 2, 'the broken upstream holds all its calls');
  assert.equal(statusOf(await sendAll(t, port, GET)), 503);
  assert.equal(statusOf(await sendAll(t, port, GET.replace('/a', '/healthy/a'))), 200);
});
