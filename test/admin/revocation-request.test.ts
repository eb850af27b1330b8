import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatInstant, parseInstant } from '../../src/admin/instant.ts';
import fc from 'fast-check';
import { ruleRefusal } from '../../src/admin/rule-refusal.ts';
import { parseRule } from '../../src/revocation/parse-rule.ts';
import { startApi } from './stage.ts';

const T = Date.UTC(2026, 10, 22, 12);

describe('POST /revocations', () => {
  it('hands the core exactly what was written', async (t) => {
    const { post, call, operations } = await startApi(t);
    const sent = async (body: Record<string, unknown>) => {
      operations.requests.length = 0;
      const { status, text } = await post('/revocations', body);
      assert.ok(status === 201 || status === 200, text);
      return operations.requests[0]?.request;
    };
    assert.deepEqual(await sent({ token: 'abc', issuer: 'https://i', endsAt: 9e12 }), {
      what: { token: { token: 'abc', issuer: 'https://i', expiryTime: 9e12 } },
    });
    assert.deepEqual(
      await sent({
        subject: 'kim',
        session: 's1',
        client: 'shop',
        claims: { tenant: 'acme', level: 4, trial: true },
        issuer: 'https://i',
        issuedBefore: T,
        endsAt: '2099-11-22T13:00:00+01:00',
        reason: 'left',
        wait: 'threads',
        timeoutMs: 100,
      }),
      {
        what: {
          rule: {
            action: 'revoke',
            issuer: 'https://i',
            claims: {
              sub: 'kim',
              sid: 's1',
              client: 'shop',
              tenant: 'acme',
              level: 4,
              trial: true,
            },
            issuedBefore: T,
            endsAt: Date.UTC(2099, 10, 22, 12),
          },
        },
        reason: 'left',
        waitMs: 100,
      },
    );
    const before = Date.now();
    const request = await sent({ subject: 'kim', wait: 'threads' });
    assert.equal(request?.waitMs, 5_000);
    const rule = request.what !== undefined && 'rule' in request.what && request.what.rule;
    const cutoff = Number(rule && rule.issuedBefore);
    assert.ok(cutoff >= before && cutoff <= Date.now());

    // Exact text, whatever it is.
    for (const token of ['a\0b', 'a/b', '__proto__', '\u00e9', 'e\u0301', '\ud800', ' x\n'])
      assert.deepEqual(await sent({ token }), { what: { token: { token } } });
    // A JWT that was broken into lines is one; with words around it, or with a second one, it would be taken for a name that nothing has.
    const jwt = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJraW0ifQ.${'s'.repeat(43)}`;
    const broken = jwt.replaceAll(/.{20}/g, '$&\n');
    assert.deepEqual(await sent({ token: broken }), { what: { token: { token: broken } } });
    for (const token of [
      `Bearer ${jwt}`,
      `bearer\t${jwt}`,
      `Bearer abc`,
      `${jwt}\n${jwt}`,
      `a ${jwt}`,
    ]) {
      const { status, json } = await post('/revocations', { token });
      assert.deepEqual([status, json?.['code'], json?.['field']], [400, 'invalid_value', 'token']);
      assert.ok(!JSON.stringify(json).includes('eyJ'));
    }
    for (const subject of ['a\0b', '__proto__', '\u00e9', 'e\u0301'])
      assert.deepEqual(await sent({ subject, issuedBefore: T }), {
        what: { rule: { action: 'revoke', claims: { sub: subject }, issuedBefore: T } },
      });
    operations.requests.length = 0;
    const proto = await call('/revocations', {
      method: 'POST',
      body: '{"claims":{"__proto__":"x","constructor":"y"}}',
      headers: { 'Content-Type': 'application/json' },
    });
    assert.equal(proto.status, 201);
    const what = operations.requests[0]?.request.what;
    const claims = what !== undefined && 'rule' in what ? what.rule.claims : {};
    assert.deepEqual(Object.entries(claims), [
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
  });

  it('refuses what is not clear, and names the field', async (t) => {
    const { post, operations } = await startApi(t);
    const cases: readonly (readonly [Record<string, unknown>, string, string])[] = [
      [{}, 'missing_value', 'token'],
      [{ reason: 'x' }, 'missing_value', 'token'],
      [{ issuer: 'https://i' }, 'missing_value', 'issuedBefore'],
      [{ subject: 'kim', colour: 'red' }, 'unknown_member', 'colour'],
      [{ [`x${'y'.repeat(100)}`]: 1 }, 'unknown_member', `x${'y'.repeat(62)}…`],
      [{ 'a\u001b[2J\u202eb': 1 }, 'unknown_member', 'a\ufffd[2J\ufffdb'],
      [{ token: '' }, 'invalid_value', 'token'],
      [{ token: ' \n' }, 'invalid_value', 'token'],
      [{ token: 7 }, 'invalid_value', 'token'],
      [{ token: null }, 'invalid_value', 'token'],
      [{ token: 'x', subject: 'kim' }, 'invalid_value', 'subject'],
      [{ token: 'x', claims: {} }, 'invalid_value', 'claims'],
      [{ token: 'x', issuedBefore: T }, 'invalid_value', 'issuedBefore'],
      [{ token: 'x', endsAt: 1e12 }, 'invalid_value', 'endsAt'],
      [{ subject: '' }, 'invalid_value', 'subject'],
      [{ subject: ['kim'] }, 'invalid_value', 'subject'],
      [{ claims: {} }, 'invalid_value', 'claims'],
      [{ claims: ['tenant'] }, 'invalid_value', 'claims'],
      [{ claims: { tenant: '' } }, 'invalid_value', 'claims.tenant'],
      [{ claims: { tenant: null } }, 'invalid_value', 'claims.tenant'],
      [{ claims: { iss: 'https://i' } }, 'invalid_value', 'claims.iss'],
      [{ claims: { '': 'x' } }, 'invalid_value', 'claims.'],
      [{ claims: { ['n'.repeat(300)]: '' } }, 'invalid_value', `claims.${'n'.repeat(63)}…`],
      [{ subject: 'kim', claims: { sub: 'lee' } }, 'invalid_value', 'claims.sub'],
      [
        { claims: Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`c${i}`, 'x'])) },
        'invalid_value',
        'claims',
      ],
      [{ subject: 'kim', issuedBefore: T, endsAt: T }, 'invalid_value', 'endsAt'],
      [{ subject: 'kim', issuedBefore: 9e12, endsAt: 8e12 }, 'invalid_value', 'endsAt'],
      [{ subject: 'kim', issuedBefore: 1e12, endsAt: 1.1e12 }, 'invalid_value', 'endsAt'],
      [{ subject: 'kim', issuedBefore: T / 1000 }, 'invalid_value', 'issuedBefore'],
      [{ subject: 'kim', issuedBefore: -1 }, 'invalid_value', 'issuedBefore'],
      [{ subject: 'kim', issuedBefore: String(T) }, 'invalid_value', 'issuedBefore'],
      [{ subject: 'kim', issuedBefore: 'now' }, 'invalid_value', 'issuedBefore'],
      [{ subject: 'kim', endsAt: '2026-02-30T00:00:00Z' }, 'invalid_value', 'endsAt'],
      [{ subject: 'kim', wait: true }, 'invalid_value', 'wait'],
      [{ subject: 'kim', timeoutMs: 5 }, 'invalid_value', 'timeoutMs'],
      [{ subject: 'kim', wait: 'threads', timeoutMs: 30_001 }, 'invalid_value', 'timeoutMs'],
      [{ subject: 'kim', wait: 'threads', timeoutMs: 1.5 }, 'invalid_value', 'timeoutMs'],
      [{ subject: 'kim', reason: '' }, 'invalid_value', 'reason'],
      [{ subject: 'kim', reason: 'x'.repeat(257) }, 'invalid_value', 'reason'],
      [{ token: 'opaque-token', reason: 'it was opaque-token' }, 'invalid_value', 'reason'],
    ];
    for (const [body, code, field] of cases) {
      const { status, json } = await post('/revocations', body);
      assert.equal(status, 400, JSON.stringify(body));
      assert.deepEqual([json?.['code'], json?.['field']], [code, field], JSON.stringify(body));
    }
    assert.deepEqual(operations.requests, []);
  });

  it('refuses bodies that can be read in two ways', async (t) => {
    const { call, operations } = await startApi(t);
    for (const body of [
      '',
      '{',
      '[]',
      'null',
      '"x"',
      '{"subject":"kim","subject":"lee"}',
      '{"subject":"kim","sub\\u006aect":"lee"}',
      '{"claims":{"a":"x","a":"y"}}',
      '\ufeff{"subject":"kim"}',
      `{"claims":${'{"a":'.repeat(20)}1${'}'.repeat(20)}}`,
      Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    ]) {
      const headers = { 'Content-Type': 'application/json; charset=utf-8' };
      const { status, json } = await call('/revocations', { method: 'POST', body, headers });
      assert.deepEqual([status, json?.['code']], [400, 'malformed_body'], String(body));
    }
    assert.deepEqual(operations.requests, []);
  });

  it('answers 202 where not all threads confirmed, and 200 where it was known', async (t) => {
    const { post, operations } = await startApi(t);
    const body = { subject: 'kim', wait: 'threads' };
    const first = await post('/revocations', body);
    assert.equal(first.status, 201);
    assert.deepEqual(first.json?.['confirmedThreads'], { confirmed: 2, of: 2 });
    assert.equal((await post('/revocations', body)).status, 200);
    operations.threads = { confirmed: 1, of: 2 };
    const late = await post('/revocations', body);
    assert.equal(late.status, 202);
    assert.deepEqual(late.json?.['confirmedThreads'], { confirmed: 1, of: 2 });
  });
});

describe('DELETE /revocations/{id}', () => {
  it('takes a rule back, with a reason, and nothing else', async (t) => {
    const { post, call, operations } = await startApi(t);
    const rule = String((await post('/revocations', { subject: 'kim' })).json?.['id']);
    const token = String((await post('/revocations', { token: 'abc' })).json?.['id']);
    const lift = async (id: string, json: unknown) => {
      const answer = await call(`/revocations/${id}`, { method: 'DELETE', json });
      return [answer.status, answer.json?.['code'], answer.json?.['field']];
    };
    assert.deepEqual(await lift(rule, {}), [400, 'missing_value', 'reason']);
    assert.deepEqual(await lift(rule, { reason: 'x', force: 1 }), [400, 'unknown_member', 'force']);
    assert.deepEqual(await lift(token, { reason: 'x' }), [409, 'not_a_rule', undefined]);
    assert.deepEqual(await lift('r-nothing', { reason: 'x' }), [404, 'not_found', undefined]);
    const bare = await call(`/revocations/${rule}`, { method: 'DELETE' });
    assert.deepEqual([bare.status, bare.json?.['field']], [400, 'reason'], 'no body at all');
    assert.ok(operations.records.has(rule));
    assert.deepEqual(await lift(rule, { reason: 'back' }), [200, undefined, undefined]);
    assert.ok(!operations.records.has(rule));
  });
});

describe('moments', () => {
  it('are what RFC 3339 and epoch milliseconds say, and nothing that only looks so', () => {
    assert.equal(parseInstant('2026-11-22T12:00:00Z'), T);
    assert.equal(parseInstant('2026-11-22t13:30:00.123456789+01:30'), T + 123);
    assert.equal(parseInstant(T), T);
    for (const wrong of [
      '2026-11-22',
      '2026-11-22T12:00:00',
      '2026-11-22 12:00:00Z',
      '2026-11-22T24:00:00Z',
      '2026-11-22T12:60:00Z',
      '2026-11-22T12:00:60Z',
      '2026-13-01T00:00:00Z',
      '2026-00-01T00:00:00Z',
      '2025-02-29T00:00:00Z',
      '2026-11-22T12:00:00+24:00',
      '+002026-11-22T12:00:00Z',
      'Sun, 22 Nov 2026 12:00:00 GMT',
      '0001-01-01T00:00:00Z',
      '',
      `${T}`,
      T / 1000,
      T + 0.5,
      Number.NaN,
      1e300,
      true,
      null,
    ])
      assert.equal(typeof parseInstant(wrong), 'object', String(wrong));
    fc.assert(
      fc.property(fc.integer({ min: 1e11, max: 253_402_300_799_999 }), (ms) => {
        assert.equal(parseInstant(formatInstant(ms)), ms);
      }),
    );
    assert.equal(formatInstant(Number.MAX_SAFE_INTEGER), '9999-12-31T23:59:59.999Z');
  });
});

describe('what the core refuses', () => {
  const policy = {
    ttlUnit: 'epochMilliseconds',
    longestTokenLifeMs: 30 * 86_400_000,
    clockSkewMs: 5_000,
    rules: new Set(['subject', 'session', 'client', 'issuer', 'claims', 'lift'] as const),
  } as const;

  it('names the member of the body that is to be mended', async (t) => {
    const { post, operations } = await startApi(t);
    const take = operations.revoke.bind(operations);
    operations.revoke = (request, by, acts) => {
      if (!('rule' in request.what)) return take(request, by, acts);
      const parsed = parseRule(request.what.rule, policy, Date.now(), 'operator');
      return parsed.action === 'refuse'
        ? Promise.reject(ruleRefusal(parsed))
        : take(request, by, acts);
    };
    const long = 'x'.repeat(2_000);
    for (const [body, field] of [
      [{ subject: 'kim', issuedBefore: Date.now() + 3_600_000 }, 'issuedBefore'],
      [{ subject: 'kim', issuedBefore: Date.now() + 3_600_000, endsAt: 9e12 }, 'issuedBefore'],
      [{ subject: long }, 'subject'],
      [{ session: long }, 'session'],
      [{ client: long }, 'client'],
      [{ claims: { tenant: long } }, 'claims.tenant'],
      [{ claims: { [long]: 'x' } }, `claims.${'x'.repeat(63)}…`],
      [{ subject: 'kim', issuer: long }, 'issuer'],
    ] as const) {
      const { status, json } = await post('/revocations', body);
      assert.deepEqual([status, json?.['code'], json?.['field']], [400, 'invalid_value', field]);
      assert.ok(!JSON.stringify(json).includes(long));
    }
    assert.equal((await post('/revocations', { subject: 'kim' })).status, 201);
  });
});
