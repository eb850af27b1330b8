import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ROOT } from '../support/checkout.ts';
import { startProgram } from '../support/program.ts';

const WORDS = ['--built', '--seconds', '5', '--connections', '300'];

void describe('slow clients keep nobody else waiting', { concurrency: true }, () => {
  for (const engine of ['own', 'node'])
    void test(engine, async (t) => {
      const words = ['check/slow-clients.ts', ...WORDS, '--engine', engine];
      const check = startProgram(process.execPath, words, { cwd: ROOT });
      t.after(() => check.stop());
      assert.equal(await check.ended(120_000), 0, check.output());
      for (const how of ['headers', 'body', 'read'])
        assert.match(
          check.output(),
          new RegExp(`^${engine}, slow ${how}: \\d{2,} slow connections, .* 0?[1-9]\\d* good`, 'm'),
        );
    });
});
