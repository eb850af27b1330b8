import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validate } from '@readme/openapi-parser';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { OPENAPI } from '../../src/admin/openapi-document.ts';
import { API_REFUSALS, ApiRefusal } from '../../src/errors.ts';
import type { Verdict } from '../../src/admin/operations.ts';
import { type Answer, exchange, send, type Sending, startApi } from './stage.ts';

type Responses = Readonly<
  Record<string, { readonly content: Readonly<Record<string, { readonly schema: object }>> }>
>;
interface Operation {
  readonly responses: Responses;
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly schema: object }>>;
  };
}

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;
const ajv = new Ajv2020({ strict: true, strictRequired: false, allErrors: false });
ajv.addFormat('date-time', RFC_3339);
ajv.addVocabulary(['components', 'openapi', 'info', 'servers', 'security', 'paths']);
ajv.addSchema({ $id: 'api', ...structuredClone(OPENAPI) });

function validator(schema: object): ValidateFunction {
  const text = JSON.stringify(schema).replaceAll('"#/', '"api#/');
  return ajv.compile(JSON.parse(text) as object);
}

function operation(path: string, method: string): Operation {
  const methods: Readonly<Record<string, unknown>> =
    OPENAPI.paths[path as keyof typeof OPENAPI.paths];
  const found = methods[method.toLowerCase()];
  assert.ok(found !== undefined, `${method} ${path} is not in the document`);
  return found as Operation;
}

test('the document is OpenAPI 3.1, and is what /openapi.json answers', async (t) => {
  const { call } = await startApi(t);
  const { json } = await call('/openapi.json');
  assert.deepEqual(json, structuredClone(OPENAPI));
  const document = structuredClone(OPENAPI) as unknown as Parameters<typeof validate>[0];
  const { valid, ...rest } = await validate(document);
  assert.ok(valid, JSON.stringify(rest));
  for (const methods of Object.values(OPENAPI.paths))
    for (const [method, found] of Object.entries(methods)) {
      if (method === 'parameters') continue;
      for (const { content } of Object.values((found as Operation).responses))
        for (const { schema } of Object.values(content)) validator(schema);
    }
});

/** Sends a call and holds its answer to the document: status, media type and body. */
function checked(seen: Set<string>) {
  return (template: string, method: string, answer: Answer): Answer => {
    const { responses } = operation(template, method);
    const described = responses[String(answer.status)];
    assert.ok(described !== undefined, `${method} ${template} ${answer.status} is not described`);
    const type = String(answer.headers['content-type']).split(';')[0] ?? '';
    const schema = described.content[type]?.schema;
    assert.ok(schema !== undefined, `${method} ${template} ${answer.status} ${type}`);
    const check = validator(schema);
    const body = type === 'application/json' ? answer.json : answer.text;
    assert.ok(check(body), `${method} ${template} ${answer.text} ${ajv.errorsText(check.errors)}`);
    seen.add(`${method} ${template} ${answer.status}`);
    return answer;
  };
}

