import assert from 'node:assert/strict';
import { createHmac, createSign, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import {
  ALGORITHMS,
  ISSUER,
  NOW,
  NOW_MS,
  Stage,
  encode,
  goodClaims,
  jsonAnswer,
  keyPair,
  makeToken,
  publicFace,
  publicJwk,
  publicPem,
  refusalOf,
  signBytes,
} from './stage.ts';

const INTROSPECTION = {
  url: 'https://key-manager.example/introspect',
  username: 'admin',
  password: 'admin',
  maxAgeMs: 60_000,
};

/** What a client sees of every refused token, whichever check refused it. */
const REFUSED = {
  fault: 'invalidCredentials',
  challenge: {
    error: 'invalid_token',
    errorDescription: 'The access token is malformed, expired, revoked or otherwise invalid',
  },
  retry: undefined,
};

/** One issuer by certificate, and an introspection endpoint that would call anything active: a token that reaches it is admitted. */
function stageFor(algorithm: string): Stage {
  return new Stage(
    {
      issuers: [
        {
          issuer: ISSUER,
          keys: { kind: 'certificate', pem: publicPem(algorithm) },
          algorithms: [algorithm],
        },
      ],
      introspection: INTROSPECTION,
    },
    () => jsonAnswer({ active: true, exp: NOW + 3_600 }),
  );
}

async function assertRefused(
  stage: Stage,
  attacks: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [name, token] of Object.entries(attacks)) {
    const refusal = await stage.refusal(token);
    assert.deepEqual(publicFace(refusal), REFUSED, name);
    assert.equal(stage.http.requests.length, 0, `${name}: asked somebody`);
  }
}

