import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { after, test } from 'node:test';
import { Agent, WebSocket } from 'undici';
import { webSocketUpstream } from '../gateway/web-socket.ts';
import { claimsOf, testIssuer } from '../support/issuer.ts';
import {
  buildPetstore,
  owned,
  PETS,
  startGateway,
  type Gateway,
  type Owner,
} from '../support/product.ts';
import { until } from '../support/until.ts';

/** What a revocation has to end within, milliseconds. */
const SECOND = 1_000;

const file: Owner = { after };
const streams = new Set<ServerResponse>();
const upstream = await webSocketUpstream({ after }, undefined, {
  answer(_, response) {
    streams.add(response);
    response.on('close', () => streams.delete(response));
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write('data: hello\n\n');
  },
});
const { artifact } = await buildPetstore(file, { upstreamPort: upstream.port });
const issuer = testIssuer();
const now = (): number => Math.floor(Date.now() / 1_000);

/** Says something on every event stream that is open. */
function tell(text: string): void {
  for (const response of streams) response.write(`data: ${text}\n\n`);
}

/** A connection that stays open. */
interface Live {
  readonly what: string;
  /** How it ended; undefined while it has not. */
  readonly ended: () => string | undefined;
  /** Resolves once something has passed through it. */
  readonly speaks: () => Promise<void>;
}

async function openWebSocket(t: Owner, url: string, ca: string, token: string): Promise<Live> {
  const agent = new Agent({ connect: { ca } });
  owned(t, () => agent.destroy());
  const socket = new WebSocket(url.replace('http', 'ws') + PETS, {
    headers: { authorization: `Bearer ${token}` },
    dispatcher: agent,
  });
  let ended: string | undefined;
  let heard = 0;
  socket.addEventListener('message', () => heard++);
  socket.addEventListener('close', ({ code, reason }) => (ended = `${code} ${reason}`));
  await once(socket, 'open');
  return {
    what: url,
    ended: () => ended,
    async speaks() {
      const before = heard;
      socket.send('hello');
      await until(() => heard > before, `an echo comes over ${url}`);
    },
  };
}

/** What is heard on an event stream, and how it ends. */
function listened(what: string, stream: NodeJS.ReadableStream): Live & { text(): string } {
  let text = '';
  let ended: string | undefined;
  stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  stream.on('end', () => (ended ??= 'in order'));
  stream.on('error', () => (ended = 'broken off'));
  stream.on('close', () => (ended ??= 'broken off'));
  return {
    what,
    ended: () => ended,
    text: () => text,
    async speaks() {
      const words = `words ${Math.random()}`;
      tell(words);
      await until(() => text.includes(words), `an event comes over ${what}`);
    },
  };
}

async function openEvents(t: Owner, url: string, ca: string, token: string): Promise<Live> {
  const ask = url.startsWith('https:') ? httpsRequest : httpRequest;
  const headers = { authorization: `Bearer ${token}` };
  const request = ask(url + PETS, { agent: false, ca, headers });
  owned(t, async () => request.destroy());
  request.on('error', () => undefined);
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  const live = listened(`HTTP/1.1 ${url}`, response);
  await until(() => live.text().includes('hello'), 'the stream begins');
  return live;
}

async function openEventsOverHttp2(t: Owner, { https, ca }: Gateway, token: string): Promise<Live> {
  const session = connect(https, { ca });
  owned(t, async () => session.destroy());
  session.on('error', () => undefined);
  const stream = session.request({ ':path': PETS, authorization: `Bearer ${token}` });
  const live = listened(`HTTP/2 ${https}`, stream);
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
  assert.equal(headers[':status'], 200);
  await until(() => live.text().includes('hello'), 'the stream begins');
  return live;
}

/** One of each kind, all with the same token. */
function openAll(t: Owner, gateway: Gateway, token: string): Promise<Live[]> {
  const { http, https, ca } = gateway;
  return Promise.all([
    ...[http, https].flatMap((url) => [
      openWebSocket(t, url, ca, token),
      openEvents(t, url, ca, token),
    ]),
    openEventsOverHttp2(t, gateway, token),
  ]);
}

/** How each ends after a revocation that has just been answered. */
async function untilAllOver(lives: readonly Live[], withinMs = SECOND): Promise<void> {
  await until(() => lives.every(({ ended }) => ended() !== undefined), 'all are over', withinMs);
  for (const { what, ended } of lives)
    assert.equal(ended(), what.startsWith('HTTP') ? 'broken off' : '1008 token revoked', what);
}

async function assertGoOn(lives: readonly Live[]): Promise<void> {
  for (const live of lives) {
    assert.equal(live.ended(), undefined, live.what);
    await live.speaks();
  }
}

async function revoke(gateway: Gateway, body: object): Promise<void> {
  const { status, json } = await gateway.operator('POST', '/revocations', body);
  assert.equal(status, 201, JSON.stringify(json));
}

test('WebSockets and event streams of a revoked token are over within a second, others go on', async (t) => {
  const gateway = await startGateway(t, { artifact, issuers: [issuer] });
  const alice = issuer.token({ sub: 'alice' });
  const second = issuer.token({ sub: 'alice' });
  const revoked = await openAll(t, gateway, alice);
  const others = [
    ...(await openAll(t, gateway, second)),
    ...(await openAll(t, gateway, issuer.token({ sub: 'bob' }))),
  ];
  await revoke(gateway, { token: claimsOf(alice).jti });
  await untilAllOver(revoked);
  assert.equal((await gateway.call(alice)).status, 401);
  await assertGoOn(others);
  const outcome = 'portcullis_requests_total{outcome="revoked"}';
  assert.equal(await gateway.metric(outcome), revoked.length);

  // By a rule: everything of hers from before, and nothing of a login after it.
  const login = await openAll(t, gateway, issuer.token({ sub: 'alice', iat: now() + 2 }));
  await revoke(gateway, { subject: 'alice' });
  await untilAllOver(others.slice(0, revoked.length));
  await assertGoOn([...others.slice(revoked.length), ...login]);
  await until(
    () => streams.size === 6,
    'no call to the upstream is left of those that are over: three streams each of bob and the login',
  );
});

test('with streamGrace they go on that long, new calls do not', async (t) => {
  const graceMs = 2_000;
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    config: `[tokenRevocationConfig]
      streamGrace = "${graceMs}ms"`,
  });
  const token = issuer.token();
  const lives = await openAll(t, gateway, token);
  const before = performance.now();
  await revoke(gateway, { token });
  const since = performance.now();
  assert.equal((await gateway.call(token)).status, 401);
  while (performance.now() - since < graceMs / 2) await assertGoOn(lives);
  await untilAllOver(lives, graceMs + SECOND - (performance.now() - since));
  assert.ok(performance.now() - before >= graceMs);
});
