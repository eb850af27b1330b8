import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import { api, ENGINE, openApi, rawUpstream, sendAll, stage, statusOf, wire } from './stage.ts';

const CLOSE = 'Host: gw.example\r\nConnection: close\r\n';

/** An upstream that answers with the request as it saw it. */
async function echo(t: { after(end: () => Promise<void>): void }, name = '') {
  const server = await startHttpServer((incoming, response) => {
    let body = '';
    incoming.setEncoding('latin1').on('data', (chunk: string) => (body += chunk));
    incoming.on('end', () => {
      const { method, url, rawHeaders } = incoming;
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ name, method, url, headers: pairs(rawHeaders), body }));
    });
  });
  t.after(() => server.close());
  return server;
}

interface Echo {
  readonly name: string;
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
  readonly body: string;
}

function pairs(raw: readonly string[]): string[] {
  return raw.flatMap((name, at) => (at % 2 === 0 ? [`${name.toLowerCase()}: ${raw[at + 1]}`] : []));
}

function bodyOf(answer: string): Echo {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as Echo;
}

test('the path below the base path is appended to the endpoint, the query is kept', async (t) => {
  const upstream = await echo(t);
  const base = api(
    '/petstore/v1',
    ['GET /', { production: [`${upstream.url}/back/`] }],
    ['GET /pet/{id}', { production: [`${upstream.url}/back`] }],
    ['GET /bare', { production: [upstream.url] }],
  );
  const { port } = await stage(t, { apis: [base] });
  const urlFor = async (target: string): Promise<string> =>
    bodyOf(await sendAll(t, port, `GET ${target} HTTP/1.1\r\n${CLOSE}\r\n`)).url;
  assert.equal(
    await urlFor('/petstore/v1/pet/7?status=available&x=%2F..'),
    '/back/pet/7?status=available&x=%2F..',
  );
  assert.equal(
    await urlFor('/p%65tstore/v1/pet/%e2%82%ac'),
    '/back/pet/%e2%82%ac',
    'byte for byte',
  );
  assert.equal(await urlFor('/petstore/v1/pet/7/'), '/back/pet/7/');
  assert.equal(await urlFor('/petstore/v1?x'), '/back?x');
  assert.equal(await urlFor('/petstore/v1/bare?'), '/bare?');
});

test('the upstream gets its own Host and forwarding fields made here, nothing hop-by-hop and no token', async (t) => {
  const upstream = await echo(t);
  const { port } = await stage(t, {
    apis: [api('', ['GET /a', { secured: true, production: [upstream.url] }])],
  });
  const { headers } = bodyOf(
    await sendAll(
      t,
      port,
      'GET /a HTTP/1.1\r\nHost: gw.example:9090\r\nConnection: close, X-Nominated\r\nX-Nominated: 1\r\nAuthorization: Bearer good\r\n' +
        'X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n' +
        'X_Forwarded_For: 7.7.7.7\r\nX-Forwarded_Host: evil\r\nX--Forwarded--For: 8.8.8.8\r\n_Authorization: dropped\r\nX_User: dropped\r\nKeep-Alive: 5\r\nTE: trailers\r\n' +
        'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nTrailer: X\r\n' +
        'X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin\r\nX-Original-Method: PUT\r\nX-Envoy-Original-Path: /admin\r\n' +
        'X-Forwarded-User: admin\r\nX-Forwarded-Uri: /admin\r\nX_Forwarded_Email: admin\r\nX-Client-IP: 1\r\nTrue-Client-IP: 1\r\n' +
        'X-Cluster-Client-IP: 1\r\nCF-Connecting-IP: 1\r\nProxy: http://evil\r\nAccept: */*\r\nX-Own: 1\r\nX-Own: 2\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n',
    ),
  );
  assert.deepEqual(headers.toSorted(), [
    'accept: */*',
    ...(ENGINE === 'node' ? ['connection: keep-alive'] : []), // undici says what HTTP/1.1 means anyway
    'cookie: a=1; b=2',
    `host: 127.0.0.1:${upstream.port}`,
    'x-forwarded-for: 127.0.0.1',
    'x-forwarded-host: gw.example:9090',
    'x-forwarded-proto: http',
    'x-own: 1',
    'x-own: 2',
  ]);
});

