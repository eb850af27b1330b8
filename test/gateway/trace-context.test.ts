import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import type { Span } from '../../src/telemetry/span.ts';
import { startHttpServer } from '../support/http-server.ts';
import { until } from '../support/until.ts';
import { api, rawUpstream, stage, wire } from './stage.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const SAMPLED = `00-${TRACE}-${PARENT}-01`;
const OWN = /^00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])$/;

/** A gateway that traces, and an upstream that remembers the fields it got. */
async function traced(
  t: TestContext,
  sample: number | undefined,
  more: Partial<GatewayOptions> = {},
) {
  const spans: Span[] = [];
  const requests: IncomingHttpHeaders[] = [];
  const server = await startHttpServer((incoming, response) => {
    requests.push(incoming.headers);
    response.writeHead(incoming.url === '/missing' ? 404 : 200).end('body');
  });
  t.after(() => server.close());
  const staged = await stage(t, {
    apis: [
      api(
        '',
        ['GET /{a}', { production: [server.url] }],
        ['GET /secured/{a}', { production: [server.url], secured: true }],
      ),
    ],
    ...(sample === undefined ? {} : { tracing: { sample, record: (span) => spans.push(span) } }),
    ...more,
  });
  const call = async (path: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(staged.url + path, { headers });
    await answer.text();
    return requests.at(-1) ?? {};
  };
  return { ...staged, server, spans, requests, call };
}

test('without tracing, what a client says of traces passes untouched, right or wrong', async (t) => {
  const { call } = await traced(t, undefined);
  for (const traceparent of [SAMPLED, 'nonsense']) {
    const fields = { traceparent, tracestate: 'a=b', baggage: 'c=d' };
    const got = await call('/x', fields);
    for (const [name, value] of Object.entries(fields)) assert.equal(got[name], value);
  }
  assert.equal((await call('/x'))['traceparent'], undefined);
});

test('a trace that a client began goes on: same trace, a new span, tracestate and baggage kept', async (t) => {
  const { call, spans } = await traced(t, 1_000_000);
  const got = await call('/x?q', { traceparent: SAMPLED, tracestate: 'a=b,c=d', baggage: 'e=f' });
  const [, traceId, callId, flags] = OWN.exec(String(got['traceparent'])) ?? [];
  assert.deepEqual([traceId, flags], [TRACE, '01']);
  assert.notEqual(callId, PARENT);
  assert.deepEqual([got['tracestate'], got['baggage']], ['a=b,c=d', 'e=f']);
  await until(() => spans.length === 2, 'two spans');
  const [server, client] = spans;
  assert.deepEqual(
    [server?.kind, server?.traceId, server?.parentId, server?.name, server?.failed],
    ['server', TRACE, PARENT, 'GET /{a}', false],
  );
  assert.deepEqual(
    [client?.kind, client?.traceId, client?.parentId, client?.spanId, client?.failed],
    ['client', TRACE, server?.spanId, callId, false],
  );
  assert.ok(server && client);
  assert.ok(server.startMs <= client.startMs && client.startMs <= client.endMs);
  assert.ok(Math.abs(server.endMs - Date.now()) < 10_000);
  assert.equal(server.attributes['url.path'], '/x');
  assert.equal(server.attributes['http.route'], '/{a}');
  assert.equal(server.attributes['http.response.status_code'], 200);
  assert.equal(client.attributes['server.address'], '127.0.0.1');
});

test('the address of an upstream by IPv6 is the address alone', async (t) => {
  const { url, spans } = await traced(t, 1, {
    apis: [api('', ['GET /{a}', { production: ['http://[::1]:1'] }])],
  });
  assert.equal((await fetch(`${url}/x`)).status, 502);
  await until(() => spans.length === 2, 'both spans');
  const { attributes } = spans[1] ?? {};
  assert.deepEqual([attributes?.['server.address'], attributes?.['server.port']], ['::1', 1]);
});

