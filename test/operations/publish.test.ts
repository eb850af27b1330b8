import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { outgoingToken } from '../../src/operations/publish.ts';
import { parseRevocation } from '../../src/revocation/revocation.ts';
import { keyOfText } from '../../src/revocation/token-key.ts';
import { POLICY } from '../revocation/stage.ts';

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('the token of an operator, as others hear of it', () => {
  const claims = { iss: 'https://a', jti: 'one' };

  it('is the jti of a whole JWT, for its own issuer, whatever white space is around it', () => {
    const jwt = `${part({ alg: 'RS256' })}.${part(claims)}.AAAA`;
    for (const text of [jwt, ` ${jwt}\n`]) {
      const { token, tokenType, issuer } = outgoingToken(text, 'https://b', 1);
      assert.deepEqual([token, tokenType, issuer], ['one', 'JWT', 'https://a']);
    }
  });

  it('is its own text where it is denied here by its own text', () => {
    for (const text of [
      `opaque.${part(claims)}.AAAA`,
      `${part({ typ: 'JWT' })}.${part(claims)}.AAAA`,
      `${part([{ alg: 'RS256' }])}.${part(claims)}.AAAA`,
    ]) {
      const denied = parseRevocation({ token: text }, POLICY, Date.now());
      assert.ok(typeof denied !== 'string' && denied.keys.includes(keyOfText('id', null, text)));
      const { token, issuer } = outgoingToken(text, undefined, 1);
      assert.deepEqual([token, issuer], [text, undefined]);
    }
  });

  it('is its own text where a JWT has no jti to be called by', () => {
    for (const jti of [undefined, '', 1]) {
      const jwt = `${part({ alg: 'RS256' })}.${part({ iss: 'https://a', jti })}.AAAA`;
      assert.equal(outgoingToken(jwt, undefined, 1).token, jwt);
    }
  });

  it('counts as that of a JWT where it may be one, which WSO2 asks for', () => {
    assert.equal(
      outgoingToken('3ad5672a-afca-4387-9ec5-fcf28785f803', undefined, 1).tokenType,
      'JWT',
    );
  });
});
