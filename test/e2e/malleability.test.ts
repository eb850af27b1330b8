import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { startEtcd } from '../support/etcd.ts';
import { claimsOf, testIssuer, type IssuerAlgorithm } from '../support/issuer.ts';
import { buildPetstore, owned, send, startGateway, PETS } from '../support/product.ts';

/** Order of each curve's group: (r, n - s) verifies wherever (r, s) does. */
const ORDERS: Partial<Record<IssuerAlgorithm, bigint>> = {
  ES256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  ES384:
    0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  ES512:
    0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
};
const ALGORITHMS: readonly IssuerAlgorithm[] = ['RS256', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

const file = { after };
const { artifact, backend } = await buildPetstore(file);
const etcd = await startEtcd();
owned(file, () => etcd.close());
const issuers = ALGORITHMS.map((algorithm) => testIssuer(algorithm));
const gateway = await startGateway(file, {
  artifact,
  issuers,
  // Those without are told apart by what was signed.
  flags: ALGORITHMS.map((_, index) => `--jwtTokenConfig.${index}.requireJti=false`),
  // What comes of each variant is asked here, not how many are let in to be looked at.
  config: `[failedVerifications]
      enable = false
    [tokenRevocationConfig.persistent]
    enablePersistentStorageRetrieval = true
    type = "etcd"
    endpointURL = "${etcd.url}/v3/keys/jti/"
    username = ""
    password = ""
  `,
});
await gateway.untilReady();

async function revoke(value: string): Promise<void> {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  await etcd.call('/kv/put', { key: base64(`jti/${value}`), value: base64('3600') });
}

type Parts = readonly [header: string, payload: string, signature: string];
const partsOf = (token: string): Parts => token.split('.') as unknown as Parts;
const lengthOf = (part: string): number => Buffer.from(part, 'base64url').length;

/** Other texts for the same bytes, by the unused bits of the last character. */
function withSameBits(part: string): string[] {
  const bytes = Buffer.from(part, 'base64url');
  return BASE64URL.split('')
    .map((last) => part.slice(0, -1) + last)
    .filter((text) => text !== part && Buffer.from(text, 'base64url').equals(bytes));
}

/** The twin of an ECDSA signature: (r, n - s). */
function twin(token: string, algorithm: IssuerAlgorithm): string | undefined {
  const order = ORDERS[algorithm];
  if (order === undefined) return undefined;
  const [header, payload, signature] = partsOf(token);
  const bytes = Buffer.from(signature, 'base64url');
  const half = bytes.length / 2;
  const s = BigInt(`0x${bytes.subarray(half).toString('hex')}`);
  const other = (order - s).toString(16).padStart(half * 2, '0');
  const twinned = Buffer.concat([bytes.subarray(0, half), Buffer.from(other, 'hex')]);
  return `${header}.${payload}.${twinned.toString('base64url')}`;
}

/** Spellings of one token: of the same bytes, with padding, in the other alphabet, with white space. */
function spellings(token: string): string[] {
  const parts = partsOf(token);
  const respelled = parts.flatMap((part, index) => {
    const texts = [
      ...withSameBits(part),
      ...['=', '==', '==='].map((more) => part + more),
      padded(part),
      part.replaceAll('-', '+').replaceAll('_', '/'),
      `${part}A`,
      `${part}%3D`,
    ];
    return texts.map((text) => parts.with(index, text).join('.'));
  });
  const spaced = [' ', '\t'].flatMap((blank) => [
    `${token}${blank}`,
    `${blank}${token}`,
    token.replace('.', `.${blank}`),
    `${token.slice(0, 9)}${blank}${token.slice(9)}`,
  ]);
  const more = [`${token}.`, `${token},${token}`, `"${token}"`, `${token}~`, `${token}/`];
  return [...new Set([...respelled, parts.map(padded).join('.'), ...spaced, ...more])].filter(
    (text) => text !== token,
  );
}

async function statusOf(authorization: string | string[]): Promise<number> {
  return (await send(gateway.http + PETS, { headers: { authorization } })).status;
}

/** Every spelling, in the forms that the header takes. */
async function nobodyPasses(token: string, algorithm: IssuerAlgorithm): Promise<void> {
  const twinned = twin(token, algorithm);
  for (const base of twinned === undefined ? [token] : [token, twinned]) {
    for (const text of [base, ...spellings(base)])
      assert.equal(await statusOf(`Bearer ${text}`), 401, JSON.stringify(text.slice(-20)));
    for (const scheme of ['bearer', 'BEARER', 'Bearer ', 'Bearer\t'])
      assert.equal(await statusOf(`${scheme} ${base}`), 401, JSON.stringify(scheme));
  }
}

/** 200 or a refusal that blames the client: never an error of ours. */
async function isTheSameOrRefused(token: string): Promise<void> {
  const status = await statusOf(`Bearer ${token}`);
  assert.ok(status === 200 || status === 401, `${status} for ${JSON.stringify(token.slice(-20))}`);
}

const padded = (part: string): string => part + '='.repeat((3 - (lengthOf(part) % 3)) % 3);

/** What a revocation may name a token by, beside its `jti`. Undefined: not with this algorithm. */
const NAMES: readonly (readonly [
  name: string,
  value: (token: string, algorithm: IssuerAlgorithm) => string | undefined,
])[] = [
  ['signature', (token) => partsOf(token)[2]],
  ["signature's twin", (token, algorithm) => twin(token, algorithm)?.split('.')[2]],
  ['whole text', (token) => token],
  ['whole text with padding', (token) => partsOf(token).map(padded).join('.')],
  ["whole text with the signature's twin", twin],
];

for (const [index, algorithm] of ALGORITHMS.entries()) {
  const issuer = issuers[index];
  assert.ok(issuer);
  test(`${algorithm}: no variant of a token passes once its jti was revoked`, async () => {
    const token = issuer.token();
    const bystander = issuer.token();
    assert.equal(await statusOf(`Bearer ${token}`), 200);
    // Each variant is presented before, so that whatever counts as good is cached.
    for (const text of spellings(token)) await isTheSameOrRefused(text);
    const twinned = twin(token, algorithm);
    if (twinned !== undefined) assert.equal(await statusOf(`Bearer ${twinned}`), 200);
    await revoke(claimsOf(token).jti);
    await gateway.untilStatus(token, 401);
    await nobodyPasses(token, algorithm);
    assert.equal(await statusOf(`Bearer ${bystander}`), 200);
  });

  for (const [named, valueOf] of NAMES) {
    for (const which of ['a token', 'a token without jti']) {
      if (valueOf(issuer.token(), algorithm) === undefined) continue;
      // Without jti, what was signed must differ: nothing else tells two tokens of one second apart.
      const claims = () => (which === 'a token' ? {} : { jti: undefined, sub: randomUUID() });
      test(`${algorithm}: no variant of ${which} passes once its ${named} was revoked`, async () => {
        const token = issuer.token(claims());
        const bystander = issuer.token(claims());
        const twinned = twin(token, algorithm);
        for (const text of twinned === undefined ? [token] : [token, twinned])
          assert.equal(await statusOf(`Bearer ${text}`), 200);
        await revoke(String(valueOf(token, algorithm)));
        await gateway.untilStatus(token, 401);
        await nobodyPasses(token, algorithm);
        assert.equal(await statusOf(`Bearer ${bystander}`), 200);
      });
    }
  }
}

test('the padding that WSO2 writes is the same token, before and after its revocation', async () => {
  const [issuer] = issuers;
  assert.ok(issuer);
  // One of these payloads has a length that calls for padding.
  const tokens = ['kim', 'kimm', 'kimmm'].map((sub) => issuer.token({ sub }));
  const texts = tokens.map((token) => partsOf(token).map(padded).join('.'));
  assert.notDeepEqual(texts, tokens);
  for (const text of texts) assert.equal(await statusOf(`Bearer ${text}`), 200);
  for (const token of tokens) {
    await revoke(claimsOf(token).jti);
    await gateway.untilStatus(token, 401);
  }
  for (const text of texts) assert.equal(await statusOf(`Bearer ${text}`), 401);
});

test('two credential headers, a huge token and an unknown alg or issuer are 4xx without upstream contact', async () => {
  const [issuer] = issuers;
  assert.ok(issuer);
  const good = issuer.token();
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const [, payload, signature] = partsOf(good);
  const { calls } = backend;
  const refused = [
    await statusOf([`Bearer ${good}`, `Bearer ${issuer.token()}`]),
    await statusOf([`Bearer ${good}`, `Bearer ${good}`]),
    await statusOf(`Bearer ${part({ alg: 'none' })}.${payload}.`),
    await statusOf(`Bearer ${part({ alg: 'XX999' })}.${payload}.${signature}`),
    await statusOf(`Bearer ${testIssuer('RS256', 'https://stranger.invalid').token()}`),
    await statusOf(`Basic ${good}`),
    await statusOf(`Bearer ${good.slice(0, -8)}AAAAAAAA`),
  ];
  for (const status of refused) assert.ok(status >= 400 && status < 500, refused.join());
  const huge = await statusOf(`Bearer ${'A'.repeat(1024 * 1024)}`).catch((error: unknown) => {
    // The answer may be lost when the gateway stops reading what is sent.
    assert.match(String(error), /EPIPE|ECONNRESET/);
    return 431;
  });
  assert.equal(huge, 431);
  assert.equal(backend.calls, calls);
  assert.equal(await statusOf(`Bearer ${good}`), 200);
});