test('a trusted proxy is believed and added to', async (t) => {
  const upstream = await echo(t);
  const { port } = await stage(t, {
    apis: [openApi(upstream.url)],
    trustedProxies: ['127.0.0.0/8'],
  });
  const { headers } = bodyOf(
    await sendAll(
      t,
      port,
      `GET /a HTTP/1.1\r\n${CLOSE}X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nForwarded: for=198.51.100.1\r\nX-Forwarded-User: me\r\nTrue-Client-IP: 198.51.100.1\r\nProxy: http://evil\r\nX-Original-Method: PUT\r\n\r\n`,
    ),
  );
  for (const field of [
    'x-forwarded-for: 198.51.100.1, 10.0.0.1, 127.0.0.1',
    'x-forwarded-proto: https',
    'x-forwarded-host: shop.example',
    'forwarded: for=198.51.100.1',
    'x-forwarded-user: me',
    'true-client-ip: 198.51.100.1',
  ]) {
    assert.ok(headers.includes(field), field);
  }
  assert.ok(!headers.some((field) => /^(proxy|x-original-method):/.test(field)), 'from nobody');
});

test('the credential header may have another name and may be kept', async (t) => {
  const upstream = await echo(t);
  const { port } = await stage(t, {
    apis: [api('', ['GET /a', { secured: true, production: [upstream.url] }])],
    authorizationHeader: 'X-Token',
    removeAuthHeader: false,
  });
  const answer = await sendAll(
    t,
    port,
    `GET /a HTTP/1.1\r\n${CLOSE}X-Token: Bearer good\r\nAuthorization: other\r\n\r\n`,
  );
  assert.deepEqual(
    bodyOf(answer)
      .headers.filter((field) => /token|authorization/.test(field))
      .toSorted(),
    ['authorization: other', 'x-token: Bearer good'],
  );
});

test('the key type of the token chooses production or sandbox, and several URLs take turns', async (t) => {
  const [one, two, sandbox] = [
    await echo(t, 'one'),
    await echo(t, 'two'),
    await echo(t, 'sandbox'),
  ];
  const { port } = await stage(t, {
    apis: [
      api(
        '',
        ['GET /both', { secured: true, production: [one.url, two.url], sandbox: [sandbox.url] }],
        ['POST /both', { secured: true, production: [one.url, two.url], sandbox: [sandbox.url] }],
      ),
    ],
  });
  const nameFor = async (token: string, method = 'GET'): Promise<string> =>
    bodyOf(
      await sendAll(
        t,
        port,
        `${method} /both HTTP/1.1\r\n${CLOSE}Authorization: Bearer ${token}\r\n\r\n`,
      ),
    ).name;
  assert.deepEqual(
    [
      await nameFor('good'),
      await nameFor('later'),
      await nameFor('good', 'POST'),
      await nameFor('good'),
    ],
    ['one', 'two', 'one', 'two'],
  );
  assert.equal(await nameFor('sandbox'), 'sandbox');
});

test('header rules and the Server header', async (t) => {
  const upstream = await startHttpServer((incoming, response) => {
    response.setHeader('Server', 'secret/1.2');
    response.end(JSON.stringify({ headers: pairs(incoming.rawHeaders) }));
  });
  t.after(() => upstream.close());
  const apis = [openApi(upstream.url)];
  const get = `GET /a HTTP/1.1\r\n${CLOSE}User-Agent: curl\r\n\r\n`;
  const plain = await sendAll(t, (await stage(t, { apis })).port, get);
  assert.match(plain, /\r\nserver: secret\/1\.2\r\n/);
  const named = await sendAll(t, (await stage(t, { apis, serverHeader: 'ballerina' })).port, get);
  assert.deepEqual(named.match(/\r\nserver: .*/gi), ['\r\nServer: ballerina']);
  const rules = [
    { name: 'User-Agent', preserve: false, override: 'gateway' },
    { name: 'Server', preserve: true, override: '' },
  ];
  const ruled = await sendAll(
    t,
    (await stage(t, { apis, serverHeader: 'ballerina', headerRules: rules })).port,
    get,
  );
  assert.match(ruled, /\r\nserver: secret\/1\.2\r\n/);
  assert.deepEqual(
    bodyOf(ruled).headers.filter((field) => field.startsWith('user-agent')),
    ['user-agent: gateway'],
  );
});

