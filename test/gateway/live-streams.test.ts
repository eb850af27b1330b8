import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { test, type TestContext } from 'node:test';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import {
  api,
  caller,
  ENGINE,
  localCertificate,
  stage,
  type Stage,
  statusOf,
  wire,
  type Wire,
} from './stage.ts';
import {
  CLOSE_REVOKED,
  frame,
  handshake,
  webSocketUpstream,
  type WebSocketUpstream,
} from './web-socket.ts';

/** Lets everybody in by their name, and knows who is revoked since. */
class Tokens {
  readonly revoked = new Set<string>();
  /** Who was asked about. */
  readonly asked: string[] = [];

  readonly options: Pick<GatewayOptions, 'authenticator' | 'revoked'> = {
    authenticator: { authenticate: ([name = '']) => caller(name.replace('Bearer ', '')) },
    revoked: ({ subject = '' }) => {
      this.asked.push(subject);
      return this.revoked.has(subject);
    },
  };
}

/** Milliseconds that a busy machine may take; that the gateway's own clock stays below a second has a test of its own. */
const SOON = 10_000;

/** Streams that never end by themselves, WebSockets, and an answer that is whole. */
async function streaming(
  t: TestContext,
  options: Partial<GatewayOptions> = {},
): Promise<
  Stage & {
    readonly tokens: Tokens;
    readonly waiting: ServerResponse[];
    over: () => number;
    readonly webSockets: WebSocketUpstream;
  }
> {
  const waiting: ServerResponse[] = [];
  let over = 0;
  const upstream = await startHttpServer((request, response) => {
    if (request.url === '/plain') {
      response.end('plain');
      return;
    }
    request.resume();
    waiting.push(response);
    response.on('close', () => over++);
    if (request.url === '/events') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write('data: 1\n\n');
    }
  });
  t.after(() => upstream.close());
  const webSockets = await webSocketUpstream(t);
  const tokens = new Tokens();
  const secured = { secured: true, production: [upstream.url] };
  const staged = await stage(t, {
    apis: [
      api(
        '',
        ['GET /events', secured],
        ['GET /plain', secured],
        ['GET /wait', secured],
        ['POST /wait', secured],
        ['GET /ws', { ...secured, production: [webSockets.url] }],
        ['GET /open/ws', { production: [webSockets.url] }],
      ),
    ],
    ...tokens.options,
    ...options,
  });
  return { ...staged, tokens, waiting, over: () => over, webSockets };
}

