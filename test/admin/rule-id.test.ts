import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fingerprintOfId, idOfLift, idOfRule, idOfToken } from '../../src/admin/rule-id.ts';

const ID = /^[rlt]-[A-Za-z0-9_-]{16}$/;

test('a rule has one id, the same everywhere, whatever its times are', () => {
  const kim = { issuer: null, claims: [['sub', 'kim']] } as const;
  // On every gateway and in every version: operators write it down.
  assert.equal(idOfRule(kim), 'r-jKzGmvS3fKCObQf1');
  assert.equal(idOfRule({ ...kim, issuedBeforeMs: 1, endsAtMs: 2 } as typeof kim), idOfRule(kim));
  assert.notEqual(idOfLift(kim), idOfRule(kim));
  const others = [
    { issuer: 'kim', claims: [['sub', 'kim']] },
    { issuer: null, claims: [['sub', 'Kim']] },
    { issuer: null, claims: [['sid', 'kim']] },
    { issuer: null, claims: [] },
    { issuer: '', claims: [['sub', 'kim']] },
    { issuer: null, claims: [['sub', '\u00e9']] },
    { issuer: null, claims: [['sub', 'e\u0301']] },
    { issuer: null, claims: [['sub', '\ud800']] },
    { issuer: null, claims: [['sub', '\ufffd']] },
  ] as const;
  const ids = [kim, ...others].map(idOfRule);
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, ID);
});

test('the id of a token is its fingerprint, and can be read back', () => {
  const word = fc.nat(0xffff_ffff);
  fc.assert(
    fc.property(fc.tuple(word, word, word, word), (words) => {
      const prints = Uint32Array.from(words);
      const id = idOfToken(prints, 1);
      assert.match(id, ID);
      assert.deepEqual(fingerprintOfId(id), prints.slice(1));
    }),
  );
  for (const wrong of [
    '',
    't-',
    'r-AAAAAAAAAAAAAAAA',
    't-AAAAAAAAAAAAAAA',
    't-AAAAAAAAAAAAAAA=',
    'T-AAAAAAAAAAAAAAAA',
  ])
    assert.equal(fingerprintOfId(wrong), undefined, wrong);
});
