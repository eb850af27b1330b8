import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { RevocationList } from '../../src/revocation/revocation-list.ts';
import type { TokenIdentity } from '../../src/revocation/token-identity.ts';
import { keysNamed, listAndReader, named } from './stage.ts';

const MARGIN = 60_000;

/** Ends are kept in whole steps of so many milliseconds. */
const STEP = 64_000;
const BEGIN = Math.ceil(Date.UTC(2026, 0, 1) / STEP) * STEP;

function harness(): {
  list: RevocationList;
  add: (name: string, endsInMs: number) => void;
  covers: (token: Omit<TokenIdentity, 'expiresAtMs'> & { expiresInMs: number }) => boolean;
  wall: (ms: number) => void;
  monotonic: (ms: number) => void;
  sweep: () => void;
} {
  let wallMs = BEGIN;
  let monotonicMs = BEGIN;
  const { list, reader } = listAndReader(
    {
      latest: () => Math.max(wallMs, monotonicMs),
      earliest: () => Math.min(wallMs, monotonicMs),
    },
    MARGIN,
  );
  return {
    list,
    add: (name, endsInMs) =>
      list.addToken({ keys: keysNamed(name), endsAtMs: BEGIN + endsInMs }, 'test'),
    covers: ({ expiresInMs, ...token }) =>
      reader.revokedBy({ ...token, expiresAtMs: BEGIN + expiresInMs }) === 'token',
    wall: (ms) => (wallMs = BEGIN + ms),
    monotonic: (ms) => (monotonicMs = BEGIN + ms),
    sweep: () => list.sweep(),
  };
}

describe('the revocation list', () => {
  it('forgets an entry after its end and margin, by its own clock alone', () => {
    const { list, add, wall, monotonic, sweep } = harness();
    add('k', 100 * STEP);
    wall(100 * STEP + MARGIN);
    monotonic(100 * STEP + MARGIN);
    sweep();
    assert.equal(list.size, 1, 'not early');
    wall(100 * STEP + 1_000 + MARGIN);
    monotonic(100 * STEP + 1_000 + MARGIN);
    sweep();
    assert.equal(list.size, 0);
  });

  it('does not forget when only one of the two clocks says so', () => {
    const { add, covers, wall, sweep } = harness();
    add('k', 10 * STEP);
    wall(9_000_000_000);
    sweep();
    assert.ok(covers({ ...named('k'), expiresInMs: 0 }));
  });

  it('tells up to when it has forgotten, so that a clock set back revives nothing', () => {
    const { list, add, wall, monotonic, sweep } = harness();
    assert.equal(list.state.forgottenUntilMs, 0);
    add('ia', 20 * STEP);
    add('ib', 30 * STEP);
    add('ic', 90 * STEP);
    wall(40 * STEP);
    monotonic(40 * STEP);
    sweep();
    assert.equal(list.state.forgottenUntilMs, BEGIN + 30 * STEP);
    wall(10 * STEP);
    assert.equal(list.state.forgottenUntilMs, BEGIN + 30 * STEP);
  });

  it('never shortens an entry', () => {
    const { list, add, wall, monotonic, sweep } = harness();
    add('k', 50 * STEP);
    add('k', 20 * STEP);
    wall(40 * STEP);
    monotonic(40 * STEP);
    sweep();
    assert.equal(list.size, 1);
  });

  it('keeps an entry that a verified token hit until that token ends', () => {
    const { add, covers, wall, monotonic, sweep } = harness();
    add('k', 15 * STEP);
    assert.ok(covers({ ...named('other', 'k'), expiresInMs: 60 * STEP }));
    wall(50 * STEP);
    monotonic(50 * STEP);
    sweep();
    assert.ok(covers({ ...named('k'), expiresInMs: 60 * STEP }));
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
          const { list, add, covers, wall, monotonic, sweep } = harness();
          const model = new Map<string, number>();
          const stepUp = (ms: number): number => Math.ceil(ms / STEP) * STEP;
          const prolong = (key: string, end: number): void => {
            model.set(key, Math.max(model.get(key) ?? 0, stepUp(end)));
          };
          let now = 0;
          for (const { op, key: number, life } of operations) {
            const key = String(number);
            if (op === 'add') {
              add(key, now + life);
              prolong(key, now + life);
            } else if (op === 'tick') {
              now += life;
              wall(now);
              monotonic(now);
              sweep();
              const gone = Math.floor((BEGIN + now - MARGIN) / 1_000) * 1_000 - BEGIN;
              for (const [name, end] of model) if (end < gone) model.delete(name);
            } else {
              const expected = model.has(key);
              assert.equal(covers({ ...named(key), expiresInMs: now + life }), expected);
              if (expected && (model.get(key) ?? 0) < now + life) prolong(key, now + life);
            }
            assert.equal(list.size, model.size);
          }
        },
      ),
    );
  });
});