const get = (path: string, name: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${name}\r\n\r\n`;

async function openWebSocket(t: TestContext, port: number, name: string): Promise<Wire> {
  const client = await wire(t, port);
  await client.send(handshake('/ws', { Authorization: `Bearer ${name}` })).until(/\r\n\r\n$/);
  client.text = '';
  return client;
}

test('the WebSocket of a token that is revoked ends with 1008, others go on', async (t) => {
  const { port, tokens, gateway, webSockets, log } = await streaming(t);
  const revoked = await openWebSocket(t, port, 'alice');
  const other = await openWebSocket(t, port, 'bob');
  const open = await wire(t, port);
  await open.send(handshake('/open/ws')).until(/\r\n\r\n$/);
  tokens.revoked.add('alice');
  assert.equal(await revoked.closed(SOON), CLOSE_REVOKED.toString('latin1'));
  assert.equal(revoked.ending, 'clean');
  await until(() => webSockets.sockets[0]?.closed === true, 'the upstream connection is over');
  await until(() => gateway.counters().active === 2, 'the exchange is over');
  assert.deepEqual(gateway.counters().outcomes, { revoked: 1 });
  await other.send(frame(1, 'hello', true)).until(/hello$/);
  assert.equal(open.ending, 'open');
  assert.ok(tokens.asked.every((name) => name === 'alice' || name === 'bob'));
  assert.match(
    log.lines.join('\n'),
    /INFO \[Gateway\] \[\S+\] ended: the token was revoked \(GET \/ws\)/,
  );
});

test('by the clock of the gateway it takes less than a second, for a request that began right before the revocation too', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { port, tokens } = await streaming(t);
  const client = await openWebSocket(t, port, 'alice');
  const events = (await wire(t, port)).send(get('/events', 'alice'));
  await events.until(/data: 1/);
  tokens.revoked.add('alice');
  t.mock.timers.tick(999);
  assert.equal(await client.closed(SOON), CLOSE_REVOKED.toString('latin1'));
  await events.closed(SOON);
  assert.equal(events.ending, 'reset');
});

test('what was asked about is asked about again only when something has changed since', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let changes = 7;
  /** Something is added while the answer is found. */
  let adding = false;
  const asked: string[] = [];
  const revoked = new Set<string>();
  const { port } = await streaming(t, {
    revocationChanges: () => changes,
    revoked: ({ subject = '' }) => {
      asked.push(subject);
      const answer = revoked.has(subject);
      if (adding) {
        adding = false;
        changes++;
        revoked.add(subject);
      }
      return answer;
    },
  });
  const walks = async (count: number): Promise<readonly string[]> => {
    asked.length = 0;
    for (let i = 0; i < count; i++) {
      t.mock.timers.tick(250);
      await new Promise(setImmediate);
    }
    return asked;
  };
  const alice = (await wire(t, port)).send(get('/events', 'alice'));
  await alice.until(/data: 1/);
  assert.deepEqual(await walks(4), ['alice']);
  const bob = (await wire(t, port)).send(get('/events', 'bob'));
  await bob.until(/data: 1/);
  assert.deepEqual(await walks(4), ['bob'], 'one that was opened since');
  changes++;
  assert.deepEqual([...(await walks(4))].sort(), ['alice', 'bob']);
  // What comes while it is asked about is behind the next walk.
  changes++;
  adding = true;
  assert.equal((await walks(2)).length, 3, 'the first of them twice');
  await (asked[0] === 'alice' ? alice : bob).closed(SOON);
  assert.deepEqual(await walks(4), []);
});

test('a grace ends also when nothing changes any more, and a rule that was lifted meanwhile ends nobody', async (t) => {
  let changes = 0;
  const { port, tokens } = await streaming(t, {
    streamGraceMs: 600,
    revocationChanges: () => changes,
  });
  const clients = [];
  for (const name of ['alice', 'bob']) {
    const client = (await wire(t, port)).send(get('/events', name));
    await client.until(/data: 1/);
    clients.push(client);
    tokens.revoked.add(name);
  }
  changes++;
  const askedTwice = (): boolean =>
    ['alice', 'bob'].every((name) => tokens.asked.filter((each) => each === name).length >= 1);
  await until(askedTwice, 'both were found revoked', SOON);
  tokens.revoked.delete('bob');
  changes++;
  await clients[0]?.closed(SOON);
  assert.equal(clients[1]?.ending, 'open');
});

test('however many there are, a walk lets other work have its turn every few milliseconds', async (t) => {
  const all = 40;
  /** How many were asked about between two turns of the event loop. */
  const together: number[] = [];
  let count = 0;
  const { port } = await streaming(t, {
    revoked: () => {
      if (count++ === 0)
        setImmediate(() => {
          together.push(count);
          count = 0;
        });
      const end = performance.now() + 1;
      while (performance.now() < end);
      return false;
    },
  });
  for (let i = 0; i < all; i++)
    await (await wire(t, port)).send(get('/events', `client ${i}`)).until(/data: 1/);
  together.length = 0;
  const asked = (): number => together.reduce((sum, each) => sum + each, 0);
  await until(() => asked() >= 2 * all, 'all were asked about twice', SOON);
  assert.ok(Math.max(...together) <= 4, String(together));
});

test('in the middle of a frame it is reset: no Close frame can be taken for the payload', async (t) => {
  const { port, tokens, webSockets } = await streaming(t);
  const client = await openWebSocket(t, port, 'alice');
  const half = frame(2, Buffer.alloc(1_000, 1)).subarray(0, 500);
  webSockets.sockets[0]?.write(half);
  await until(() => client.text.length === half.length, 'half a frame has arrived');
  tokens.revoked.add('alice');
  assert.equal((await client.closed(SOON)).length, half.length);
  assert.equal(client.ending, 'reset');
});

test('a WebSocket whose Close frame has passed gets no other', async (t) => {
  const { port, tokens, webSockets } = await streaming(t);
  const client = await openWebSocket(t, port, 'alice');
  const own = frame(8, Buffer.from('\x03\xe8', 'latin1'));
  webSockets.sockets[0]?.write(own);
  await until(() => client.text.length === own.length, 'the Close frame has arrived');
  tokens.revoked.add('alice');
  assert.equal(await client.closed(SOON), own.toString('latin1'));
  assert.equal(client.ending, 'clean');
});

test('over HTTPS too', async (t) => {
  const tls = await localCertificate();
  const { port, tokens, webSockets } = await streaming(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
  });
  const { WebSocket, Agent } = await import('undici');
  const agent = new Agent({ connect: { ca: tls.cert } });
  t.after(() => agent.destroy());
  const socket = new WebSocket(`wss://localhost:${port}/ws`, {
    headers: { authorization: 'Bearer alice' },
    dispatcher: agent,
  });
  await once(socket, 'open');
  tokens.revoked.add('alice');
  const [closed] = (await once(socket, 'close', { signal: AbortSignal.timeout(SOON) })) as [
    CloseEvent,
  ];
  assert.deepEqual([closed.code, closed.reason], [1008, 'token revoked']);
  await until(() => webSockets.sockets[0]?.closed === true, 'the upstream connection is over');
});

