import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { CLOSED, type EdgeRules } from '../../src/gateway/edge-rules.ts';
import { ask, type Seen, watched } from './recording-upstream.ts';
import { api, openApi } from './stage.ts';

const HOST = 'Host: h\r\n';
const get = (target: string, fields = ''): string =>
  `GET ${target} HTTP/1.1\r\n${HOST}${fields}\r\n`;

/** What becomes of one request by one set of rules. */
type Outcome =
  | number
  | {
      readonly line: string;
      readonly has?: RegExp;
      readonly lacks?: RegExp;
      readonly closing?: true;
    };

interface Case {
  readonly bytes: string;
  /** By default. */
  readonly closed: Outcome;
  /** By each other value of the rule. */
  readonly other: Readonly<Record<string, Outcome>>;
}

/** Each rule, closed and with every other value it has; the upstream shows what really went on. */
const CASES: Readonly<Record<keyof EdgeRules, readonly Case[]>> = {
  dotSegments: [
    {
      bytes: get('/a/../admin?x=/../'),
      closed: 400,
      other: { normalise: { line: 'GET /admin?x=/../' } },
    },
    { bytes: get('/a/%2E%2e/admin'), closed: 400, other: { normalise: { line: 'GET /admin' } } },
    { bytes: get('/../admin'), closed: 400, other: { normalise: 400 } },
    { bytes: get('/a/..;/admin'), closed: 400, other: { normalise: 400 } },
    { bytes: get('/a//../admin'), closed: 400, other: { normalise: 400 } },
  ],
  emptySegments: [
    { bytes: get('//admin'), closed: 400, other: { merge: { line: 'GET /admin' } } },
    { bytes: get('/a///b/?y'), closed: 400, other: { merge: { line: 'GET /a/b/?y' } } },
    { bytes: get('//a/../admin'), closed: 400, other: { merge: 400 } },
  ],
  encodedSlash: [
    { bytes: get('/a%2fadmin'), closed: 400, other: { keep: { line: 'GET /a%2fadmin' } } },
    { bytes: get('/a/b%5Cc'), closed: 400, other: { keep: { line: 'GET /a/b%5Cc' } } },
    { bytes: get('/a%2f..%2fadmin'), closed: 400, other: { keep: 400 } },
    { bytes: get('/a%2f%00'), closed: 400, other: { keep: 400 } },
  ],
  pathParameters: [
    {
      bytes: get('/a;x=1/b'),
      closed: { line: 'GET /a;x=1/b' },
      other: { refuse: 400, keep: { line: 'GET /a;x=1/b' } },
    },
    {
      bytes: get('/a/;x'),
      closed: 400,
      other: { refuse: 400, keep: { line: 'GET /a/;x' } },
    },
    { bytes: get('/a/..;x'), closed: 400, other: { refuse: 400, keep: 400 } },
  ],
  underscoreNames: [
    {
      bytes: get('/p', 'X_User: admin\r\nX-Own: 1\r\n'),
      closed: { line: 'GET /p', has: /^x-own: 1$/im, lacks: /user/i },
      other: { refuse: 400, pass: { line: 'GET /p', has: /^x_user: admin$/im } },
    },
    {
      bytes: get('/p', 'X_Forwarded_For: 6.6.6.6\r\n_Authorization: x\r\nContent-_Type: y\r\n'),
      closed: { line: 'GET /p', lacks: /6\.6\.6\.6|_/ },
      other: { refuse: 400, pass: { line: 'GET /p', lacks: /6\.6\.6\.6/ } },
    },
    {
      bytes: get(
        '/p',
        "X.Forwarded.For: 6.6.6.6\r\nX.Real~IP: 7.7.7.7\r\nX'Forwarded|Any: y\r\nX.Own: 1\r\n",
      ),
      closed: { line: 'GET /p', has: /^x\.own: 1$/im, lacks: /6\.6\.6\.6|7\.7\.7\.7|'|\|/ },
      other: {
        refuse: { line: 'GET /p', lacks: /6\.6\.6\.6|7\.7\.7\.7|'|\|/ },
        pass: { line: 'GET /p', lacks: /6\.6\.6\.6|7\.7\.7\.7|'|\|/ },
      },
    },
    {
      bytes: get('/p', 'Transfer.Encoding: chunked\r\n'),
      closed: 400,
      other: { refuse: 400, pass: 400 },
    },
    { bytes: get('/p', 'Content!#Length: 5\r\n'), closed: 400, other: { refuse: 400, pass: 400 } },
    {
      bytes: get('/p', 'Content_Length: 5\r\n'),
      closed: 400,
      other: { refuse: 400, pass: 400 },
    },
    {
      bytes: get('/p', 'Transfer--Encoding: chunked\r\n'),
      closed: 400,
      other: { refuse: 400, pass: 400 },
    },
  ],
  absoluteForm: [
    {
      bytes: get('http://H/p?x'),
      closed: { line: 'GET /p?x' },
      other: { refuse: 400 },
    },
    { bytes: get('http://evil/p'), closed: 400, other: { refuse: 400 } },
  ],
  methodOverride: [
    {
      bytes: get('/p?_method=PUT', 'X-HTTP-Method-Override: DELETE\r\nX-Original-Method: PUT\r\n'),
      closed: { line: 'GET /p?_method=PUT', lacks: /override|original/i },
      other: {
        pass: { line: 'GET /p?_method=PUT', has: /^x-http-method-override: DELETE$/im },
      },
    },
    {
      bytes: get('/p', 'X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n'),
      closed: { line: 'GET /p', lacks: /admin/ },
      other: { pass: { line: 'GET /p', lacks: /admin/ } },
    },
  ],
  trace: [
    {
      bytes: `TRACE /traced HTTP/1.1\r\n${HOST}\r\n`,
      closed: 405,
      other: { serve: { line: 'TRACE /' } },
    },
    {
      bytes: `TRACE /p HTTP/1.1\r\n${HOST}\r\n`,
      closed: 405,
      other: { serve: 405 },
    },
    {
      bytes: `TRACE /traced HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\nx`,
      closed: 405,
      other: { serve: 400 },
    },
  ],
  duplicateCredentials: [
    {
      bytes: get('/p', 'Authorization: Bearer good\r\nAuthorization: Bearer sandbox\r\n'),
      closed: 400,
      other: { first: { line: 'GET /p' } },
    },
    {
      bytes: get('/locked', 'Authorization: Bearer good\r\nAuthorization: Bearer bad\r\n'),
      closed: 401,
      other: { first: { line: 'GET /' } },
    },
    {
      bytes: get('/locked', 'Authorization: Bearer bad\r\nAuthorization: Bearer good\r\n'),
      closed: 401,
      other: { first: 401 },
    },
  ],
  forwardedFields: [
    {
      bytes: get(
        '/p',
        'X-Forwarded-For: 6.6.6.6\r\nForwarded: for=7.7.7.7\r\nX-Real-IP: 8.8.8.8\r\n',
      ),
      closed: { line: 'GET /p', has: /^x-forwarded-for: 127\.0\.0\.1$/im, lacks: /[678]\.[678]/ },
      other: {
        pass: { line: 'GET /p', has: /^x-forwarded-for: 6\.6\.6\.6, 127\.0\.0\.1$/im },
      },
    },
  ],
  nominatedFields: [
    {
      bytes: get(
        '/p',
        'Connection: close, X-Auth, Host, X-Forwarded-For, Content-Length\r\nX-Auth: 1\r\nKeep-Alive: 5\r\n',
      ),
      closed: {
        line: 'GET /p',
        lacks: /x-auth|^keep-alive:/im,
        has: /^x-forwarded-for: 127/im,
        closing: true,
      },
      other: { keep: { line: 'GET /p', has: /^x-auth: 1$/im, lacks: /^keep-alive:/im } },
    },
  ],
  requestBodyOnGet: [
    {
      bytes: `${get('/p', 'Content-Length: 2\r\n')}ab`,
      closed: { line: 'GET /p', closing: true },
      other: { refuse: 400 },
    },
    {
      bytes: get('/p', 'Content-Length: 0\r\n'),
      closed: { line: 'GET /p' },
      other: { refuse: { line: 'GET /p' } },
    },
    {
      bytes: `POST /p HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\nab`,
      closed: { line: 'POST /p' },
      other: { refuse: { line: 'POST /p' } },
    },
  ],
  upgrade: [
    {
      // Not a whole handshake: where WebSockets are served it is refused for that.
      bytes: get('/p', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'),
      closed: 426,
      other: { none: { line: 'GET /p', lacks: /^upgrade:/im } },
    },
    {
      bytes: get('/p', 'Connection: Upgrade\r\nUpgrade: h2c\r\n'),
      closed: { line: 'GET /p', lacks: /^upgrade:/im },
      other: { none: { line: 'GET /p', lacks: /^upgrade:/im } },
    },
  ],
};

const NONE: Seen = { line: '', fields: '', body: '' };

/** Sends some bytes to a gateway with these rules. */
async function play(t: TestContext, edge: Partial<EdgeRules>, bytes: string, outcome: Outcome) {
  const { port, seen } = await watched(t, (url) => ({
    apis: [
      openApi(url),
      api('/traced', ['GET /', { production: [url] }], ['TRACE /', { production: [url] }]),
      api('/locked', ['GET /', { secured: true, production: [url] }]),
    ],
    edge,
  }));
  const answer = await ask(t, port, bytes);
  if (typeof outcome === 'number') {
    assert.equal(answer.status, outcome);
    assert.deepEqual(seen, [], 'the upstream saw it');
    if (outcome === 400) assert.ok(answer.closing, 'nothing more is read from its sender');
    return;
  }
  assert.equal(answer.status, 200);
  const [{ line, fields } = NONE, ...more] = seen;
  assert.deepEqual(more, []);
  assert.equal(line, outcome.line);
  if (outcome.has !== undefined) assert.match(fields, outcome.has);
  if (outcome.lacks !== undefined) assert.doesNotMatch(fields, outcome.lacks);
  if (outcome.closing === true) assert.ok(answer.closing);
}

for (const [rule, cases] of Object.entries(CASES)) {
  for (const { bytes, closed, other } of cases) {
    const what = JSON.stringify(bytes.replace(HOST, '').trimEnd());
    test(`${rule}, closed: ${what}`, (t) => play(t, {}, bytes, closed));
    for (const [value, outcome] of Object.entries(other)) {
      test(`${rule} = ${value}: ${what}`, (t) => play(t, { [rule]: value }, bytes, outcome));
    }
  }
}

test('with every rule open at once, framing, Host, NUL, over-long UTF-8 and CONNECT are refused as ever', async (t) => {
  const open: EdgeRules = {
    ...CLOSED,
    dotSegments: 'normalise',
    emptySegments: 'merge',
    encodedSlash: 'keep',
    pathParameters: 'keep',
    underscoreNames: 'pass',
    methodOverride: 'pass',
    trace: 'serve',
    duplicateCredentials: 'first',
    forwardedFields: 'pass',
    nominatedFields: 'keep',
  };
  const { port, seen } = await watched(t, (url) => ({ apis: [openApi(url)], edge: open }));
  for (const bytes of [
    `POST /p HTTP/1.1\r\n${HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `POST /p HTTP/1.1\r\n${HOST}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab`,
    `POST /p HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    `POST /p HTTP/1.1\r\n${HOST}Transfer_Encoding: chunked\r\n\r\n`,
    `CONNECT h:443 HTTP/1.1\r\n${HOST}\r\n`,
    get('/p', 'Host: h\r\n'),
    get('/%00'),
    get('/a%2f%00'),
    get('/a/%c0%ae%c0%ae/b'),
    get('/a/%c0%af'),
    get('/a\\b'),
    get('/a/\\../b'),
    get('/p#x'),
    get('/\xc3\xa9'),
    get('http://evil/p'),
    get('/a%2f..%2fb'),
  ]) {
    const answer = await ask(t, port, bytes);
    assert.ok(answer.status === 400 || answer.status === 405, `${answer.status} for ${bytes}`);
    assert.ok(answer.closing, bytes);
  }
  assert.deepEqual(seen, []);
});

test('what a trusted proxy says about earlier hops cannot be taken away by nominating it', async (t) => {
  const { port, seen } = await watched(t, (url) => ({
    apis: [openApi(url)],
    trustedProxies: ['127.0.0.0/8'],
  }));
  const said = 'X-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-User: me\r\n';
  const nominating = 'Connection: X-Real-IP, Forwarded, X-Forwarded-User, X-Own\r\nX-Own: 1\r\n';
  assert.equal((await ask(t, port, get('/p', said + nominating))).status, 200);
  const [{ fields } = NONE] = seen;
  for (const kept of [/^x-real-ip: 1.2.3.4$/im, /^forwarded: for/im, /^x-forwarded-user: me$/im])
    assert.match(fields, kept);
  assert.doesNotMatch(fields, /x-own/i);
});

test('an Authorization that is meant for the upstream may come once', async (t) => {
  const rules = (edge: Partial<EdgeRules>) => (url: string) => ({
    apis: [openApi(url)],
    authorizationHeader: 'X-Token',
    edge,
  });
  const two = get('/p', 'Authorization: Basic one\r\nAuthorization: Basic two\r\n');
  const closed = await watched(t, rules({}));
  assert.equal((await ask(t, closed.port, two)).status, 400);
  assert.equal(closed.seen.length, 0);
  assert.equal((await ask(t, closed.port, get('/p', 'Authorization: Basic one\r\n'))).status, 200);
  assert.match(closed.seen[0]?.fields ?? '', /^authorization: Basic one$/im);
  const open = await watched(t, rules({ duplicateCredentials: 'first' }));
  assert.equal((await ask(t, open.port, two)).status, 200);
  assert.deepEqual(open.seen[0]?.fields.match(/Basic \w+/g), ['Basic one']);
});

test('Host is one name or address, with a port or none', async (t) => {
  const { port, seen } = await watched(t);
  const send = async (host: string): Promise<number> =>
    (await ask(t, port, `GET /p HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).status;
  for (const host of ['h', 'h.example:8080', '[::1]', '[2001:db8::1]:443', '%41.b', 'a_b'])
    assert.equal(await send(host), 200, host);
  const served = seen.length;
  for (const host of [
    '[::1',
    '::1',
    'h:80:90',
    'h:x',
    'h:',
    'h%4',
    'a b',
    'h,i',
    'u@h',
    'h/p',
    'h?x',
    'h\\i',
    '[]',
  ])
    assert.equal(await send(host), 400, host);
  assert.equal(seen.length, served);
});
