import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import type { ExtensionFilter } from '../../src/extension.ts';
import { startHttpServer } from '../support/http-server.ts';
import { api, sendAll, stage, statusOf } from './stage.ts';

const GET =
  'GET /a?q HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer good\r\nX-In: 1\r\nX-In: 2\r\n\r\n';

async function answers(
  t: TestContext,
  filter: ExtensionFilter,
  request = GET,
): Promise<{ answer: string; seen: string[]; log: readonly string[] }> {
  const seen: string[] = [];
  const upstream = await startHttpServer((incoming, response) => {
    for (let at = 0; at < incoming.rawHeaders.length; at += 2) {
      seen.push(`${incoming.rawHeaders[at]}: ${incoming.rawHeaders[at + 1]}`);
    }
    response.setHeader('Set-Cookie', ['a=1', 'b=2']);
    response.setHeader('X-Up', 'yes');
    if (incoming.method === 'DELETE') response.writeHead(204);
    response.end(incoming.method === 'DELETE' ? undefined : 'body');
  });
  t.after(() => upstream.close());
  const { port, log } = await stage(t, {
    apis: [
      api(
        '',
        ...['GET /a', 'HEAD /a', 'DELETE /a'].map(
          (one) => [one, { secured: true, production: [upstream.url] }] as const,
        ),
      ),
    ],
    filter,
  });
  return { answer: await sendAll(t, port, request), seen, log: log.lines };
}

/** The parts of the extension that ERROR lines name. */
function blames(log: readonly string[]): string[] {
  return log.flatMap((line) => {
    const found = /^ERROR .* 500 internalError: extensions\/extension_filter\.ts: (\w+): /.exec(
      line,
    );
    return found?.[1] === undefined ? [] : [found[1]];
  });
}

test('filterRequest sees the request as it goes upstream and changes its headers', async (t) => {
  let told: unknown;
  const { answer, seen } = await answers(t, {
    filterRequest({ method, target, headers, subject }) {
      told = {
        method,
        target,
        subject,
        in: headers.get('x-in'),
        token: headers.get('authorization'),
      };
      headers.delete('x-in');
      headers.set('x-user', 'kim');
      headers.set('connection', 'x-user');
      headers.set('content-length', '5');
      headers.set('host', 'evil');
      return undefined;
    },
  });
  assert.equal(statusOf(answer), 200);
  assert.deepEqual(told, {
    method: 'GET',
    target: '/a?q',
    subject: 'good',
    in: '1, 2',
    token: undefined,
  });
  assert.ok(seen.includes('x-user: kim'));
  assert.ok(!seen.some((field) => /evil|content-length|x-in/i.test(field)));
});

test('an answer of filterRequest ends the request there', async (t) => {
  const { answer, seen } = await answers(t, {
    async filterRequest() {
      await turn();
      return { status: 451, headers: { 'Content-Type': 'text/plain' }, body: 'no' };
    },
  });
  assert.match(answer, /^HTTP\/1\.1 451 [^]*Content-Type: text\/plain[^]*\r\n\r\nno$/);
  assert.deepEqual(seen, []);
});

test('an answer of filterRequest that HTTP does not allow is a 500', async (t) => {
  const framed = await answers(t, {
    filterRequest: () => ({
      status: 200,
      headers: { 'Content-Length': '1', 'Transfer-Encoding': 'chunked' },
      body: 'four',
    }),
  });
  assert.match(framed.answer, /\r\nContent-Length: 4\r\n[^]*\r\n\r\nfour$/);
  assert.doesNotMatch(framed.answer, /chunked/);
  for (const [answer, reason] of [
    [{ status: 99 }, '99 is not the status of a final response'],
    [{ status: 100 }, '100 is not the status of a final response'],
    [{ status: '200' }, '200 is not the status of a final response'],
    [null, 'it returned something else than an answer or undefined'],
    [{ status: 200, body: 7 }, 'the body of its answer is no string'],
    [
      { status: 200, headers: { 'X-Split': 'a\r\nX-Evil: 1' } },
      'it set the header X-Split to a value that HTTP does not allow',
    ],
    [
      { status: 200, headers: { 'X-Evil: 1\r\nX': 'a' } },
      'it set a header with a name that HTTP does not allow',
    ],
  ] as const) {
    const refused = await answers(t, { filterRequest: () => answer as unknown as undefined });
    assert.equal(statusOf(refused.answer), 500);
    assert.ok(!refused.answer.includes('X-Evil'));
    assert.deepEqual(blames(refused.log), ['filterRequest'], reason);
    assert.ok(
      refused.log.some((line) => line.includes(reason)),
      reason,
    );
    assert.deepEqual(refused.seen, []);
  }
});