test('an event stream over HTTP/1.1 is reset, and its upstream call ended', async (t) => {
  const { port, tokens, gateway, over } = await streaming(t);
  const client = (await wire(t, port)).send(get('/events', 'alice'));
  const other = (await wire(t, port)).send(get('/events', 'bob'));
  await Promise.all([client.until(/data: 1/), other.until(/data: 1/)]);
  tokens.revoked.add('alice');
  const answer = await client.closed(SOON);
  assert.equal(client.ending, 'reset');
  assert.doesNotMatch(answer, /\r\n0\r\n\r\n$/);
  await until(() => over() === 1, 'the upstream call is over');
  assert.equal(other.ending, 'open');
  assert.deepEqual(gateway.counters(), { active: 1, outcomes: { revoked: 1 } });
});

async function secure(
  t: TestContext,
): Promise<Awaited<ReturnType<typeof streaming>> & { readonly session: ClientHttp2Session }> {
  const tls = await localCertificate();
  const staged = await streaming(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
  });
  const session = connect(`https://localhost:${staged.port}`, { ca: tls.cert });
  session.on('error', () => undefined);
  t.after(() => session.destroy());
  await once(session, 'connect');
  return { ...staged, session };
}

function ask(session: ClientHttp2Session, path: string, name: string): ClientHttp2Stream {
  const stream = session.request({ ':path': path, authorization: `Bearer ${name}` });
  stream.on('error', () => undefined);
  return stream.resume();
}

async function statusOn(session: ClientHttp2Session, path: string, name: string): Promise<unknown> {
  const [headers] = (await once(ask(session, path, name), 'response')) as [Record<string, unknown>];
  return headers[':status'];
}

test('an event stream over HTTP/2 ends with an error; other streams of the connection go on', async (t) => {
  const { session, tokens, over, gateway } = await secure(t);
  const names = ['first', 'second', 'alice', 'bob', 'alice'];
  const streams = names.map((name) => ask(session, '/events', name));
  await Promise.all(streams.map((stream) => once(stream, 'data')));
  const ended = async (name: string): Promise<void> => {
    tokens.revoked.add(name);
    const own = streams.filter((_, at) => names[at] === name);
    await until(() => own.every((stream) => stream.closed), `those of ${name} are over`, SOON);
    assert.ok(own.every((stream) => stream.rstCode === 2)); // INTERNAL_ERROR
    const open = names.filter((_, at) => streams[at]?.closed === false);
    assert.deepEqual(
      open,
      names.filter((other) => !tokens.revoked.has(other)),
    );
  };
  await ended('alice');
  await until(() => over() === 2, 'their upstream calls are over');
  assert.equal(await statusOn(session, '/plain', 'bob'), 200);
  await ended('second');
  await ended('first');
  await until(() => gateway.counters().active === 1, 'all but one are over');
  assert.deepEqual(gateway.counters().outcomes, { revoked: 4, forwarded: 1 });
});

test('what waits for an answer gets 401: long polls, and uploads that are under way', async (t) => {
  const { port, tokens, waiting, over } = await streaming(t);
  const poll = (await wire(t, port)).send(get('/wait', 'alice'));
  const upload = (await wire(t, port)).send(
    get('/wait', 'alice')
      .replace('GET', 'POST')
      .replace(/\r\n$/, 'Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n'),
  );
  await until(() => waiting.length === 2, 'both are at the upstream');
  tokens.revoked.add('alice');
  for (const client of [poll, upload]) {
    const answer = await client.until(/\}\}$/, SOON);
    assert.equal(statusOf(answer), 401);
    assert.match(answer, /"code":900901,/);
    assert.match(answer, /\r\nWWW-Authenticate: Bearer realm="Portcullis", error="invalid_token"/);
  }
  await until(() => over() === 2, 'the upstream calls are over');
  upload.send('0\r\n\r\n');
  // Own: an answer before the end of a body of unknown length is the last of its connection.
  if (ENGINE === 'own') await upload.closed();
  for (const client of ENGINE === 'own' ? [poll] : [poll, upload]) {
    client.text = '';
    assert.equal(statusOf(await client.send(get('/plain', 'bob')).until(/plain$/)), 200);
  }
});

