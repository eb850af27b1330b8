import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RevocationList } from '../../src/revocation/revocation-list.ts';

const MARGIN = 60_000;

function harness(): {
  list: RevocationList;
  wall: (ms: number) => void;
  monotonic: (ms: number) => void;
  sweep: () => void;
} {
  let wallMs = 1_000_000;
  let monotonicMs = 1_000_000;
  const list = new RevocationList(
    {
      latest: () => Math.max(wallMs, monotonicMs),
      earliest: () => Math.min(wallMs, monotonicMs),
    },
    MARGIN,
  );
  return {
    list,
    wall: (ms) => (wallMs = ms),
    monotonic: (ms) => (monotonicMs = ms),
    sweep: () => {
      for (let i = 0; i < 3; i++) list.sweep();
    },
  };
}

describe('the revocation list', () => {
  it('forgets an entry after its end and margin, by its own clock alone', () => {
    const { list, wall, monotonic, sweep } = harness();
    list.add({ keys: ['k'], endsAtMs: 2_000_000 });
    wall(2_000_000 + MARGIN);
    monotonic(2_000_000 + MARGIN);
    sweep();
    assert.equal(list.size, 1, 'not early');
    wall(2_000_001 + MARGIN);
    monotonic(2_000_001 + MARGIN);
    sweep();
    assert.equal(list.size, 0);
  });

  it('does not forget when only one of the two clocks says so', () => {
    const { list, wall, sweep } = harness();
    list.add({ keys: ['k'], endsAtMs: 2_000_000 });
    wall(9_000_000_000);
    sweep();
    assert.ok(list.covers({ keys: ['k'], expiresAtMs: 0 }));
  });

  it('tells up to when it has forgotten, so that a clock set back revives nothing', () => {
    const { list, wall, monotonic, sweep } = harness();
    assert.equal(list.forgottenUntilMs, 0);
    list.add({ keys: ['a'], endsAtMs: 2_000_000 });
    list.add({ keys: ['b'], endsAtMs: 3_000_000 });
    list.add({ keys: ['c'], endsAtMs: 9_000_000 });
    wall(4_000_000);
    monotonic(4_000_000);
    sweep();
    assert.equal(list.forgottenUntilMs, 3_000_000);
    wall(1_000_000);
    assert.equal(list.forgottenUntilMs, 3_000_000);
  });

  it('never shortens an entry', () => {
    const { list, wall, monotonic, sweep } = harness();
    list.add({ keys: ['k'], endsAtMs: 5_000_000 });
    list.add({ keys: ['k'], endsAtMs: 2_000_000 });
    wall(4_000_000);
    monotonic(4_000_000);
    sweep();
    assert.equal(list.size, 1);
  });

  it('keeps an entry that a verified token hit until that token ends', () => {
    const { list, wall, monotonic, sweep } = harness();
    list.add({ keys: ['k'], endsAtMs: 1_500_000 });
    assert.ok(list.covers({ keys: ['other', 'k'], expiresAtMs: 6_000_000 }));
    wall(5_000_000);
    monotonic(5_000_000);
    sweep();
    assert.ok(list.covers({ keys: ['k'], expiresAtMs: 6_000_000 }));
  });

  it('agrees with a naive model under random operations', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.record({ op: fc.constant('add'), key: fc.nat(20), life: fc.nat(500_000) }),
            fc.record({ op: fc.constant('tick'), key: fc.nat(20), life: fc.nat(300_000) }),
            fc.record({ op: fc.constant('covers'), key: fc.nat(20), life: fc.nat(500_000) }),
          ),
          { maxLength: 200 },
        ),
        (operations) => {
          const { list, wall, monotonic, sweep } = harness();
          const model = new Map<string, number>();
          let now = 1_000_000;
          for (const { op, key: number, life } of operations) {
            const key = `k${number}`;
            if (op === 'add') {
              list.add({ keys: [key], endsAtMs: now + life });
              model.set(key, Math.max(model.get(key) ?? 0, now + life));
            } else if (op === 'tick') {
              now += life;
              wall(now);
              monotonic(now);
              sweep();
              for (const [name, end] of model) if (end < now - MARGIN) model.delete(name);
            } else {
              const expected = model.has(key);
              assert.equal(list.covers({ keys: [key], expiresAtMs: now + life }), expected);
              if (expected) model.set(key, Math.max(model.get(key) ?? 0, now + life));
            }
            assert.equal(list.size, model.size);
          }
        },
      ),
    );
  });
});
