import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiRefusal } from '../../src/errors.ts';
import { BY, operating } from './stage.ts';

function refusedAs(code: string): (error: unknown) => boolean {
  return (error) => error instanceof ApiRefusal && error.code === code;
}

test('while another gateway has the journal, whoever asks what is in it is sent there, and nothing is lifted here', async (t) => {
  const { operations, journal, revokeToken, revokeSubject } = await operating(t);
  const token = await revokeToken('dead');
  const rule = await revokeSubject('kim');
  assert.equal((await operations.explain('dead')).revocation?.id, token.id);
  await journal.lend();
  for (const asked of [
    () => operations.revocations({ limit: 10 }),
    () => operations.revocation(token.id),
    () => operations.revocation(rule.id),
    () => operations.lift(rule.id, 'she is back', BY),
    () => operations.explain('dead'),
  ])
    await assert.rejects(asked(), refusedAs('taken_over'));
  const { reason } = await operations.explain('alive');
  assert.equal(reason, 'valid', 'what nothing denies is not in the journal');

  assert.equal(await journal.takeBack(), true);
  assert.equal((await operations.revocations({ limit: 10 })).records.length, 2);
  assert.equal((await operations.revocation(rule.id))?.kind, 'subject');
  assert.equal((await operations.explain('dead')).revocation?.id, token.id);
});

test('what acts is told before it is tried to have it on the disk', async (t) => {
  const { journal, revokeToken, revokeSubject, acting } = await operating(t);
  const { id, applied } = await revokeToken('before');
  assert.deepEqual(acting.splice(0), [{ id, applied }]);
  await journal.lend();
  await assert.rejects(revokeToken('meanwhile'), refusedAs('not_durable'));
  await assert.rejects(revokeSubject('kim'), refusedAs('not_durable'));
  assert.deepEqual(
    acting.map((one) => [one.id.slice(0, 2), one.applied]),
    [
      ['t-', 'added'],
      ['r-', 'added'],
    ],
  );
});