test('a handshake that waits for its upstream gets 401', async (t) => {
  const { port, tokens, waiting, gateway, over } = await streaming(t);
  const client = (await wire(t, port)).send(handshake('/wait', { Authorization: 'Bearer alice' }));
  await until(() => waiting.length === 1, 'it is at the upstream');
  tokens.revoked.add('alice');
  assert.equal(statusOf(await client.closed(SOON)), 401);
  await until(() => over() === 1, 'the upstream call is over');
  assert.deepEqual(gateway.counters(), { active: 0, outcomes: { invalidCredentials: 1 } });
});

test('with a grace they are left that long', async (t) => {
  const { port, tokens } = await streaming(t, { streamGraceMs: 700 });
  const client = await openWebSocket(t, port, 'alice');
  const events = (await wire(t, port)).send(get('/events', 'alice'));
  await events.until(/data: 1/);
  tokens.revoked.add('alice');
  const revokedAt = performance.now();
  await until(() => tokens.asked.includes('alice'), 'they were asked about');
  await client.send(frame(1, 'hello', true)).until(/hello$/);
  await Promise.all([client.closed(), events.closed()]);
  const took = performance.now() - revokedAt;
  assert.ok(took >= 700, `they ended after ${took} ms`);
});

test('a token that is good again when the grace ends keeps its streams', async (t) => {
  const { port, tokens } = await streaming(t, { streamGraceMs: 400 });
  const client = await openWebSocket(t, port, 'alice');
  tokens.revoked.add('alice');
  await until(() => tokens.asked.length > 0, 'it was asked about');
  tokens.revoked.clear();
  const asked = tokens.asked.length;
  await until(() => tokens.asked.length > asked + 3, 'it was asked about again');
  assert.equal(client.ending, 'open');
});

test('nobody asks about plain requests', async (t) => {
  const { port, tokens } = await streaming(t);
  const witness = await openWebSocket(t, port, 'witness');
  const client = await wire(t, port);
  const asked = (): number => tokens.asked.length;
  do {
    client.text = '';
    await client.send(get('/plain', 'alice')).until(/plain$/);
  } while (asked() < 3);
  assert.deepEqual(new Set(tokens.asked), new Set(['witness']));
  assert.equal(witness.ending, 'open');
});

test('an answer that is written is not taken back', async (t) => {
  const { port, tokens } = await streaming(t);
  const body = get('/plain', 'alice').replace(/\r\n$/, 'Content-Length: 10\r\n\r\nhalf');
  const client = (await wire(t, port)).send(body);
  assert.equal(statusOf(await client.until(/plain$/)), 200);
  const witness = await openWebSocket(t, port, 'witness');
  tokens.revoked.add('alice').add('witness');
  await witness.closed();
  assert.notEqual(client.ending, 'reset');
});

test('1,000 WebSockets of one user end', async (t) => {
  const { port, tokens, gateway, webSockets } = await streaming(t);
  const clients: Wire[] = [];
  for (let batch = 0; batch < 20; batch++) {
    clients.push(
      ...(await Promise.all(Array.from({ length: 50 }, () => openWebSocket(t, port, 'alice')))),
    );
  }
  const other = await openWebSocket(t, port, 'bob').catch(() => undefined);
  assert.equal(other, undefined, 'the upstream has all the calls that it may have');
  assert.equal(gateway.counters().active, 1_000);
  tokens.revoked.add('alice');
  const closed = await Promise.all(clients.map((client) => client.closed(SOON)));
  assert.ok(closed.every((text) => text === CLOSE_REVOKED.toString('latin1')));
  await until(() => gateway.counters().active === 0, 'all are over');
  await until(() => webSockets.sockets.every((socket) => socket.closed), 'the upstream has none');
  assert.equal(gateway.counters().outcomes.revoked, 1_000);
});
