import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Basis } from '../../src/revocation/basis.ts';

const HOUR_MS = 3_600_000;

test('what was claimed before another gateway had the journal does not count in the next run', () => {
  const agoMs = Date.now() - HOUR_MS;
  const first = new Basis('a');
  const kept = new Map([...first.keptWith(new Map([['topic', 5]]))].map(([name]) => [name, agoMs]));
  const claimedMs = agoMs + 1;
  assert.equal(first.restore(kept, claimedMs), claimedMs);
  first.again();
  const now = Date.now();
  assert.equal(new Basis('a').restore(first.keptWith(new Map()), claimedMs), undefined);
  assert.equal(new Basis('a').restore(first.keptWith(new Map()), now + 1), now + 1);
});