test('every path, status and body that is answered is in the document, and nothing in it is never answered', async (t) => {
  const seen = new Set<string>();
  const check = checked(seen);
  const codes = new Set<string>();
  const stage = await startApi(t, { timeouts: { headersMs: 200, requestMs: 400 } });
  const { operations, port, url } = stage;
  const call = async (template: string, method: string, sending: Sending = {}, id = '') => {
    const path = template.replace('{id}', id);
    const answer = check(template, method, await stage.call(path, { ...sending, method }));
    const code = answer.json?.['code'];
    if (answer.status >= 400 && typeof code === 'string') codes.add(code);
    return answer;
  };
  const refusing = async <T>(refusal: Error, then: () => Promise<T>): Promise<T> => {
    operations.refusal = refusal;
    try {
      return await then();
    } finally {
      operations.refusal = undefined;
    }
  };

  const reason = 'left the company';
  const full = { subject: 'kim', claims: { t: 'x' }, issuer: 'i', reason, wait: 'threads' };
  const rule = String((await call('/revocations', 'POST', { json: full })).json?.['id']);
  await call('/revocations', 'POST', { json: full });
  operations.threads = { confirmed: 0, of: 2 };
  operations.published = [{ source: 'realtime', ok: false, reason: 'refused' }];
  await call('/revocations', 'POST', { json: full });
  const made = await call('/revocations', 'POST', { json: { token: 'abc' } });
  const token = String(made.json?.['id']);
  await call('/revocations', 'GET');
  const first = await stage.call('/revocations?limit=1');
  check('/revocations', 'GET', first);
  assert.ok(first.json?.['next'] !== undefined);
  await call('/revocations/{id}', 'GET', {}, rule);
  await call('/revocations/{id}', 'GET', {}, token);
  await call('/revocations/{id}', 'GET', {}, 'nothing');
  await call('/revocations/{id}', 'DELETE', { json: { reason } }, token);
  await call('/revocations/{id}', 'DELETE', { json: { reason } }, 'nothing');
  await refusing(new ApiRefusal('not_durable', 'the disk is full'), () =>
    call('/revocations/{id}', 'DELETE', { json: { reason } }, rule),
  );
  await call('/revocations/{id}', 'DELETE', { json: { reason } }, rule);
  await call('/revocations', 'GET');
  for (const code of ['list_full', 'not_durable'] as const)
    await refusing(new ApiRefusal(code, 'no room'), () =>
      call('/revocations', 'POST', { json: { token: 'abc' } }),
    );

  const verdicts: Verdict[] = [
    { wouldPass: true, reason: 'valid', detail: 'it would pass' },
    { wouldPass: false, reason: 'expired', status: 401, detail: 'it has expired', sinceMs: 1e12 },
    { wouldPass: false, reason: 'stale', status: 503, detail: 'x', source: 's', sinceMs: 1e12 },
    {
      wouldPass: false,
      reason: 'rule_revoked',
      status: 401,
      detail: 'a rule denies it',
      revocation: {
        id: 'r-AAAAAAAAAAAAAAAA',
        kind: 'claims',
        source: 'operator',
        learntAtMs: 1e12,
        endsAtMs: 2e12,
        issuedBeforeMs: 1e12,
        issuer: 'i',
        claims: [['__proto__', 'x']],
        by: 'operator token',
        reason,
      },
    },
  ];
  for (operations.verdict of verdicts)
    await call('/revocations/explain', 'POST', { json: { token: 'a.b.c' } });
  const shown = await stage.post('/revocations/explain', { token: 'a.b.c' });
  assert.match(shown.text, /"claims":\{"__proto__":"x"\}/);

  operations.unreadable = new ApiRefusal('taken_over', 'ask the other one');
  await call('/revocations', 'GET');
  await call('/revocations/{id}', 'GET', {}, rule);
  await call('/revocations/{id}', 'DELETE', { json: { reason } }, rule);
  await call('/revocations/explain', 'POST', { json: { token: 'a.b.c' } });
  operations.unreadable = undefined;

  await call('/status', 'GET');
  await call('/ready', 'GET');
  const since = { source: 'persistent', sinceMs: 1e12 };
  operations.ready = { ready: false, reasons: [{ code: 'stale', message: 'x', ...since }] };
  await call('/ready', 'GET');
  await call('/status', 'GET');
  await call('/metrics', 'GET');
  await call('/openapi.json', 'GET');

  // What is refused everywhere, everywhere.
  for (const [path, methods] of Object.entries(OPENAPI.paths))
    for (const method of Object.keys(methods).filter((name) => name !== 'parameters')) {
      const target = path.replace('{id}', rule);
      const name = method.toUpperCase();
      const { requestBody } = operation(path, name);
      await call(path, name, { headers: { Host: 'evil.example' } }, rule);
      if (path !== '/metrics' && path !== '/ready')
        check(path, name, await send(`${url}${target}`, { method: name }));
      if (path !== '/metrics') await call(path, name, {}, rule);
      if (path !== '/revocations' && path !== '/metrics')
        check(path, name, await stage.call(`${target}?x=1`, { method: name }));
      else if (path === '/revocations')
        check(path, name, await stage.call(`${target}?kind=1`, { method: name }));
      if (requestBody === undefined) continue;
      const headers = { 'Content-Type': 'application/json' };
      for (const body of ['', '{}', '{"x":1}', '{"token":7,"reason":7}', `"${'x'.repeat(70_000)}`])
        await call(
          path,
          name,
          { body, headers: { ...headers, 'Content-Length': String(body.length) } },
          rule,
        );
      await call(path, name, {}, rule);
      const text = { 'Content-Type': 'text/plain', 'Content-Length': '2' };
      await call(path, name, { body: '{}', headers: text }, rule);
    }

  // Answers that every path may have, each seen once on the wire.
  for (const [bytes, status] of [
    ['NO HTTP\r\n\r\n', 400],
    ['GET /status HTTP/1.1\r\nHost: l', 408],
    [`GET /status HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ] as const) {
    const text = await exchange(port, bytes);
    assert.ok(text.startsWith(`HTTP/1.1 ${status} `), text);
    const json = JSON.parse(text.split('\r\n\r\n')[1] ?? '') as Record<string, unknown>;
    const headers = { 'content-type': /^Content-Type: (.*)\r$/m.exec(text)?.[1] };
    codes.add(String(json['code']));
    for (const [path, methods] of Object.entries(OPENAPI.paths))
      for (const method of Object.keys(methods).filter((name) => name !== 'parameters'))
        check(path, method.toUpperCase(), { status, headers, text, json });
  }
  const put = await stage.call('/status', { method: 'PUT' });
  codes.add(String(put.json?.['code']));
  const broken = new Error('broken');
  const failed = await refusing(broken, () => stage.post('/revocations', { token: 'x' }));
  codes.add(String(failed.json?.['code']));
  codes.add(String((await send(`${url}/status`)).json?.['code']));
  for (const [path, methods] of Object.entries(OPENAPI.paths))
    for (const method of Object.keys(methods).filter((name) => name !== 'parameters')) {
      check(path, method.toUpperCase(), put);
      check(path, method.toUpperCase(), failed);
      if (path === '/metrics' || path === '/ready') seen.add(`${method.toUpperCase()} ${path} 401`);
    }
  assert.deepEqual([...codes].sort(), Object.keys(API_REFUSALS).sort(), 'every code was seen');

  const described = Object.entries(OPENAPI.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => method !== 'parameters')
      .flatMap(([method, found]) =>
        Object.keys((found as Operation).responses).map(
          (status) => `${method.toUpperCase()} ${path} ${status}`,
        ),
      ),
  );
  assert.deepEqual([...seen].sort(), described.sort());
});

test('what the document lets in is let in, and what it keeps out is refused', async (t) => {
  const { call } = await startApi(t);
  const schema = operation('/revocations', 'POST').requestBody?.content['application/json']?.schema;
  const accepts = validator(schema ?? {});
  const text = fc.constantFrom('kim', '', ' ', 'a\0b', '__proto__', 'é');
  const moment = fc.constantFrom<unknown>(
    9e12,
    '2099-11-22T12:00:00Z',
    '2099-11-22',
    1_700_000_000,
    1.5e12 + 0.5,
    null,
  );
  const anything = fc.constantFrom<unknown>(undefined, null, 7, [], {});
  const body = fc.record(
    {
      token: fc.oneof(text, anything),
      subject: fc.oneof(text, anything),
      session: text,
      client: text,
      issuer: text,
      claims: fc.oneof(
        fc.dictionary(fc.constantFrom('t', 'iss'), fc.oneof(text, fc.constantFrom(4, true))),
        anything,
      ),
      issuedBefore: fc.oneof(fc.constant(1.7e12), moment),
      endsAt: fc.oneof(fc.constant(9.5e12), moment),
      reason: fc.oneof(text, fc.constant('x'.repeat(257))),
      wait: fc.constantFrom<unknown>('threads', 'forever', true),
      timeoutMs: fc.constantFrom<unknown>(1, 30_000, 0, 30_001, 1.5, '5'),
      colour: fc.constant('red'),
    },
    { requiredKeys: [] },
  );
  // Few members at a time: else nearly all are refused.
  const few = fc
    .tuple(body, fc.array(fc.nat(11), { minLength: 1, maxLength: 4 }))
    .map(([whole, keep]) => {
      const entries = Object.entries(whole).filter(([, value]) => value !== undefined);
      return Object.fromEntries(entries.filter((_, index) => keep.includes(index)));
    });
  const outcomes = { accepted: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(few, async (json) => {
      // What a schema cannot say: an end that lies before its own cut-off, a reason that repeats the token.
      fc.pre(!(json['endsAt'] !== undefined && json['issuedBefore'] !== undefined));
      fc.pre(json['token'] === undefined || json['reason'] !== json['token']);
      const { status, text } = await call('/revocations', { method: 'POST', json });
      const good = accepts(json);
      assert.equal(status < 300, good, `${JSON.stringify(json)} ${text}`);
      outcomes[good ? 'accepted' : 'refused'] += 1;
    }),
    { numRuns: 400 },
  );
  assert.ok(outcomes.accepted > 20 && outcomes.refused > 20, JSON.stringify(outcomes));
});
