import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GroupCommit } from '../../../src/revocation/journal/group-commit.ts';

/** A disk that takes everything at once. */
function groupCommit(groupCommitMs: number): { group: GroupCommit; commits: () => number } {
  let commits = 0;
  const group = new GroupCommit({
    groupCommitMs,
    bufferBytes: 1_048_576,
    commit: () => Promise.resolve(void commits++),
    changed: () => undefined,
    committed: () => undefined,
  });
  group.release();
  return { group, commits: () => commits };
}

const append = (group: GroupCommit): boolean =>
  group.append((frame) => frame.token(new Uint32Array([1, 2, 3]), 0, 2_000_000_000, 'test', 0));

test('those who wait one after another share what a commit costs with whoever comes meanwhile', async () => {
  const { group, commits } = groupCommit(50);
  const began = performance.now();
  for (let i = 0; i < 20; i++) {
    assert.ok(append(group));
    await group.durable();
  }
  const elapsed = performance.now() - began;
  assert.equal(commits(), 20);
  // A timer may be a millisecond early.
  assert.ok(elapsed >= 19 * 9, `20 commits began within ${elapsed.toFixed(0)} ms`);
  assert.ok(await group.close());
});

test('no commit begins later than it was configured to', async () => {
  const { group, commits } = groupCommit(1);
  append(group);
  await group.durable();
  append(group);
  await group.durable();
  assert.equal(commits(), 2);
  assert.equal(group.pendingBytes, 0);
  assert.ok(await group.close());
});
