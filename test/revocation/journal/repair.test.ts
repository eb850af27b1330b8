import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Repair } from '../../../src/revocation/journal/repair.ts';
import { recordedLog } from '../../support/recorded-log.ts';
import { until } from '../../support/until.ts';

/** A repair of files that cannot be saved until `good`, counting what it begins. */
function repair() {
  const begun = { salvage: 0, everything: 0 };
  const disk = { good: false };
  const of = new Repair({
    log: recordedLog(),
    everything: () => {
      begun.everything++;
      return [];
    },
    bufferBytes: 1_000_000,
    salvage: () => {
      begun.salvage++;
      return disk.good ? Promise.resolve() : Promise.reject(new Error('ENOSPC'));
    },
    write: () => undefined,
    durable: () => Promise.resolve(),
    changed: () => undefined,
  });
  return { of, begun, disk };
}

test('once stopped it begins nothing, whatever is called, until it is resumed', async (t) => {
  const { of, begun, disk } = repair();
  t.after(() => of.stop());
  of.damaged();
  await until(() => begun.salvage > 0, 'it has tried');
  await of.stop();
  const before = { ...begun };
  of.go();
  of.damaged();
  of.salvage();
  of.lost();
  of.rewrite();
  await new Promise(setImmediate);
  assert.deepEqual(begun, before);
  assert.equal(of.needed, true, 'what there is to do is not forgotten');

  disk.good = true;
  of.resume();
  of.go();
  await until(() => !of.needed, 'it is whole');
  assert.deepEqual(begun, { salvage: before.salvage + 1, everything: before.everything + 1 });
});
