import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Lift } from '../../src/revocation/rule.ts';
import { Tombstones } from '../../src/revocation/tombstones.ts';

function lift(
  sub: string,
  issuedBeforeMs: number,
  endsAtMs = 1_000,
  issuer: string | null = null,
): Lift {
  return { issuer, claims: [['sub', sub]], issuedBeforeMs, endsAtMs };
}

const admits = (tombstones: Tombstones, rule: Lift): boolean => tombstones.left(rule) !== undefined;

describe('tombstones', () => {
  it('keep the same rule and older ones out, and let newer ones in', () => {
    const tombstones = new Tombstones();
    assert.equal(admits(tombstones, lift('a', 100)), true);
    assert.equal(tombstones.add(lift('a', 100)), 'added');
    assert.equal(admits(tombstones, lift('a', 99)), false);
    assert.equal(admits(tombstones, lift('a', 100)), false);
    assert.equal(admits(tombstones, lift('a', 101)), true);
  });

  it('are for the rule that they name only', () => {
    const tombstones = new Tombstones();
    tombstones.add(lift('a', 100));
    assert.equal(admits(tombstones, lift('b', 100)), true);
    assert.equal(admits(tombstones, lift('a', 100, 1_000, 'https://idp')), true);
    assert.equal(admits(tombstones, { ...lift('a', 1), claims: [['sid', 'a']] }), true);
  });

  it('keep the greatest cut-off and the latest end, in whatever order they come', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(50), fc.integer({ min: 1, max: 50 })), { minLength: 1 }),
        fc.nat(60),
        (lifts, cutoff) => {
          const tombstones = new Tombstones();
          for (const [before, end] of lifts) tombstones.add(lift('a', before, end));
          const greatest = Math.max(...lifts.map(([before]) => before));
          const latest = Math.max(...lifts.map(([, end]) => end));
          assert.equal(admits(tombstones, lift('a', cutoff)), cutoff > greatest);
          assert.equal(tombstones.expire(latest - 1), 0);
          assert.equal(admits(tombstones, lift('a', cutoff)), cutoff > greatest);
          assert.equal(tombstones.expire(latest), 1);
          assert.equal(admits(tombstones, lift('a', cutoff)), true);
        },
      ),
    );
  });

  it('say when a lift is nothing new', () => {
    const tombstones = new Tombstones();
    tombstones.add(lift('a', 100, 500));
    assert.equal(tombstones.add(lift('a', 100, 500)), 'same');
    assert.equal(tombstones.add(lift('a', 90, 400)), 'same');
    assert.equal(tombstones.add(lift('a', 100, 501)), 'added');
    assert.deepEqual([...tombstones.all()], [lift('a', 100, 501)]);
  });

  it('are bounded, and what they know already can still be prolonged', () => {
    const tombstones = new Tombstones(2);
    assert.equal(tombstones.add(lift('a', 1)), 'added');
    assert.equal(tombstones.add(lift('b', 1)), 'added');
    assert.equal(tombstones.add(lift('c', 1)), 'full');
    assert.equal(admits(tombstones, lift('c', 1)), true);
    assert.equal(tombstones.add(lift('a', 2)), 'added');
    assert.equal(tombstones.size, 2);
    tombstones.expire(1_000);
    assert.equal(tombstones.add(lift('c', 1)), 'added');
  });
});
