import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { secureContext } from '../../src/net/secure-context.ts';

const [one = '', two = ''] = rootCertificates;

test('the same certificates, as they come with every reload, are read once', () => {
  const { secureContext: first } = secureContext({ ca: [one, two] });
  assert.ok(first);
  assert.equal(secureContext({ ca: [one, two] }).secureContext, first);
});

test('others are not taken for them', () => {
  const all = [[one], [two], [one, two], []].map((ca) => secureContext({ ca }).secureContext);
  assert.equal(new Set(all).size, all.length);
  assert.deepEqual(secureContext({}), {});
});

test('what cannot be used is refused each time', () => {
  for (let times = 0; times < 2; times++)
    assert.throws(() => secureContext({ ca: [one, 'no certificate'] }), /cannot be used/);
});