test('a client that does not want its trace recorded is heard, and the trace goes on', async (t) => {
  const { call, spans } = await traced(t, 1);
  const got = await call('/x', { traceparent: `00-${TRACE}-${PARENT}-00` });
  assert.match(String(got['traceparent']), new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
  await call('/x');
  await until(() => spans.length > 0, 'the other is recorded');
  assert.ok(spans.every(({ traceId }) => traceId !== TRACE));
});

test('what is no traceparent begins a new trace, and its tracestate is dropped', async (t) => {
  const { call } = await traced(t, 1_000_000);
  for (const traceparent of [
    'nonsense',
    '',
    `00-${'0'.repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `ff-${TRACE}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}-01-more`,
    `00-${TRACE.toUpperCase()}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}`,
    `00-${TRACE}-${PARENT}-1`,
    `cc-${TRACE}-${PARENT}-01-${'x'.repeat(300)}`,
  ]) {
    const got = await call('/x', { traceparent, tracestate: 'a=b' });
    const [, traceId] = OWN.exec(String(got['traceparent'])) ?? [];
    assert.ok(traceId !== undefined && traceId !== TRACE, traceparent);
    assert.equal(got['tracestate'], undefined, traceparent);
  }
  const later = await call('/x', { traceparent: `cc-${TRACE}-${PARENT}-01-more` });
  assert.match(String(later['traceparent']), new RegExp(`^00-${TRACE}-`), 'a later version');
});

test('two traceparents are none', async (t) => {
  const { port, requests } = await traced(t, 1_000_000);
  const client = await wire(t, port);
  client.send(
    `GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\ntraceparent: ${SAMPLED}\r\nTraceparent: ${SAMPLED}\r\n\r\n`,
  );
  await client.closed();
  const value = String(requests[0]?.['traceparent']);
  assert.match(value, OWN);
  assert.ok(!value.includes(TRACE));
});

test('of the traces that begin here every n-th is recorded; ids do not repeat', async (t) => {
  const { call, spans, requests } = await traced(t, 4);
  for (let n = 0; n < 120; n++) await call('/x');
  const sampled = requests.filter(({ traceparent }) => String(traceparent).endsWith('-01'));
  assert.ok(sampled.length > 5 && sampled.length < 70, String(sampled.length));
  await until(() => spans.length === sampled.length * 2, 'their spans');
  const ids = requests.flatMap(({ traceparent }) => String(traceparent).split('-').slice(1, 3));
  assert.equal(new Set(ids).size, ids.length);
});

test('a refused request has a span of its own trace, and the upstream hears nothing; no token is in it', async (t) => {
  const { url, spans, requests } = await traced(t, 1);
  const token = 't0ken'.repeat(20);
  const answer = await fetch(`${url}/secured/${token}?t=${token}`, {
    headers: { authorization: `Bearer ${token}`, traceparent: SAMPLED },
  });
  assert.equal(answer.status, 401);
  await until(() => spans.length === 1, 'a span');
  assert.deepEqual(requests, []);
  const [span] = spans;
  assert.deepEqual([span?.traceId, span?.parentId, span?.failed], [TRACE, PARENT, false]);
  assert.equal(span?.attributes['portcullis.outcome'], 'invalidCredentials');
  assert.equal(span.attributes['portcullis.request_id'], answer.headers.get('x-request-id'));
  assert.ok(!JSON.stringify(span).includes('t0ken'));
});

test('failures are said: a 404 of the upstream in its call alone, a broken one in both', async (t) => {
  const { call, spans } = await traced(t, 1);
  await call('/missing');
  await until(() => spans.length === 2, 'two spans');
  assert.deepEqual(
    spans.map(({ kind, failed, attributes }) => [kind, failed, attributes['error.type']]),
    [
      ['server', false, undefined],
      ['client', true, '404'],
    ],
  );
  const upstream = await rawUpstream(t, (socket) => socket.once('data', () => socket.destroy()));
  const broken = await traced(t, 1, {
    apis: [api('', ['GET /{a}', { production: [upstream.url] }])],
  });
  await fetch(`${broken.url}/x`).then((answer) => answer.text());
  await until(() => broken.spans.length === 2, 'two spans');
  assert.deepEqual(
    broken.spans.map(({ kind, failed, attributes }) => [kind, failed, attributes['error.type']]),
    [
      ['server', true, '502'],
      ['client', true, 'upstreamFailed'],
    ],
  );
});

test('no traceparent, whatever it is, is refused or passed on as it came', async (t) => {
  const { port, requests } = await traced(t, 1_000_000);
  const client = await wire(t, port);
  const values = fc.sample(
    fc.oneof(
      fc.string({ maxLength: 80 }).map((text) => text.replaceAll(/[^\x21-\x7e]/g, 'x')),
      fc.string({ unit: fc.constantFrom('0', '1', 'a', 'f', '-'), minLength: 50, maxLength: 60 }),
    ),
    { numRuns: 60, seed: 7 },
  );
  for (const [n, value] of values.entries()) {
    client.send(`GET /x HTTP/1.1\r\nHost: h\r\ntraceparent: ${value}\r\n\r\n`);
    await until(() => requests.length === n + 1, 'it arrived');
    assert.match(String(requests[n]?.['traceparent']), OWN, value);
  }
  client.socket.end();
  await once(client.socket, 'close');
});
