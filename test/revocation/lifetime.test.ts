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
  it('reads a relative number as seconds, the longer of the two relative readings', () => {
    assert.equal(end('3600'), 3_600_000);
    assert.equal(end(3600), 3_600_000);
    assert.equal(end(3600n), 3_600_000);
  });

  it('reads milliseconds where seconds would be absurd', () => {
    assert.equal(end(3_600_000), 3_600_000);
    assert.equal(end(20 * DAY), 20 * DAY);
  });

  it('reads absolute times in milliseconds', () => {
    assert.equal(end(undefined, NOW + DAY), DAY);
    assert.equal(revocationEnd({ expiryTime: NOW + DAY }, 'auto', NOW, LONGEST), NOW + DAY);
  });

  it('does not take an ended token for one that lives for the longest time', () => {
    assert.equal(end(undefined, NOW - DAY), -DAY);
  });

  it('takes the longest reading when an absolute one has passed and a relative one has not', () => {
    // 1.2e9 is 2008 in epoch seconds, or 13.9 days in milliseconds.
    assert.equal(end(1_200_000_000), 1_200_000_000);
    // Today's epoch seconds are 20 days in milliseconds: nobody can tell, so the entry stays for the longer of the two.
    assert.equal(end(Math.floor((NOW + DAY) / 1000)), Math.floor((NOW + DAY) / 1000));
    assert.equal(end((NOW + 25 * DAY) / 1000), 25 * DAY);
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

  it('never lies beyond the longest token life, and never before any plausible reading', () => {
    fc.assert(
      fc.property(fc.double({ min: 1, max: 1e13, noNaN: true }), (value) => {
        const got = revocationEnd({ ttl: value }, 'auto', NOW, LONGEST);
        assert.ok(got <= NOW + LONGEST);
        for (const reading of [NOW + value * 1000, NOW + value, value * 1000, value])
          if (reading <= NOW + LONGEST) assert.ok(got >= reading);
      }),
    );
  });
});
