import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  allKnownAsOf,
  knownAsOf,
  type Moment,
  momentOf,
  momentOfWall,
  type Proofs,
} from '../../src/revocation/freshness.ts';

const at = (ms: number): Moment => ({ monotonic: ms, wall: 1_000_000 + ms });

function store(change: Partial<Proofs> = {}): Proofs {
  const base = { name: 'store', kind: 'list', required: true, tellsOf: [] } as const;
  return { ...base, standingSince: at(0), lastProof: at(10), ...change };
}

function topic(change: Partial<Proofs> = {}): Proofs {
  const base = { name: 'topic', kind: 'events', required: false, tellsOf: ['store'] } as const;
  return { ...base, standingSince: at(5), lastProof: at(30), ...change };
}

describe('what a source is known as of', () => {
  it('is its own last proof', () => {
    assert.deepEqual(knownAsOf(store(), [store()]), at(10));
    assert.equal(knownAsOf(store({ lastProof: undefined }), []), undefined);
  });

  it('is a subscription for a store that was read after it stood', () => {
    assert.deepEqual(knownAsOf(store(), [store(), topic()]), at(30));
    assert.deepEqual(
      knownAsOf(store(), [store(), topic({ standingSince: at(11) })]),
      at(10),
      'the store was read before: what lies between is missing',
    );
    assert.deepEqual(
      knownAsOf(store(), [store(), topic({ standingSince: undefined })]),
      at(10),
      'it does not stand any more',
    );
    assert.deepEqual(
      knownAsOf(store(), [store(), topic({ tellsOf: ['another'] })]),
      at(10),
      'it tells of another store',
    );
  });

  it('is nothing for a subscription that does not stand', () => {
    assert.equal(knownAsOf(topic({ standingSince: undefined }), []), undefined);
    assert.deepEqual(knownAsOf(topic(), []), at(30));
  });
});

describe('what all sources are known as of', () => {
  it('is the required one that is furthest behind', () => {
    const late = store({ name: 'late', lastProof: at(3) });
    assert.deepEqual(allKnownAsOf([store(), late, topic()]), at(3));
    assert.deepEqual(allKnownAsOf([store(), { ...late, required: false }, topic()]), at(30));
  });

  it('is nothing while a required one never proved itself', () => {
    assert.equal(allKnownAsOf([store(), store({ name: 'b', lastProof: undefined })]), undefined);
  });

  it('is now where nothing is required', () => {
    const before = momentOf().monotonic;
    assert.ok((allKnownAsOf([])?.monotonic ?? 0) >= before);
  });

  it('is never later than any required source can prove', () => {
    const moment = fc.option(
      fc.nat(100).map((ms) => at(ms)),
      { nil: undefined },
    );
    fc.assert(
      fc.property(
        fc.array(fc.record({ standingSince: moment, lastProof: moment, required: fc.boolean() })),
        (proofs) => {
          const sources = proofs.map((proof, i) => store({ ...proof, name: `s${i}` }));
          const known = allKnownAsOf(sources);
          for (const { required, lastProof } of sources)
            if (required && known !== undefined)
              assert.ok(lastProof !== undefined && known.monotonic <= lastProof.monotonic);
        },
      ),
    );
  });
});

describe('a moment of an earlier run', () => {
  it('is as long ago as the wall clock says', () => {
    const moment = momentOfWall(Date.now() - 5_000);
    const ago = momentOf().monotonic - (moment?.monotonic ?? 0);
    assert.ok(ago >= 4_900 && ago < 60_000);
  });

  it('in the future is not believed', () => {
    assert.equal(momentOfWall(Date.now() + 60_000), undefined);
  });
});
