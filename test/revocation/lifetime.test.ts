import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { revocationEnd } from '../../src/revocation/lifetime.ts';

const NOW = Date.parse('2026-11-22T12:00:00Z');
const DAY = 86_400_000;
const LONGEST = 30 * DAY;
const end = (ttl: unknown, expiryTime?: unknown): number =>
  revocationEnd({ ttl, expiryTime }, 'auto', NOW, LONGEST) - NOW;

describe('the end of a revocation', () => {
  it('reads a number as seconds, the longest that any unit can mean', () => {
    assert.equal(end('3600'), 3_600_000);
    assert.equal(end(3600), 3_600_000);
    assert.equal(end(3600n), 3_600_000);
  });

  it('is capped, never shortened, where the seconds exceed the longest life', () => {
    for (const long of [2_592_001, 9_999_999, '31536000', 3_600_000_000, 2_147_483_647])
      assert.equal(end(long), LONGEST, String(long));
    assert.equal(revocationEnd({ ttl: '7200' }, 'auto', NOW, 3_600_000), NOW + 3_600_000);
  });

  it('reads epoch milliseconds', () => {
    assert.equal(end(undefined, NOW + DAY), DAY);
    assert.equal(end(NOW + DAY), DAY);
  });

  it('does not believe an end that has passed: a clock or a unit is wrong', () => {
    assert.equal(end(undefined, NOW - DAY), LONGEST);
    assert.equal(end('3600', NOW - DAY), 3_600_000, 'the other field counts');
    assert.equal(
      revocationEnd({ ttl: 1_700_000_000 }, 'epochSeconds', NOW, LONGEST),
      NOW + LONGEST,
    );
  });

  it('takes the later end of ttl and expiryTime', () => {
    assert.equal(end('3600', NOW + DAY), DAY);
    assert.equal(end('7200', NOW + 1000), 7_200_000);
  });

  it('means the longest token life when nothing usable was said', () => {
    for (const bad of [
      undefined,
      null,
      '',
      ' ',
      0,
      '0',
      -1,
      '-1',
      'abc',
      Number.NaN,
      '1e999',
      {},
      [],
      true,
    ])
      assert.equal(end(bad), LONGEST, JSON.stringify(bad));
    assert.equal(end('3600', 0), 3_600_000, 'WSO2 sends expiryTime 0 for opaque tokens');
  });

  it('obeys an explicit unit', () => {
    assert.equal(revocationEnd({ ttl: 3600 }, 'milliseconds', NOW, LONGEST), NOW + 3600);
    assert.equal(revocationEnd({ ttl: 60 }, 'seconds', NOW, LONGEST), NOW + 60_000);
    assert.equal(
      revocationEnd({ ttl: (NOW + DAY) / 1000 }, 'epochSeconds', NOW, LONGEST),
      NOW + DAY,
    );
    assert.equal(revocationEnd({ ttl: NOW + DAY }, 'epochMilliseconds', NOW, LONGEST), NOW + DAY);
  });

  it('never lies beyond the longest token life, nor before what any unit can mean', () => {
    fc.assert(
      fc.property(fc.double({ min: 1, max: 1e13, noNaN: true }), (value) => {
        const got = revocationEnd({ ttl: value }, 'auto', NOW, LONGEST);
        assert.ok(got <= NOW + LONGEST);
        const readings = [value * 1000, value];
        if (value < 1e12) readings.push(NOW + value * 1000, NOW + value);
        for (const reading of readings)
          if (value < 1e12 || reading === value) assert.ok(got >= Math.min(reading, NOW + LONGEST));
      }),
    );
  });
});
