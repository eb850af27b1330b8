import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyCheckout, plainEnvironment } from '../support/checkout.ts';
import { temporaryFolder } from '../support/product.ts';
import { runSteps, steps } from './shell.ts';

test('every command of the walkthrough prints what the page says, on real servers and the ports of the documentation', async (t) => {
  const folder = await temporaryFolder(t, 'walkthrough');
  const checkout = join(folder, 'checkout');
  copyCheckout(checkout);
  const home = join(folder, 'home');
  mkdirSync(home);
  // Packages were installed before this test runs; here apt only tells whether it would have anything to do.
  const apt = join(folder, 'apt.conf');
  writeFileSync(apt, 'APT::Get::Simulate "true";\nDir::Log::Terminal "/dev/null";\n');
  const env = { ...(await plainEnvironment(home)), APT_CONFIG: apt };
  const all = steps('docs/petstore-walkthrough.md');
  const online = all.findIndex(({ commands }) => commands.startsWith('npm install')) + 1;
  assert.ok(online > 0, 'the page has no `npm install`');
  const options = { cwd: checkout, scratch: folder, env };

  await t.test('what needs the network', async (t) => {
    const output = await runSteps(t, all.slice(0, online), { ...options, isolated: false });
    assert.match(output, / 0 newly installed/);
  });

  await t.test('everything else, on a network of its own', async (t) => {
    await runSteps(t, all.slice(online), { ...options, isolated: true });
  });
});
