import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { type AccessFormat, AccessLines } from '../../src/gateway/access-line.ts';
import { TrustedProxies } from '../../src/gateway/client-address.ts';
import type { Finished } from '../../src/gateway/finished.ts';

const REQUEST: Finished = {
  id: '0f8fad5b-d9cb-469f-a165-70867728950e',
  method: 'GET',
  target: '/petstore/v1/pet/7?status=sold&access_token=secret#part',
  version: '1.1',
  status: 200,
  outcome: 'forwarded',
  startedAt: 0,
  bytesIn: 0,
  bytesOut: 1_234,
  upstreamMs: 0.25,
  calledAt: 0,
  trace: undefined,
  operation: { name: '/petstore/v1/pet/{petId}', place: 0 },
  caller: { issuer: 'https://issuer.example', clientId: 'shop' },
  degraded: undefined,
  connection: { peer: '192.0.2.7' },
  head: { forwardedFor: undefined, fields: [] },
  site: { scheme: 'http' },
};

function lines(format: AccessFormat, sample = 1, proxies: readonly string[] = []) {
  const written: string[] = [];
  const write = (line: string): boolean => written.push(line) > 0;
  return { written, log: new AccessLines({ format, sample, write }, new TrustedProxies(proxies)) };
}

function line(format: AccessFormat, more: Partial<Finished> = {}, tookMs = 12.3456): string {
  const { written, log } = lines(format);
  assert.ok(log.finished({ ...REQUEST, ...more }, tookMs));
  assert.equal(written.length, 1);
  return written[0] ?? '';
}

function json(more: Partial<Finished> = {}, tookMs?: number): Record<string, unknown> {
  return JSON.parse(line('json', more, tookMs)) as Record<string, unknown>;
}

/** Apache's combined log format, read as its own documentation has it, and not as the writer does. */
const COMBINED =
  /^(\S+) (\S+) (\S+) \[(\d{2}\/[A-Z][a-z]{2}\/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4})\] "((?:[^"\\]|\\.)*)" (\d{3}|-) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"\n$/;

test('a line of JSON says what became of a request', () => {
  const before = Date.now();
  const { time, ...rest } = json();
  assert.ok(Math.abs(Date.parse(String(time)) + 12.3456 - before) < 1_000, 'when it began');
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, {
    id: REQUEST.id,
    client: '192.0.2.7',
    method: 'GET',
    path: '/petstore/v1/pet/7',
    version: '1.1',
    status: 200,
    outcome: 'forwarded',
    bytesIn: 0,
    bytesOut: 1_234,
    ms: 12.346,
    upstreamMs: 0.25,
    route: '/petstore/v1/pet/{petId}',
    issuer: 'https://issuer.example',
    clientId: 'shop',
  });
});

test('what is not known is not in it', () => {
  const known = Object.keys(
    json({ operation: undefined, caller: undefined, head: undefined, upstreamMs: -1 }),
  );
  for (const name of ['route', 'issuer', 'clientId', 'upstreamMs'])
    assert.ok(!known.includes(name));
  assert.equal(json({ caller: { issuer: undefined, clientId: undefined } })['issuer'], undefined);
});

test('a token that was let through in doubt is marked, and its line written whatever the sample is', () => {
  assert.ok(!('degraded' in json()));
  for (const degraded of ['allowed', 'introspected'] as const) {
    assert.equal(json({ degraded })['degraded'], degraded);
    const { written, log } = lines('json', 1_000_000);
    log.finished({ ...REQUEST, degraded }, 1);
    log.finished(REQUEST, 1);
    assert.equal(written.length, 1);
  }
});

test('Apache combined: host, user, time with its zone, request line, status, bytes', () => {
  const startedMs = Date.now() - 12.3456;
  const match = COMBINED.exec(line('combined'));
  assert.ok(match !== null);
  const [, client, ident, user, time = '', request, status, bytes, referer, agent] = match;
  assert.deepEqual(
    [client, ident, user, request, status, bytes, referer, agent],
    ['192.0.2.7', '-', 'shop', 'GET /petstore/v1/pet/7 HTTP/1.1', '200', '1234', '-', '-'],
  );
  const iso = time.replace(/^(\d+)\/(\w+)\/(\d+):/, '$1 $2 $3 ');
  assert.ok(Math.abs(Date.parse(iso) - startedMs) < 2_000, time);
  const none = line('combined', { caller: undefined, bytesOut: 0, status: 0, outcome: 'aborted' });
  assert.match(none, /^192\.0\.2\.7 - - \[[^\]]+\] "GET \S+ HTTP\/1\.1" - - "-" "-"\n$/);
});

test('a duration that rounds up to a second, and none at all', () => {
  assert.equal(json({ upstreamMs: 0 }, 0.9996)['ms'], 1);
  assert.equal(json({ upstreamMs: 0 }, 0.9996)['upstreamMs'], 0);
  assert.equal(json({}, 61_000.0004)['ms'], 61_000);
});

