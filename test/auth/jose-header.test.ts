import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayFault } from '../../src/errors.ts';
import { looksLikeHeader, readHeader } from '../../src/auth/jose-header.ts';
import { tokenShape } from '../../src/auth/jws.ts';
import { encode } from './stage.ts';

test('a header counts the second time as it did the first time', () => {
  const good = encode({ alg: 'RS256', kid: 'k', typ: 'JWT' });
  for (const time of ['first', 'second'])
    assert.deepEqual(readHeader(good), { algorithm: 'RS256', kid: 'k', typ: 'JWT' }, time);
  for (const bad of [
    { alg: 'RS256', crit: ['b64'] },
    { alg: 'RS256', b64: false },
    { alg: 5 },
    { alg: 'RS256', kid: 5 },
    '{"alg":"RS256","alg":"none"}',
    '{"alg":',
  ])
    for (const time of ['first', 'second'])
      assert.throws(() => readHeader(encode(bad)), GatewayFault, `${time} ${JSON.stringify(bad)}`);
  // Another spelling of what is known is unknown.
  assert.throws(() => readHeader(`${good}=`), GatewayFault);
});

test('whoever makes up headers gets each read, and takes nothing from those of others', () => {
  const good = encode({ alg: 'ES256', kid: 'of an issuer' });
  for (let number = 0; number < 1_000; number++) {
    const header = readHeader(encode({ alg: 'RS256', kid: `k${number}` }));
    assert.equal(header.kid, `k${number}`);
    assert.equal(readHeader(good).algorithm, 'ES256');
  }
  const long = encode({ alg: 'RS256', kid: 'k'.repeat(2_000) });
  for (const time of ['first', 'second']) assert.equal(readHeader(long).kid?.length, 2_000, time);
});

test('that a header is known does not make a JWT of what has another number of dots', () => {
  const header = encode({ alg: 'RS256', kid: 'shape' });
  for (const read of [false, true]) {
    if (read) readHeader(header);
    assert.equal(looksLikeHeader(header), 'yes');
    assert.equal(tokenShape(`${header}.e30.c2ln`), 'jws');
    assert.equal(tokenShape(`${header}.e30`), 'other-jose');
    assert.equal(tokenShape(`${header}.e30.c2ln.c2ln.c2ln`), 'other-jose');
    assert.equal(tokenShape(header), 'opaque');
  }
});
