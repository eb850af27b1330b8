import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FAULTS } from '../../check/faults.ts';
import { planFaults, possibleFaults } from '../../check/plan.ts';
import { Random } from '../../check/random.ts';

const plan = (seed: number): [kind: string, at: number][] =>
  planFaults(seed, new Random(seed), FAULTS, 5, 15_000).map(({ fault, at }) => [fault.kind, at]);

describe('planFaults', () => {
  it('is decided by the seed alone', () => {
    assert.deepEqual(plan(7), plan(7));
    assert.notDeepEqual(plan(7), plan(8));
  });

  it('has every kind at least twice in ten seeds, wherever they begin', () => {
    for (const first of [1, 2, 17]) {
      const kinds = Array.from({ length: 10 }, (_none, index) => plan(first + index))
        .flat()
        .map(([kind]) => kind);
      for (const { kind } of FAULTS)
        assert.ok(kinds.filter((one) => one === kind).length >= 2, `${kind} from seed ${first}`);
    }
  });

  it('keeps to its time', () => {
    for (let seed = 1; seed < 50; seed++)
      for (const [, at] of plan(seed)) assert.ok(at >= 1_000 && at < 15_000);
  });
});

describe('possibleFaults', () => {
  it('leaves out what this machine cannot do, and nothing else', () => {
    const without = possibleFaults({ diskFull: false, clockStep: false }).map(({ kind }) => kind);
    assert.deepEqual(
      FAULTS.map(({ kind }) => kind).filter((kind) => !without.includes(kind)),
      ['clock-step', 'disk-full'],
    );
    assert.equal(possibleFaults({ diskFull: true, clockStep: true }).length, FAULTS.length);
  });
});

describe('Random', () => {
  it('is the same for the same seed, and spread over its range', () => {
    const numbers = (seed: number): number[] => {
      const random = new Random(seed);
      return Array.from({ length: 1_000 }, () => random.next());
    };
    assert.deepEqual(numbers(3), numbers(3));
    assert.notDeepEqual(numbers(3), numbers(4));
    assert.ok(numbers(3).every((number) => number >= 0 && number < 1));
    const mean = numbers(3).reduce((sum, number) => sum + number) / 1_000;
    assert.ok(mean > 0.45 && mean < 0.55, String(mean));
  });

  it('shuffles without loss', () => {
    const values = Array.from({ length: 30 }, (_none, index) => index);
    const shuffled = new Random(1).shuffled(values);
    assert.notDeepEqual(shuffled, values);
    assert.deepEqual(
      shuffled.toSorted((one, other) => one - other),
      values,
    );
  });
});