for (const algorithm of ALGORITHMS) {
  const header = { alg: algorithm, kid: 'k1', typ: 'JWT' };
  const withHeader = (extra: object): string =>
    makeToken({ algorithm, header: { ...header, ...extra } });
  const withClaims = (claims: object | string): string => makeToken({ algorithm, claims });
  const good = makeToken({ algorithm });
  const [h = '', p = '', s = ''] = good.split('.');

  test(`${algorithm}: a good token is admitted, so that the refusals below mean something`, async () => {
    assert.equal(await stageFor(algorithm).outcome(good), 'admitted');
  });

  test(`${algorithm}: attack list, the algorithm and the key`, async () => {
    const none = (alg: unknown): string => `${encode({ alg, kid: 'k1' })}.${p}.`;
    const pem = publicPem(algorithm);
    const jwk = publicJwk(algorithm);
    const hmac = (secret: string | Buffer): string => {
      const input = `${encode({ alg: 'HS256', kid: 'k1' })}.${p}`;
      return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
    };
    const attacker = generateKeyPairSync('rsa', { modulusLength: 2_048 });
    const attackerJwk = attacker.publicKey.export({ format: 'jwk' });
    const forged = (extra: object): string =>
      makeToken({
        algorithm: 'RS256',
        key: attacker.privateKey,
        header: { alg: 'RS256', kid: 'k1', ...extra },
      });
    const others = ALGORITHMS.filter((other) => other !== algorithm);
    await assertRefused(stageFor(algorithm), {
      '1 none': none('none'),
      '1 None': none('None'),
      '1 nOnE': none('nOnE'),
      '1 none with the old signature': `${encode({ alg: 'none' })}.${p}.${s}`,
      '1 empty': none(''),
      '1 array': none([algorithm]),
      '1 number': none(1),
      '1 null': none(null),
      '1 object': none({ toString: algorithm }),
      '2 PEM as secret': hmac(pem),
      '2 PEM without its line feed': hmac(pem.trimEnd()),
      '2 DER as secret': hmac(keyPair(algorithm).publicKey.export({ type: 'spki', format: 'der' })),
      '2 JWK as secret': hmac(JSON.stringify(jwk)),
      '2 empty secret': hmac(''),
      '3 zero signature': `${h}.${p}.${Buffer.alloc(Buffer.from(s, 'base64url').length).toString('base64url')}`,
      '3 no signature': `${h}.${p}.`,
      '3 one byte': `${h}.${p}.AA`,
      '4 embedded jwk': forged({ jwk: attackerJwk }),
      '5 jku': forged({ jku: 'https://attacker.example/jwks' }),
      '5 x5u': forged({ x5u: 'https://attacker.example/cert.pem' }),
      '6 x5c': forged({ x5c: [encode('a certificate')] }),
      '21 PBES2': `${encode({ alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', p2c: 2 ** 31 })}.${p}.${s}`,
      '28 secp256k1': `${encode({ alg: 'ES256K', kid: 'k1' })}.${p}.${s}`,
      '28 Ed448': `${encode({ alg: 'Ed448', kid: 'k1' })}.${p}.${s}`,
      ...Object.fromEntries(
        others.flatMap((other) => [
          [`28 signed with another key as ${other}`, makeToken({ algorithm: other })],
          [
            `28 the same signature, called ${other}`,
            `${encode({ ...header, alg: other })}.${p}.${s}`,
          ],
        ]),
      ),
      '28 called otherwise than signed': makeToken({
        algorithm,
        header: { ...header, alg: others[0] },
      }),
    });
  });

  test(`${algorithm}: attack list, the header`, async () => {
    const text = JSON.stringify(header);
    await assertRefused(stageFor(algorithm), {
      '7 kid of 100 KB': withHeader({ kid: 'k'.repeat(100_000) }),
      '7 kid array': withHeader({ kid: ['k1'] }),
      '7 kid object': withHeader({ kid: { k: 1 } }),
      '7 kid number': withHeader({ kid: 1 }),
      '8 unknown crit': withHeader({ crit: ['x'], x: 1 }),
      '8 empty crit': withHeader({ crit: [] }),
      '8 crit names what is absent': withHeader({ crit: ['exp'] }),
      '8 crit names a registered field': withHeader({ crit: ['alg'] }),
      '8 crit null': withHeader({ crit: null }),
      '9 b64 false': withHeader({ b64: false }),
      '9 b64 false and crit': withHeader({ b64: false, crit: ['b64'] }),
      '10 alg twice': makeToken({ algorithm, header: text.replace('{', '{"alg":"none",') }),
      '10 alg twice, one escaped': makeToken({
        algorithm,
        header: text.replace('{', '{"\\u0061lg":"none",'),
      }),
      '10 twice, deep': makeToken({
        algorithm,
        header: text.replace('{', '{"x":[{"a":1,"a":2}],'),
      }),
      '11 BOM': makeToken({ algorithm, header: `\uFEFF${text}` }),
      '11 comment': makeToken({ algorithm, header: `${text}/* */` }),
      '11 two values': makeToken({ algorithm, header: `${text}{}` }),
      '11 deep': makeToken({
        algorithm,
        header: text.replace('{', `{"x":${'['.repeat(900)}${']'.repeat(900)},`),
      }),
      '16 logout token': withHeader({ typ: 'logout+jwt' }),
      '16 DPoP proof': withHeader({ typ: 'dpop+jwt' }),
      '16 introspection answer': withHeader({ typ: 'token-introspection+jwt' }),
      '16 typ number': withHeader({ typ: 1 }),
    });
  });

  test(`${algorithm}: attack list, the claims`, async () => {
    const text = JSON.stringify(goodClaims());
    const claims = (extra: object): string => withClaims(goodClaims(extra));
    const exp = (value: string): string => withClaims(text.replace(/"exp":\d+/, `"exp":${value}`));
    await assertRefused(stageFor(algorithm), {
      ...Object.fromEntries(
        ['exp', 'jti', 'iss', 'sub'].map((name) => [
          `10 ${name} twice`,
          withClaims(text.replace('{', `{"${name}":1,`)),
        ]),
      ),
      '11 BOM': withClaims(`\uFEFF${text}`),
      '11 comment': withClaims(`${text}//`),
      '11 not JSON': withClaims('claims'),
      '11 array': withClaims('[]'),
      '11 null': withClaims('null'),
      '11 empty': withClaims(''),
      '11 deep': withClaims(text.replace('{', `{"x":${'['.repeat(900)}${']'.repeat(900)},`)),
      '11 exp NaN': exp('NaN'),
      '11 exp 1e400': exp('1e400'),
      '11 exp text': exp(`"${NOW + 3_600}"`),
      '11 exp negative': exp('-1'),
      '11 exp zero': exp('0'),
      '11 exp fraction': exp(`${NOW + 3_600}.5`),
      '11 exp 2^53+1': exp('9007199254740993'),
      '11 exp in milliseconds': exp(String(NOW_MS + 3_600_000)),
      '11 exp null': exp('null'),
      '11 exp past': exp(String(NOW - 6)),
      '11 exp missing': claims({ exp: undefined }),
      '11 nbf text': claims({ nbf: 'now' }),
      '11 iat text': claims({ iat: 'now' }),
      '11 iat negative': claims({ iat: -1 }),
      '12 nbf in the future': claims({ nbf: NOW + 6 }),
      '12 iat in the future': claims({ iat: NOW + 6 }),
      '12 iat in the future, milliseconds': claims({ iat: NOW_MS + 6_000 }),
      '14 iss with a slash': claims({ iss: `${ISSUER}/` }),
      '14 iss in capitals': claims({ iss: ISSUER.toUpperCase() }),
      '14 iss with a homoglyph': claims({ iss: ISSUER.replace('e', '\u0435') }),
      '14 iss with a blank': claims({ iss: `${ISSUER} ` }),
      '14 iss array': claims({ iss: [ISSUER] }),
      '14 iss missing': claims({ iss: undefined }),
      '14 iss __proto__': claims({ iss: '__proto__' }),
      '16 ID token': claims({ at_hash: 'x' }),
      '16 logout token': claims({ events: {} }),
      '16 refresh token': claims({ typ: 'Refresh' }),
      '16 ID token of Cognito': claims({ token_use: 'id' }),
      '25 jti missing': claims({ jti: undefined }),
      '25 jti empty': claims({ jti: '' }),
      '25 jti number': claims({ jti: 1 }),
      '25 sub missing': claims({ sub: undefined }),
      '25 sub object': claims({ sub: {} }),
      '25 aud missing': claims({ aud: undefined }),
      '25 aud empty': claims({ aud: [] }),
      '25 aud of numbers': claims({ aud: [1] }),
      'claims by prototype': withClaims(`{"__proto__":${text}}`),
    });
  });

  test(`${algorithm}: attack list, the shape`, async () => {
    await assertRefused(stageFor(algorithm), {
      '17 two parts': `${h}.${p}`,
      '17 four parts': `${good}.${s}`,
      '17 five parts': `${h}.${p}.${s}.${s}.${s}`,
      '17 six parts': `${h}.${p}.${s}.${s}.${s}.${s}`,
      '17 JWE': `${encode({ alg: 'RSA-OAEP', enc: 'A256GCM', zip: 'DEF' })}.a.b.c.d`,
      '17 nested': makeToken({ algorithm, claims: good }),
      '17 empty payload': `${h}..${s}`,
      '17 trailing dot': `${good}.`,
      '17 JSON serialisation': JSON.stringify({ protected: h, payload: p, signature: s }),
      '18 plus and slash': `${h}.${p}.${s.replaceAll('-', '+').replaceAll('_', '/')}+`,
      '18 too much padding': `${good}===`,
      '18 blank': `${h}.${p}. ${s}`,
      '18 tab': `${h}.${p}.\t${s}`,
      '18 line feed': `${good}\n`,
      '18 misspelt header': `${h.slice(0, -1)}~.${p}.${s}`,
      '18 NUL': `${good}\0`,
      '34 1 MB': 'a'.repeat(1_000_000),
      '34 long JWT': `${h}.${p}.${'A'.repeat(8_192)}`,
    });
  });
}

