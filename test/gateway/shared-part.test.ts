import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedPart } from '../../src/gateway/shared-part.ts';

function parts() {
  const ended: string[] = [];
  let made = 0;
  const shared = new SharedPart<{ readonly text: string }, string>(
    ({ text }) => {
      if (text === 'bad') throw new Error('no');
      return `${text}${++made}`;
    },
    (part) => {
      ended.push(part);
      return Promise.resolve();
    },
  );
  return { shared, ended };
}

test('who wants the same gets the same, and the last one ends it', async () => {
  const { shared, ended } = parts();
  const [first, second] = [shared.take({ text: 'a' }), shared.take({ text: 'a' })];
  assert.equal(first.part, 'a1');
  assert.equal(second.part, 'a1');
  await first.release();
  await first.release();
  assert.deepEqual(ended, []);
  assert.deepEqual([...shared.parts()], ['a1']);
  await second.release();
  assert.deepEqual(ended, ['a1']);
  assert.deepEqual([...shared.parts()], []);
});

test('another wish is another part; one that was given up meanwhile hides none that is in use', async () => {
  const { shared, ended } = parts();
  const old = shared.take({ text: 'a' });
  const tried = shared.take({ text: 'b' });
  await tried.release();
  const again = shared.take({ text: 'a' });
  assert.equal(again.part, old.part);
  assert.deepEqual(ended, ['b2']);
});

test('a part that has ended is made anew, and one that cannot be made leaves nothing', async () => {
  const { shared } = parts();
  await shared.take({ text: 'a' }).release();
  assert.equal(shared.take({ text: 'a' }).part, 'a2');
  assert.throws(() => shared.take({ text: 'bad' }), /no/);
  assert.deepEqual([...shared.parts()], ['a2']);
});