test('hop-by-hop fields of the answer stay here, Set-Cookie stays many', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.once('data', () =>
      socket.write(
        'HTTP/1.1 207 Own Words\r\nConnection: X-First\r\nX-First: 1\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nConnection: keep-alive\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: X-T\r\n' +
          'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nETag: "x"\r\nContent-Length: 2\r\n\r\nok',
      ),
    );
  });
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  const answer = await sendAll(t, port, `GET /a HTTP/1.1\r\n${CLOSE}\r\n`);
  assert.equal(statusOf(answer), 207);
  assert.deepEqual(
    answer.match(/^[\w-]+(?=:)/gm)?.filter((name) => name !== 'Date'),
    ['set-cookie', 'set-cookie', 'etag', 'Content-Length', 'Connection'],
  );
  assert.match(answer, /\r\nConnection: close\r\n/);
  assert.ok(answer.endsWith('\r\n\r\nok'));
});

test('an answer has one Date: that of the upstream, or of the gateway where the upstream says none', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.on('data', (bytes: Buffer) => {
      const [, date] = /^GET \/a\?(\w*)/.exec(bytes.toString('latin1')) ?? [];
      const line = date === '' ? '' : `${date}: Tue, 15 Nov 1994 08:12:31 GMT\r\n`;
      socket.write(`HTTP/1.1 200 OK\r\n${line}Content-Length: 2\r\n\r\nok`);
    });
  });
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  const dates = async (query: string): Promise<string[]> => {
    const answer = await sendAll(t, port, `GET /a?${query} HTTP/1.1\r\n${CLOSE}\r\n`);
    assert.equal(statusOf(answer), 200);
    return answer.match(/^date: .*$/gim) ?? [];
  };
  for (const name of ['Date', 'dAtE']) {
    const [date, ...more] = await dates(name);
    assert.deepEqual([date?.slice(6), more], ['Tue, 15 Nov 1994 08:12:31 GMT', []]);
  }
  const [own, ...more] = await dates('');
  assert.ok(own !== undefined && Date.parse(own.slice(6)) > Date.parse('2020-01-01'));
  assert.deepEqual(more, []);
});

test('bodies of known and unknown length arrive whole, trailers do not', async (t) => {
  const upstream = await echo(t);
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  const known = bodyOf(
    await sendAll(t, port, `POST /a HTTP/1.1\r\n${CLOSE}Content-Length: 5\r\n\r\nhello`),
  );
  assert.equal(known.body, 'hello');
  assert.ok(known.headers.includes('content-length: 5'));
  const chunked = bodyOf(
    await sendAll(
      t,
      port,
      `PATCH /a HTTP/1.1\r\n${CLOSE}Transfer-Encoding: Chunked\r\nTrailer: Authorization\r\n\r\n5;ext="x"\r\nhello\r\n1\r\n!\r\n0\r\nAuthorization: Bearer good\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n`,
    ),
  );
  assert.equal(chunked.body, 'hello!');
  assert.ok(chunked.headers.includes('transfer-encoding: chunked'));
  assert.ok(!chunked.headers.some((field) => /authorization|1\.1\.1\.1/.test(field)));
  const empty = bodyOf(
    await sendAll(t, port, `POST /a HTTP/1.1\r\n${CLOSE}Content-Length: 0\r\n\r\n`),
  );
  assert.ok(empty.headers.includes('content-length: 0'));
  const bodyless = bodyOf(await sendAll(t, port, `DELETE /a HTTP/1.1\r\n${CLOSE}\r\n`));
  assert.ok(!bodyless.headers.some((field) => /content-length|transfer-encoding/.test(field)));
});