for (const method of ['GET', 'HEAD', 'DELETE']) {
  test(`an asynchronous filterResponse changes the head of a ${method}`, async (t) => {
    const { answer } = await answers(
      t,
      {
        async filterResponse(response) {
          await turn();
          assert.equal(response.headers.get('x-up'), 'yes');
          response.headers.delete('x-up');
          response.headers.set('x-added', '1');
          response.headers.set('content-length', '999');
          if (response.status === 200) response.status = 203;
        },
      },
      GET.replace('GET', method),
    );
    assert.equal(statusOf(answer), method === 'DELETE' ? 204 : 203);
    assert.match(answer, /\r\nx-added: 1\r\n/);
    assert.doesNotMatch(answer, /x-up|999/i);
    assert.equal(answer.match(/set-cookie/gi)?.length, 2);
    assert.ok(answer.endsWith(method === 'GET' ? '\r\n\r\nbody' : '\r\n\r\n'));
  });
}

test("filterResponse sees the gateway's own refusals", async (t) => {
  const statuses: number[] = [];
  const { answer } = await answers(
    t,
    { filterResponse: ({ status }) => void statuses.push(status) },
    GET.replace('good', 'revoked'),
  );
  assert.deepEqual(statuses, [401]);
  assert.match(answer, /"code":900901/);
});

test('an extension that throws is a 500 and an ERROR in the log', async (t) => {
  const inRequest = await answers(t, {
    filterRequest() {
      throw new Error('boom');
    },
  });
  assert.equal(statusOf(inRequest.answer), 500);
  assert.deepEqual(inRequest.seen, []);
  assert.deepEqual(blames(inRequest.log), ['filterRequest']);
  assert.ok(inRequest.log.some((line) => line.includes('Error: boom')));
  const inResponse = await answers(t, {
    filterResponse() {
      throw new Error('boom');
    },
  });
  assert.equal(statusOf(inResponse.answer), 500);
  assert.match(inResponse.answer, /"code":500/, 'and not the body of the upstream');
  assert.deepEqual(blames(inResponse.log), ['filterResponse']);
  assert.ok(inResponse.log.some((line) => line.includes('Error: boom')));
});

for (const [name, value, reason] of [
  ['x-split', 'a\r\nX-Evil: 1', 'it set the header x-split to a value'],
  ['x-secret', 's3cret\u{1f600}', 'it set the header x-secret to a value'],
  ['x-number', 7, 'it set the header x-number to a value'],
  ['X-Evil: 1\r\nx', 'a', 'it set a header with a name'],
  ['', 'a', 'it set a header with a name'],
] as const)
  test(`the header ${JSON.stringify(name)} as ${JSON.stringify(value)} is a 500 that blames the extension, in either direction`, async (t) => {
    const change = ({ headers }: { readonly headers: Map<string, string> }): undefined => {
      headers.set(name, value as string);
      return undefined;
    };
    for (const part of ['filterRequest', 'filterResponse'] as const) {
      const { answer, seen, log } = await answers(t, { [part]: change });
      assert.equal(statusOf(answer), 500);
      assert.match(answer, /"code":500/);
      assert.doesNotMatch(answer, /X-Evil|s3cret/);
      if (part === 'filterRequest') assert.deepEqual(seen, []);
      assert.deepEqual(blames(log), [part]);
      assert.ok(log.some((line) => line.includes(`TypeError: ${reason} that HTTP does not allow`)));
      assert.ok(!log.some((line) => line.includes('s3cret')));
    }
  });

test('the values that HTTP allows pass, Latin-1 and tab among them', async (t) => {
  const { answer, seen } = await answers(t, {
    filterRequest({ headers }) {
      headers.set('X-Name', 'J\u00f6rg\tK');
      return undefined;
    },
    filterResponse({ headers }) {
      headers.set('x-empty', '');
    },
  });
  assert.equal(statusOf(answer), 200);
  assert.ok(seen.some((field) => /^x-name: J.*rg\tK$/i.test(field)));
  assert.match(answer, /\r\nx-empty: ?\r\n/);
});
