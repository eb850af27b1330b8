import assert from 'node:assert/strict';
import { test } from 'node:test';
import { looks } from '../../check/slow-attack.ts';

const HEAD = 'Seconds,Closed,Pending,Connected,Service Available\n';

test('a report of slowhttptest is read second by second', () => {
  assert.deepEqual(looks(`${HEAD}0,0,1,0,20\n1,0,0,20,20\n2,18,0,2,0\n`), [
    { second: 0, connected: 0, available: true },
    { second: 1, connected: 20, available: true },
    { second: 2, connected: 2, available: false },
  ]);
});

test('what is no report of slowhttptest is never taken for an available service', () => {
  for (const text of ['', HEAD, 'Seconds,Closed\n0,0\n', `${HEAD}0,0,1\n`, `${HEAD}what,0,1,0,20`])
    assert.throws(() => looks(text), text);
});
