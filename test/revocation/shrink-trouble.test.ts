import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';
import { openCore } from './core.ts';
import { temporaryFolder } from './journal/stage.ts';

test('a list that cannot be rewritten into less memory is tried every second, and said once until it could be', async (t) => {
  const log = recordedLog();
  let tries = 0;
  let refused = true;
  const { revocations, close } = await openCore(temporaryFolder(t), {
    log,
    maxEntries: 1_000_000,
    replaceTables: () => {
      tries++;
      return refused ? Promise.reject(new Error('a thread does not answer')) : Promise.resolve();
    },
  });
  t.after(close);
  const said = (): number =>
    log.lines.filter((line) => line.includes('rewritten into less memory: a thread')).length;
  t.mock.timers.enable({ apis: ['setInterval'] });
  revocations.start();
  const tryAgain = async (): Promise<void> => {
    const before = tries;
    t.mock.timers.tick(1_000);
    await until(() => tries > before, 'it is tried again');
    // What became of it is said before the next tick.
    await new Promise(setImmediate);
  };
  const grow = (): void => revocations.list.restoring.expect?.(500_000);

  grow();
  for (let again = 0; again < 3; again++) await tryAgain();
  assert.equal(said(), 1);

  refused = false;
  await tryAgain();
  assert.equal(revocations.list.shrinkable, false);

  refused = true;
  grow();
  await tryAgain();
  assert.equal(said(), 2);
});
