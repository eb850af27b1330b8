import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox } from '../../../src/gateway/own-engine/outbox.ts';

function socket(name: string, heard: string[]): { settled(): void; send(): void } {
  return { settled: () => heard.push(`${name} settled`), send: () => heard.push(`${name} sends`) };
}

test('an answer has settled once another socket is heard, not by more on its own', () => {
  const [outbox, heard] = [new Outbox(), [] as string[]];
  const [one, other] = [socket('one', heard), socket('other', heard)];
  outbox.settle(one);
  outbox.heard(one);
  assert.deepEqual(heard, []);
  outbox.heard(other);
  outbox.heard(other);
  assert.deepEqual(heard, ['one settled']);
  outbox.settle(one);
  outbox.settle(other);
  assert.deepEqual(heard, ['one settled', 'one settled']);
});

test('at the end of the turn an answer has settled, and what begins for that leaves with the rest', async () => {
  const [outbox, heard] = [new Outbox(), [] as string[]];
  const next = socket('next', heard);
  outbox.add(socket('first', heard));
  outbox.settle({
    settled: () => {
      heard.push('settled');
      outbox.add(next);
    },
  });
  await new Promise(setImmediate);
  assert.deepEqual(heard, ['settled', 'first sends', 'next sends']);
});