test('an audience is compared whole, never by part, prefix or case', async () => {
  const stage = new Stage({
    issuers: [
      {
        issuer: ISSUER,
        audience: ['https://api.example', 'second'],
        keys: { kind: 'certificate', pem: publicPem('RS256') },
      },
    ],
  });
  const withAud = (aud: unknown): string => makeToken({ claims: goodClaims({ aud }) });
  await assertRefused(stage, {
    prefix: withAud('https://api.example/'),
    substring: withAud('https://api'),
    joined: withAud('https://api.example second'),
    capitals: withAud('HTTPS://API.EXAMPLE'),
    nested: withAud([['https://api.example']]),
    other: withAud(['other']),
    mixed: withAud(['https://api.example', 7]),
  });
  assert.equal(await stage.outcome(withAud('second')), 'admitted');
  assert.equal(await stage.outcome(withAud(['other', 'https://api.example'])), 'admitted');
});

test('a key counts for its own issuer only, whatever kid names it', async () => {
  const other = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const second = 'https://second.example';
  const stage = new Stage(
    {
      issuers: [
        { issuer: ISSUER, keys: { kind: 'jwks', url: 'https://first.example/jwks' } },
        { issuer: second, keys: { kind: 'jwks', url: 'https://second.example/jwks' } },
      ],
    },
    ({ url }) =>
      jsonAnswer({
        keys: [
          url.startsWith('https://first')
            ? publicJwk('RS256', { kid: 'k1' })
            : { ...other.publicKey.export({ format: 'jwk' }), kid: 'k1' },
        ],
      }),
  );
  assert.equal(await stage.outcome(makeToken()), 'admitted');
  const claims = goodClaims({ iss: second });
  assert.equal(await stage.outcome(makeToken({ claims, key: other.privateKey })), 'admitted');
  assert.deepEqual(publicFace(await stage.refusal(makeToken({ claims }))), REFUSED);
  assert.deepEqual(publicFace(await stage.refusal(makeToken({ key: other.privateKey }))), REFUSED);
  assert.equal(stage.http.requests.length, 2, 'each key set was read once');
  await stage.authenticator.close();
});

