import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { describe, it, test } from 'node:test';
import fc from 'fast-check';
import { parseRevocation, type RevocationEvent } from '../../src/revocation/revocation.ts';
import { listAndReader, POLICY } from './stage.ts';
import {
  jwtIdentity,
  opaqueIdentity,
  type TokenIdentity,
} from '../../src/revocation/token-identity.ts';
import { classOf, classOfKey, keyOfDigest } from '../../src/revocation/token-key.ts';

const HOUR = 3_600_000;
const now = Date.now();
const clock = { latest: () => now, earliest: () => now };
const policy = { ...POLICY, longestTokenLifeMs: 30 * 24 * HOUR };

function denies(
  event: RevocationEvent,
  token: TokenIdentity,
  issuers?: readonly string[],
): boolean {
  const { list, reader } = listAndReader(clock, 0, { maxEntries: 100 });
  const revocation = parseRevocation(
    event,
    issuers === undefined ? policy : { ...policy, issuers },
    now,
  );
  if (typeof revocation !== 'string') list.addToken(revocation, 'test');
  return reader.revokedBy(token) === 'token';
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function jwt(
  claims: Record<string, unknown>,
  algorithm = 'RS256',
  signature = Buffer.alloc(256, 7),
): { text: string; signature: Buffer; identity: TokenIdentity } {
  const signingInput = `${part({ alg: algorithm })}.${part(claims)}`;
  const { jti } = claims;
  return {
    text: `${signingInput}.${signature.toString('base64url')}`,
    signature,
    identity: jwtIdentity({
      issuer: String(claims['iss']),
      ...(typeof jti === 'string' ? { jti } : {}),
      signingInput,
      signature,
      algorithm,
      expiresAtMs: now + HOUR,
    }),
  };
}

describe('a revocation', () => {
  const a = jwt({ iss: 'https://a', jti: 'one', sub: 'kim' });
  const b = jwt({ iss: 'https://b', jti: 'one', sub: 'kim' }, 'RS256', Buffer.alloc(256, 8));

  it('by jti denies that jti, of every issuer when none is named', () => {
    assert.ok(denies({ token: 'one' }, a.identity));
    assert.ok(denies({ token: 'one' }, b.identity));
    assert.ok(!denies({ token: 'two' }, a.identity));
    assert.ok(!denies({ token: 'One' }, a.identity));
  });

  it('by jti with white space around it denies that jti, and the one that really has it', () => {
    for (const token of ['one\n', ' one', '\tone \r\n']) assert.ok(denies({ token }, a.identity));
    const spaced = jwt({ iss: 'https://a', jti: 'one\n' });
    assert.ok(denies({ token: 'one\n' }, spaced.identity));
    assert.ok(!denies({ token: 'one' }, spaced.identity));
  });

  it('by jti and issuer denies only that issuer', () => {
    assert.ok(denies({ token: 'one', issuer: 'https://a' }, a.identity));
    assert.ok(!denies({ token: 'one', issuer: 'https://a' }, b.identity));
  });

  it('by whole JWT denies that token by its issuer and jti, whatever its spelling', () => {
    const resigned = jwt(
      { iss: 'https://a', jti: 'one', sub: 'lee' },
      'RS256',
      Buffer.alloc(256, 9),
    );
    for (const text of [a.text, ` ${a.text}\n`, a.text.replaceAll('.', '==.'), `${a.text}==`]) {
      assert.ok(denies({ token: text }, a.identity), text);
      assert.ok(denies({ token: text }, resigned.identity), 'same issuer and jti');
      assert.ok(!denies({ token: text }, b.identity), 'same jti, other issuer');
    }
  });

  it('by whole JWT without jti denies exactly that signing input', () => {
    const first = jwt({ iss: 'https://a', sub: 'kim', n: 1 });
    const second = jwt({ iss: 'https://a', sub: 'kim', n: 2 });
    assert.ok(denies({ token: first.text }, first.identity));
    assert.ok(!denies({ token: first.text }, second.identity));
  });

  it('by signature denies that signature in every spelling of base64', () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => (i * 37 + 250) & 255));
    const token = jwt({ iss: 'https://a', jti: 'x' }, 'RS256', bytes);
    const canonical = bytes.toString('base64url');
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const last = alphabet.indexOf(canonical.at(-1) ?? '');
    const sibling = canonical.slice(0, -1) + alphabet[last + 1];
    for (const spelling of [canonical, `${canonical}==`, bytes.toString('base64'), sibling])
      assert.ok(denies({ token: spelling }, token.identity), spelling.slice(-4));
    assert.ok(!denies({ token: Buffer.alloc(256, 1).toString('base64url') }, token.identity));
  });

  for (const [algorithm, curve, digest] of [
    ['ES256', 'P-256', 'sha256'],
    ['ES384', 'P-384', 'sha384'],
    ['ES512', 'P-521', 'sha512'],
  ] as const) {
    it(`by ${algorithm} signature denies the twin with s replaced by n - s, either way round`, () => {
      const order = {
        'P-256': 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
        'P-384': BigInt(
          '0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
        ),
        'P-521': BigInt(
          '0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409',
        ),
      }[curve];
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: curve });
      const signature = sign(digest, Buffer.from('anything'), {
        key: privateKey,
        dsaEncoding: 'ieee-p1363',
      });
      const half = signature.length / 2;
      const s = BigInt(`0x${signature.subarray(half).toString('hex')}`);
      const twin = Buffer.concat([
        signature.subarray(0, half),
        Buffer.from((order - s).toString(16).padStart(half * 2, '0'), 'hex'),
      ]);
      const claims = { iss: 'https://a', jti: 'ec' };
      for (const [named, presented] of [
        [signature, twin],
        [twin, signature],
        [twin, twin],
      ] as const)
        assert.ok(
          denies(
            { token: named.toString('base64url') },
            jwt(claims, algorithm, presented).identity,
          ),
        );
    });
  }

  it('of an opaque token denies it by text, by digest and by the jti that introspection gave', () => {
    const token = opaqueIdentity({
      token: 'opaque-1',
      issuers: ['https://km'],
      jti: 'j-1',
      expiresAtMs: now + HOUR,
    });
    const digest = createHash('sha256').update('opaque-1').digest('base64url');
    assert.ok(denies({ token: 'opaque-1' }, token));
    assert.ok(denies({ digest }, token));
    assert.ok(denies({ digest, issuer: 'https://km' }, token));
    assert.ok(denies({ token: 'j-1' }, token));
    assert.ok(!denies({ token: 'opaque-2' }, token));
    assert.ok(!denies({ token: 'opaque-1', issuer: 'https://other' }, token));
  });

  it('from a confined source reaches only its issuers', () => {
    assert.ok(denies({ token: 'one' }, a.identity, ['https://a']));
    assert.ok(!denies({ token: 'one' }, b.identity, ['https://a']));
    assert.ok(!denies({ token: b.text }, b.identity, ['https://a']));
    assert.ok(!denies({ token: 'one', issuer: 'https://b' }, b.identity, ['https://a']));
    const signature = b.signature.toString('base64url');
    assert.ok(!denies({ token: signature }, b.identity, ['https://a']));
  });

  it('without a usable token is refused with a reason and without a crash', () => {
    for (const event of [{}, { token: '' }, { digest: 'short' }] as RevocationEvent[])
      assert.equal(parseRevocation(event, policy, now), 'no token in it');
  });

  it('keeps ids apart byte by byte', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (one, two) => {
        if (one === '' || two === '') return;
        const token = jwtIdentity({
          issuer: 'https://a',
          jti: one,
          signingInput: 'h.p',
          signature: Buffer.alloc(256),
          algorithm: 'RS256',
          expiresAtMs: now,
        });
        assert.equal(denies({ token: two }, token), one === two || one === two.trim());
        assert.ok(denies({ token: one }, token));
      }),
    );
    for (const id of [
      '__proto__',
      'constructor',
      'a/b',
      'a\0b',
      'é',
      'e\u0301',
      '*',
      'x'.repeat(1 << 20),
    ])
      assert.ok(
        denies({ token: id }, jwt({ iss: 'https://a', jti: id }).identity),
        id.slice(0, 12),
      );
    assert.ok(!denies({ token: 'é' }, jwt({ iss: 'https://a', jti: 'e\u0301' }).identity));
  });
});

test('the class of a name is the same with and without the name', () => {
  for (const kind of ['id', 'signature', 'input'] as const)
    for (const issuer of [null, 'https://a'])
      assert.equal(classOf(kind, issuer), classOfKey(keyOfDigest(kind, issuer, 'x')));
});
