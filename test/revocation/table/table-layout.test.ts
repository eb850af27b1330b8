import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  bucketOf,
  cutoffOf,
  endWord,
  isRestored,
  secondsOf,
  versionOf,
} from '../../../src/revocation/table/table-layout.ts';

const word = fc.integer({ min: 0, max: 0xffffffff });

describe('layout of a table', () => {
  it('leads to a bucket that is in use; one bucket more moves entries from one old bucket only, and only to the new one', () => {
    fc.assert(
      fc.property(word, fc.integer({ min: 1, max: 2 ** 26 }), (word, buckets) => {
        const before = bucketOf(word, buckets);
        const after = bucketOf(word, buckets + 1);
        assert.ok(before >= 0 && before < buckets);
        if (after === before) return;
        assert.equal(after, buckets);
        assert.equal(before, buckets - 2 ** Math.floor(Math.log2(buckets)));
      }),
    );
  });

  it('spreads words over all buckets, at most twice as many to one as to another', () => {
    for (const buckets of [1, 2, 3, 5, 8, 11, 16, 31]) {
      const words = 1 << 12;
      const reached = Array.from({ length: buckets }, () => 0);
      for (let i = 0; i < words; i++) {
        const bucket = bucketOf(i, buckets);
        reached[bucket] = (reached[bucket] ?? 0) + 1;
      }
      assert.ok(Math.max(...reached) <= 2 * Math.min(...reached), `${buckets}: ${reached.join()}`);
    }
  });

  it('keeps ends in whole seconds, never an earlier one, and whether they were restored', () => {
    const end = fc.double({ min: 1_577_836_801, max: 3_700_000_000, noNaN: true });
    fc.assert(
      fc.property(end, fc.boolean(), (end, restored) => {
        const kept = endWord(end, restored);
        assert.equal(secondsOf(kept), Math.ceil(end));
        assert.equal(isRestored(kept), restored);
      }),
    );
  });

  it('keeps an end that does not fit as the nearest that does, and no number as the latest', () => {
    const last = 1_577_836_800 + 2 ** 31 - 1;
    for (const restored of [false, true]) {
      for (const end of [1e12, Infinity, Number.NaN])
        assert.equal(secondsOf(endWord(end, restored)), last, String(end));
      for (const end of [0, -1, -Infinity, 1_577_836_800]) {
        assert.notEqual(endWord(end, restored), 0);
        assert.equal(secondsOf(endWord(end, restored)), 1_577_836_801, String(end));
      }
    }
    assert.equal(secondsOf(0), 0);
  });

  it('puts a cut-off of any size together again', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (ms) => {
        assert.equal(cutoffOf(Math.floor(ms / 2 ** 32), ms % 2 ** 32), ms);
      }),
    );
  });

  it('has versions beside the number of buckets, never in its place', () => {
    fc.assert(
      fc.property(word, (word) => {
        const place = versionOf(word);
        assert.ok(place >= 16 && place < 16 + 1024);
      }),
    );
  });
});
