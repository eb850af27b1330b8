import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { OperatorError } from '../../src/errors.ts';
import { until } from '../support/until.ts';
import { BOB, fakePublisher, OPERATOR, type Running, startService } from './fixture.ts';

async function revoke({ post }: Running, token: string, authorization = OPERATOR): Promise<void> {
  assert.equal((await post('/oauth2/revoke', authorization, { token })).status, 200);
}

test('a publisher that is down delays only its own copies; they come in order when it is back', async (t) => {
  const up = fakePublisher('up');
  const down = fakePublisher('down');
  down.down = true;
  const running = await startService(t, { publishers: [up, down] });
  const names = Array.from({ length: 20 }, (_, i) => `jti-${i}`);
  for (const name of names) await revoke(running, name);
  await until(() => up.accepted.length === 20, 'the copies of the one that is up');
  await until(() => down.attempts >= 3, 'some tries');
  assert.equal(down.accepted.length, 0);
  down.down = false;
  await until(() => down.accepted.length === 20, 'the copies of the other');
  for (const { accepted } of [up, down])
    assert.deepEqual(
      accepted.map(({ token }) => token),
      names,
    );
  assert.deepEqual(
    up.accepted.map(({ eventId }) => eventId),
    down.accepted.map(({ eventId }) => eventId),
    'copies of one revocation have one id',
  );
  assert.ok(running.log.lines.some((line) => line.includes('connection refused')));
  assert.ok(running.log.lines.some((line) => line.includes('accepts revocations again')));
});

test('a publisher that fails in the middle gets the same message again before the next', async (t) => {
  const publisher = fakePublisher('one');
  const order: string[] = [];
  let failing = true;
  publisher.publish = ({ token }) => {
    order.push(token);
    if (token === 'b' && failing) {
      failing = false;
      return Promise.reject(new Error('nack'));
    }
    return Promise.resolve();
  };
  const running = await startService(t, { publishers: [publisher] });
  for (const name of ['a', 'b', 'c']) await revoke(running, name);
  await until(() => order.length === 4, 'all tries');
  assert.deepEqual(order, ['a', 'b', 'b', 'c']);
});

test('undelivered copies are sent after a restart, delivered ones are not', async (t) => {
  const before = fakePublisher('one');
  const first = await startService(t, { publishers: [before] });
  await revoke(first, 'delivered');
  await until(() => before.accepted.length === 1, 'the first copy');
  before.down = true;
  await revoke(first, 'waiting');
  await first.close();
  assert.ok(before.closed);
  const after = fakePublisher('one');
  await startService(t, { stateFile: first.stateFile, publishers: [after] });
  await until(() => after.accepted.length > 0, 'the second copy');
  assert.deepEqual(
    after.accepted.map(({ token }) => token),
    ['waiting'],
  );
});

test('copies for a publisher that is no longer configured wait, and are said', async (t) => {
  const gone = fakePublisher('gone');
  gone.down = true;
  const first = await startService(t, { publishers: [gone] });
  await revoke(first, 'waiting');
  await first.close();
  const second = await startService(t, { stateFile: first.stateFile });
  assert.ok(
    second.log.lines.some((line) => line.includes('1 revocations wait for publisher gone')),
  );
  await second.close();
  const back = fakePublisher('gone');
  await startService(t, { stateFile: first.stateFile, publishers: [back] });
  await until(() => back.accepted.length === 1, 'the copy');
});

test('copies are dropped only when nobody can have the token any more, and not at its end', async (t) => {
  let now = Date.now();
  const publisher = fakePublisher('one');
  publisher.down = true;
  const first = await startService(t, {
    now: () => now,
    publishers: [publisher],
    longestTokenLifeSeconds: 3600,
  });
  await revoke(first, 'short-lived');
  const copies = (stateFile: string): unknown => {
    const sql = new DatabaseSync(stateFile);
    try {
      return sql.prepare('SELECT count(*) AS n FROM outbox').get()?.['n'];
    } finally {
      sql.close();
    }
  };
  now += 7_200_000;
  await first.service.upkeep();
  await first.close();
  assert.equal(copies(first.stateFile), 1, 'its end alone drops nothing');
  now += 700_000;
  const back = fakePublisher('one');
  back.down = true;
  const second = await startService(t, {
    now: () => now,
    publishers: [back],
    stateFile: first.stateFile,
    longestTokenLifeSeconds: 3600,
  });
  await second.service.upkeep();
  await second.close();
  assert.equal(copies(first.stateFile), 0);
});

test('the text of an opaque token is on the disk only until its copies are delivered', async (t) => {
  const publisher = fakePublisher('one');
  publisher.down = true;
  const running = await startService(t, { publishers: [publisher] });
  const token = await running.token(BOB);
  const onDisk = (): boolean =>
    ['', '-wal'].some((suffix) => {
      try {
        return readFileSync(running.stateFile + suffix).includes(token);
      } catch {
        return false;
      }
    });
  assert.ok(!onDisk(), 'issuing keeps a digest only');
  await revoke(running, token, BOB);
  assert.ok(onDisk(), 'the outbox needs it');
  publisher.down = false;
  await until(() => publisher.accepted.length === 1, 'the copy');
  await until(async () => {
    await running.service.upkeep();
    return !onDisk();
  }, 'the text leaves the disk');
  assert.ok(!(await running.active(token)));
});

test('two publishers of one name refuse the start', async (t) => {
  await assert.rejects(
    startService(t, { publishers: [fakePublisher('a'), fakePublisher('a')] }),
    (error) => error instanceof OperatorError && error.code === 'ERR_TOKEN_SERVICE_OPTION',
  );
});