test('a refused connection has a line too, with what is known of it', () => {
  for (const format of ['json', 'combined'] as const) {
    const { written, log } = lines(format, 1_000_000);
    assert.ok(log.refused('badRequest', 400, REQUEST.id, '192.0.2.9', 89));
    if (format === 'combined')
      assert.match(written[0] ?? '', /^192\.0\.2\.9 - - \[[^\]]+\] "-" 400 89 "-" "-"\n$/);
    else {
      const { time, ...rest } = JSON.parse(written[0] ?? '') as Record<string, unknown>;
      assert.ok(time);
      const { id } = REQUEST;
      const none = { method: '-', path: '-', bytesIn: 0, bytesOut: 89, ms: 0 };
      assert.deepEqual(rest, {
        id,
        client: '192.0.2.9',
        status: 400,
        outcome: 'badRequest',
        ...none,
      });
    }
  }
});

test('behind a trusted proxy the client is the one whom it names, if that is an address', () => {
  const { written, log } = lines('json', 1, ['192.0.2.0/24']);
  const named = (forwardedFor: string) => {
    log.finished({ ...REQUEST, head: { forwardedFor, fields: [] } }, 1);
    return (JSON.parse(written.pop() ?? '') as Record<string, unknown>)['client'];
  };
  assert.equal(named('203.0.113.5'), '203.0.113.5');
  assert.equal(named('Bearer abc'), '192.0.2.7');
  const untrusted = json({ head: { forwardedFor: '203.0.113.5', fields: [] } });
  assert.equal(untrusted['client'], '192.0.2.7');
});

test('every n-th of what was served is written, of what was refused every one, by the id alone', () => {
  const ids = Array.from({ length: 4_000 }, () => randomUUID());
  const written = (sample: number, outcome: Finished['outcome']): string[] => {
    const { written: out, log } = lines('json', sample);
    for (const id of ids) assert.ok(log.finished({ ...REQUEST, id, outcome }, 1));
    return out.map((text) => (JSON.parse(text) as { id: string }).id);
  };
  const some = written(10, 'forwarded');
  assert.ok(some.length > 250 && some.length < 600, String(some.length));
  assert.deepEqual(written(10, 'aborted'), some, 'the same ones');
  assert.deepEqual(written(1, 'forwarded'), ids);
  for (const outcome of ['invalidCredentials', 'upstreamFailed', 'brokenOff', 'revoked'] as const)
    assert.deepEqual(written(1_000, outcome), ids, outcome);
});

test('a line that was dropped is said to be', () => {
  const log = new AccessLines(
    { format: 'json', sample: 1, write: () => false },
    new TrustedProxies([]),
  );
  assert.equal(log.finished(REQUEST, 1), false);
  assert.equal(log.refused('badRequest', 400, REQUEST.id, '::1', 89), false);
});

test('no query, no fragment, nothing that may be a token, no password of a target in absolute-form', () => {
  const token = `eyJhbGciOiJSUzI1NiJ9.${'e'.repeat(60)}.c2ln`;
  for (const [target, path] of [
    ['/a?access_token=x', '/a'],
    ['/a#access_token=x', '/a'],
    ['/?a', '/'],
    [`/a/${token}/b`, '/a/.../b'],
    [`/${token}`, '/...'],
    [`/a/${token}?x`, '/a/...'],
    ['/pet/0f8fad5b-d9cb-469f-a165-70867728950e', '/pet/0f8fad5b-d9cb-469f-a165-70867728950e'],
    ['http://user:password@host/path', '-'],
    ['*', '-'],
    ['', '-'],
  ] as const) {
    assert.equal(json({ target })['path'], path, target);
    assert.equal(COMBINED.exec(line('combined', { target }))?.[5], `GET ${path} HTTP/1.1`);
  }
  assert.equal(json({ method: token })['method'], '-');
});

test('whatever a request holds, its line is one line of bounded printable ASCII that reads as it should', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 600 }),
    fc.string({
      unit: fc.constantFrom(
        '"',
        '\\',
        '\n',
        '\r',
        ' ',
        '\u0000',
        '\u2028',
        'é',
        '\ud800',
        'x',
        '/',
        '?',
      ),
      maxLength: 600,
    }),
  );
  fc.assert(
    fc.property(text, text, text, text, (path, name, issuer, clientId) => {
      const request = {
        target: `/${path}`,
        operation: { name, place: 0 },
        caller: { issuer, clientId },
      };
      for (const format of ['json', 'combined'] as const) {
        const made = line(format, request);
        assert.match(made, /^[ -~]+\n$/);
        assert.ok(made.length < 16_000);
      }
      const read = json(request);
      if (issuer.length <= 256) assert.equal(read['issuer'], issuer.toWellFormed());
      else assert.ok(String(read['issuer']).length <= 259);
      assert.ok(!String(read['path']).includes('?'));
      const match = COMBINED.exec(line('combined', request));
      assert.ok(match !== null);
      assert.equal(match[5]?.split(' ').length, 3);
    }),
  );
});