test('HEAD, 204 and 304 have no body and leave the connection usable', async (t) => {
  const upstream = await startHttpServer((incoming, response) => {
    if (incoming.url === '/none') response.writeHead(204).end();
    else if (incoming.url === '/same') response.writeHead(304, { ETag: '"x"' }).end();
    else
      response
        .writeHead(200, { 'Content-Length': 1_000 })
        .end(incoming.method === 'HEAD' ? '' : 'x'.repeat(1_000));
  });
  t.after(() => upstream.close());
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = await wire(t, port);
  client.send('HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n');
  assert.match(await client.until(/\r\n\r\n/), /Content-Length: 1000\r\n/);
  client.send('GET /none HTTP/1.1\r\nHost: h\r\n\r\n');
  assert.doesNotMatch(
    await client.until(/ 204 [^]*\r\n\r\n/),
    / 204 [^]*(Content-Length|Transfer-Encoding)/,
  );
  client.send('GET /same HTTP/1.1\r\nHost: h\r\n\r\n');
  await client.until(/ 304 [^]*\r\n\r\n$/);
  client.send(`GET /a HTTP/1.1\r\n${CLOSE}\r\n`);
  assert.ok((await client.closed()).endsWith(`\r\n\r\n${'x'.repeat(1_000)}`));
});

test('an HTTP/1.0 client gets an answer that ends with its connection', async (t) => {
  const upstream = await startHttpServer((_, response) => {
    response.write('in ');
    response.end('pieces');
  });
  t.after(() => upstream.close());
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  const answer = await sendAll(t, port, 'GET /a HTTP/1.0\r\n\r\n');
  assert.doesNotMatch(answer, /transfer-encoding/i);
  assert.ok(answer.endsWith('\r\n\r\nin pieces'));
});

test('interim answers are swallowed; 100 is sent only when the upstream is there to take the body', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.once('data', () =>
      socket.write(
        'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
      ),
    );
  });
  const dead = 'http://127.0.0.1:1';
  const { port } = await stage(t, {
    apis: [
      api(
        '',
        ['POST /a', { production: [upstream.url] }],
        ['POST /dead', { production: [dead] }],
        ['POST /locked', { secured: true, production: [upstream.url] }],
      ),
    ],
  });
  const client = await wire(t, port);
  client.send(`POST /a HTTP/1.1\r\n${CLOSE}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n`);
  await client.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  assert.match(
    await client.send('hi').closed(),
    /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/,
  );
  for (const [path, status] of [
    ['/dead', 502],
    ['/locked', 401],
  ] as const) {
    const answer = await sendAll(
      t,
      port,
      `POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n`,
    );
    assert.equal(
      statusOf(answer),
      status,
      'no 100 first, and the connection is closed, as the body may come or not',
    );
  }
  for (const expectation of [
    '200-ok',
    'y 100-continue',
    '100-continue, foo',
    '100-continue\r\nExpect: 100-continue',
    '',
  ]) {
    const bytes = `POST /a HTTP/1.1\r\n${CLOSE}Content-Length: 2\r\nExpect: ${expectation}\r\n\r\nhi`;
    assert.equal(statusOf(await sendAll(t, port, bytes)), 417, expectation);
  }
  const handshake =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
  assert.equal(
    statusOf(
      await sendAll(t, port, `GET /a HTTP/1.1\r\nHost: h\r\n${handshake}Expect: 200-ok\r\n\r\n`),
    ),
    417,
  );
  assert.equal(upstream.connections(), 1);
});