test('names in a token find no key by path, pattern or prototype, and no address in it is contacted', async () => {
  const url = 'https://issuer.example/jwks';
  const stage = new Stage({ issuers: [{ issuer: ISSUER, keys: { kind: 'jwks', url } }] }, () =>
    jsonAnswer({ keys: [publicJwk('RS256', { kid: 'k1' })] }),
  );
  const forged = (extra: object): string =>
    makeToken({ header: { alg: 'RS256', kid: 'k1', ...extra } });
  assert.equal(await stage.outcome(forged({})), 'admitted');
  for (const kid of [
    '../../dev/null',
    "k1' OR '1'='1",
    'k1\0',
    '__proto__',
    'constructor',
    'K1',
    '',
  ])
    assert.deepEqual(publicFace(await stage.refusal(forged({ kid }))), REFUSED, kid);
  for (const extra of [
    { kid: 'k2', jku: 'https://attacker.example/jwks' },
    { kid: 'k2', x5u: 'https://attacker.example/cert' },
    { kid: 'k2', jwk: publicJwk('RS256') },
  ])
    assert.deepEqual(publicFace(await stage.refusal(forged(extra))), REFUSED);
  assert.deepEqual([...new Set(stage.http.requests.map((request) => request.url))], [url]);
  assert.equal(stage.http.requests.length, 1, 'unknown names within the cooldown ask nobody');
  await stage.authenticator.close();
});

test("a key's own alg, use and key_ops decide, never the token's alg", async () => {
  for (const [extra, alg, expected] of [
    [{ alg: 'RS256' }, 'RS256', 'admitted'],
    [{ alg: 'RS256' }, 'PS256', 'invalidCredentials'],
    [{ alg: 'RS256' }, 'RS384', 'invalidCredentials'],
    [{ alg: 'PS256' }, 'PS256', 'admitted'],
    [{ alg: 'PS256' }, 'RS256', 'invalidCredentials'],
    [{}, 'RS256', 'admitted'],
    [{}, 'PS256', 'invalidCredentials'],
    [{}, 'RS512', 'invalidCredentials'],
    [{ use: 'sig', key_ops: ['verify'] }, 'RS256', 'admitted'],
    [{ use: 'enc' }, 'RS256', 'serviceUnavailable'],
    [{ key_ops: ['encrypt'] }, 'RS256', 'serviceUnavailable'],
  ] as const) {
    const stage = new Stage(
      { issuers: [{ issuer: ISSUER, keys: { kind: 'jwks', url: 'https://issuer.example/jwks' } }] },
      () => jsonAnswer({ keys: [publicJwk('RS256', { kid: 'k1', ...extra })] }),
    );
    const token = makeToken({ algorithm: alg, key: keyPair('RS256').privateKey });
    assert.equal(await stage.outcome(token), expected, JSON.stringify([extra, alg]));
    await stage.authenticator.close();
  }
});

