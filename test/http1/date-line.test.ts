import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dateLine } from '../../src/http1/date-line.ts';
import { FakeClock } from './fake-wire.ts';

test('the date is that of the wall, however little the clock of deadlines has moved', (t) => {
  const clock = new FakeClock();
  t.mock.timers.enable({ apis: ['Date'], now: 784_111_777_000 });
  assert.equal(dateLine(clock), 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n');
  t.mock.timers.setTime(784_111_787_000); // the thread stood still
  clock.nowMs += 31;
  assert.equal(dateLine(clock), 'Date: Sun, 06 Nov 1994 08:49:47 GMT\r\n');
});