test('a download that the client does not read is held back at the upstream', async (t) => {
  let written = 0;
  const chunk = Buffer.alloc(64 * 1024, 'x');
  const upstream = await rawUpstream(t, (socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n');
      const pump = (): void => {
        while (written < 268_435_456) {
          written += chunk.length;
          if (!socket.write(chunk)) break;
        }
      };
      socket.on('drain', pump);
      pump();
    });
  });
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  const call = request({ port, host: '127.0.0.1', path: '/a' }).end();
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  let before = -1;
  await until(async () => {
    const still = written === before;
    before = written;
    for (let turns = 0; turns < 20; turns++) await turn();
    return still && written > 0 && written === before;
  }, 'the upstream is stopped');
  assert.ok(
    written < 64 * 1024 * 1024,
    `${written} bytes left the upstream for a client that reads nothing`,
  );
  let read = 0;
  for await (const piece of response) read += (piece as Buffer).length;
  assert.equal(read, 268_435_456);
});

test('an upload that the upstream does not read is held back at the client', async (t) => {
  let go = (): void => undefined;
  const upstream = await rawUpstream(t, (socket) => {
    socket.pause();
    let seen = 0;
    go = () => {
      socket.on('data', (bytes) => {
        seen += bytes.length;
        if (seen >= 134_217_728) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      });
      socket.resume();
    };
  });
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = await wire(t, port);
  client.send(`PUT /a HTTP/1.1\r\n${CLOSE}Content-Length: 134217728\r\n\r\n`);
  const chunk = Buffer.alloc(64 * 1024);
  let sent = 0;
  const pump = (): void => {
    while (sent < 134_217_728) {
      sent += chunk.length;
      if (!client.socket.write(chunk)) break;
    }
  };
  client.socket.on('drain', pump);
  pump();
  let before = -1;
  await until(async () => {
    const still = sent === before;
    before = sent;
    for (let turns = 0; turns < 50; turns++) await turn();
    return still && upstream.connections() === 1;
  }, 'the client is stopped');
  assert.ok(sent < 64 * 1024 * 1024, `${sent} bytes were taken for an upstream that reads nothing`);
  go();
  assert.equal(statusOf(await client.closed(20_000)), 200);
});

test('an answer that comes before the whole upload ends the upload and reaches the client', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno'));
  });
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  const client = await wire(t, port);
  client.send('POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nfirst');
  assert.equal(statusOf(await client.until(/no$/)), 409);
  client.send('x'.repeat(99_995));
  client.send(`GET /x/y/z/none HTTP/1.1\r\n${CLOSE}\r\n`);
  // Own: so much is not waited for, and the answer said Connection: close. Either way nothing of the body is taken for a request.
  assert.match(await client.closed(), ENGINE === 'own' ? /no$/ : /no *HTTP\/1\.1 404 /);
});

for (const phase of ['before the head', 'in the body', 'in the upload'] as const) {
  test(`a client that leaves ${phase} takes the upstream call with it`, async (t) => {
    let opened = false;
    let closed = false;
    const upstream = await rawUpstream(t, (socket) => {
      socket.on('close', () => (closed = true));
      socket.on('end', () => socket.destroy());
      socket.once('data', () => {
        opened = true;
        if (phase === 'in the body')
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome');
      });
    });
    const { port, gateway } = await stage(t, { apis: [openApi(upstream.url)] });
    const client = await wire(t, port);
    if (phase === 'in the upload')
      client.send('POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nsome');
    else client.send('GET /a HTTP/1.1\r\nHost: h\r\n\r\n');
    if (phase === 'in the body') await client.until(/some$/);
    else await until(() => opened, 'the upstream has the request');
    client.socket.destroy();
    await until(() => closed, 'the upstream connection is closed');
    await until(() => gateway.counters().active === 0, 'the request is over');
    assert.deepEqual(gateway.counters().outcomes, { aborted: 1 });
  });
}