test('ES256 signatures in DER, and ones made over another digest, do not verify', async () => {
  const [h = '', p = ''] = makeToken({ algorithm: 'ES256' }).split('.');
  const { privateKey } = keyPair('ES256');
  await assertRefused(stageFor('ES256'), {
    DER: `${h}.${p}.${createSign('sha256').update(`${h}.${p}`).sign(privateKey, 'base64url')}`,
    'SHA-512': `${h}.${p}.${sign('sha512', Buffer.from(`${h}.${p}`), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`,
  });
});

test('claims with control characters and any language are carried as they are, never split', async () => {
  const sub = 'admin\r\nX-User: root\0 \u540d\u524d';
  const caller = await new Stage().present(makeToken({ claims: goodClaims({ sub }) }));
  assert.equal(caller.subject, sub);
});

test('two headers, a list, a tab and doubled blanks are refused in the one shape; the case of Bearer does not matter', async () => {
  const stage = stageFor('RS256');
  const token = makeToken();
  const present = (...values: string[]) =>
    refusalOf(() => stage.authenticator.authenticate(values, { scopes: [] }, 'request-1'));
  for (const values of [
    [`Bearer ${token}`, `Bearer ${token}`],
    [`Bearer ${token}, Bearer ${token}`],
    [`Bearer ${token},`],
    [`Bearer\t${token}`],
    [`Bearer  ${token}`],
    [`Bearer ${token} `],
    [`Bearer ${token} x`],
    ['Bearer'],
    ['Bearer '],
    ['Bearer ='],
    ['bearer: x'],
    [''],
    ['Bearer \u00e9\u00e9'],
  ])
    assert.deepEqual(publicFace(await present(...values)), REFUSED, JSON.stringify(values));
  for (const scheme of ['Bearer', 'bearer', 'BEARER'])
    assert.equal(await present(`${scheme} ${token}`), undefined);
  assert.equal(stage.http.requests.length, 0);
});

test('without bearer credentials the challenge names no error', async () => {
  const stage = new Stage();
  for (const values of [[], ['Basic YWRtaW46YWRtaW4='], ['Bearerx y']]) {
    const refusal = await refusalOf(() =>
      stage.authenticator.authenticate(values, { scopes: [] }, '-'),
    );
    assert.equal(refusal?.fault, 'missingCredentials');
    assert.deepEqual(refusal?.challenge, {});
  }
});

test('no refusal and no log line holds a token or a claim of it', async () => {
  const stage = stageFor('RS256');
  const claims = goodClaims({ sub: 'subject-of-the-token', exp: NOW + 400 * 86_400, iat: NOW });
  const token = makeToken({ claims });
  const [h = '', p = '', s = ''] = token.split('.');
  for (const shown of [token, `${token}=`, `${h}.${p}.AA`, `${h}.${p}`]) {
    const refusal = await stage.refusal(shown);
    assert.ok(refusal);
    const said = [refusal.message, refusal.detail, ...stage.log.lines].join('\n');
    for (const secret of [h, p, s, 'subject-of-the-token', String(claims['jti'])])
      assert.equal(said.includes(secret), false);
  }
});

test('a signature made over a spelling that is not canonical does not make it one', async () => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const [, p = ''] = makeToken().split('.');
  const canonical = encode({ alg: 'RS256', kid: 'k1234' });
  const odd = `${canonical.slice(0, -1)}${alphabet[alphabet.indexOf(canonical.at(-1) ?? '') + 1]}`;
  assert.deepEqual(Buffer.from(odd, 'base64url'), Buffer.from(canonical, 'base64url'));
  const signed = (input: string): string =>
    `${input}.${signBytes('RS256', keyPair('RS256').privateKey, input).toString('base64url')}`;
  await assertRefused(stageFor('RS256'), { odd: signed(`${odd}.${p}`) });
  assert.equal(await stageFor('RS256').outcome(signed(`${canonical}.${p}`)), 'admitted');
});
