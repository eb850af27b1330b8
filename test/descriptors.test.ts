import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { affordableConnections, descriptorLimit } from '../src/descriptors.ts';

test(
  'the limit of this process is read as the system says it',
  { skip: process.platform !== 'linux' },
  () => {
    const words = ['--pid', String(process.pid), '--nofile', '-o', 'SOFT', '--noheadings'];
    const soft = execFileSync('prlimit', words, { encoding: 'utf8' }).trim();
    assert.equal(descriptorLimit(), soft === 'unlimited' ? Infinity : Number(soft));
  },
);

test('clients get what they want, as far as it leaves enough for everything else', () => {
  assert.equal(affordableConnections(10_000, Infinity), 10_000);
  assert.equal(affordableConnections(10_000, 20_000), 10_000);
  assert.equal(affordableConnections(10_000, 4_096), 2_880);
  assert.equal(affordableConnections(10_000, 160), 60);
  assert.equal(affordableConnections(10, 160), 10);
  assert.equal(affordableConnections(10_000, 100), 27);
  assert.equal(affordableConnections(10_000, 64), 1, 'it has so many open itself');
  fc.assert(
    fc.property(fc.nat(2_000_000), fc.nat(2_000_000), (wanted, limit) => {
      const clients = affordableConnections(wanted, limit);
      assert.ok(clients >= 1 && clients <= Math.max(1, wanted, limit * 0.75));
      assert.ok(limit < 8 || limit - clients >= limit / 4);
    }),
  );
});