test('a client that leaves while its token is checked causes no call', async (t) => {
  const upstream = await echo(t);
  let check = (): void => undefined;
  const checking = new Promise<never>((_, reject) => (check = () => reject(new Error('late'))));
  let asked = false;
  const { port, gateway, log } = await stage(t, {
    apis: [api('', ['GET /a', { secured: true, production: [upstream.url] }])],
    authenticator: {
      authenticate: () => {
        asked = true;
        return checking;
      },
    },
  });
  const client = await wire(t, port);
  client.send('GET /a HTTP/1.1\r\nHost: h\r\n\r\n');
  await until(() => asked, 'the token is being checked');
  client.socket.destroy();
  await until(() => gateway.counters().active === 0, 'the request is over');
  check();
  await turn();
  assert.deepEqual(gateway.counters().outcomes, { aborted: 1 });
  assert.deepEqual(log.lines, [], 'nothing is said of an answer that nobody gets');
});

test('routes are replaced at once; a request that has begun keeps its own', async (t) => {
  const [old, young] = [await echo(t, 'old'), await echo(t, 'young')];
  const release: (() => void)[] = [];
  const slow = await startHttpServer((_, response) => release.push(() => response.end('slow')));
  t.after(() => slow.close());
  const { port, gateway, options } = await stage(t, {
    apis: [
      api('', ['GET /a', { production: [old.url] }], ['GET /slow', { production: [slow.url] }]),
    ],
  });
  const waiting = await wire(t, port);
  waiting.send(`GET /slow HTTP/1.1\r\n${CLOSE}\r\n`);
  await until(() => release.length === 1, 'the slow request is at its upstream');
  assert.throws(
    () => gateway.prepare({ ...options, apis: [api('', ['GET /a', { production: ['ftp://x'] }])] }),
    /endpoint/,
  );
  const get = async (): Promise<string> =>
    bodyOf(await sendAll(t, port, `GET /a HTTP/1.1\r\n${CLOSE}\r\n`)).name;
  assert.equal(await get(), 'old', 'unusable routes change nothing');
  const apis = [api('', ['GET /a', { production: [young.url] }])];
  const change = gateway.prepare({ ...options, apis });
  assert.equal(await get(), 'old', 'what is prepared is not used yet');
  change.commit();
  assert.equal(await get(), 'young');
  release[0]?.();
  assert.ok((await waiting.closed()).endsWith('slow'));
});

test('more calls than one upstream may have are answered 503, and there is room again afterwards', async (t) => {
  const held: (() => void)[] = [];
  const upstream = await startHttpServer((_, response) => held.push(() => response.end('ok')));
  t.after(() => upstream.close());
  const { port } = await stage(t, { apis: [openApi(upstream.url)], upstream: { maxActive: 1 } });
  const first = (await wire(t, port)).send(`GET /a HTTP/1.1\r\n${CLOSE}\r\n`);
  await until(() => held.length === 1, 'the first call is at the upstream');
  const second = await sendAll(t, port, `GET /a HTTP/1.1\r\n${CLOSE}\r\n`);
  assert.equal(statusOf(second), 503);
  assert.match(second, /\r\nRetry-After: 1\r\n/);
  held[0]?.();
  assert.equal(statusOf(await first.closed()), 200);
  const third = (await wire(t, port)).send(`GET /a HTTP/1.1\r\n${CLOSE}\r\n`);
  await until(() => held.length === 2, 'there is room again');
  held[1]?.();
  assert.equal(statusOf(await third.closed()), 200);
});

test('a connection to an upstream is not used again behind a GET or HEAD with a body, which it may not have read', async (t) => {
  const connections = new Set<unknown>();
  const upstream = await startHttpServer((incoming, response) => {
    connections.add(incoming.socket);
    incoming.resume().on('end', () => response.end());
  });
  t.after(() => upstream.close());
  const { port } = await stage(t, { apis: [openApi(upstream.url)] });
  for (const method of ['POST', 'GET', 'POST', 'HEAD', 'POST', 'POST']) {
    const head = `${method} /a HTTP/1.1\r\n${CLOSE}Content-Length: 5\r\n\r\n`;
    assert.equal(statusOf(await sendAll(t, port, `${head}GET /`)), 200);
  }
  assert.equal(connections.size, 3);
});
