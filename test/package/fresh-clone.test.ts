import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { bringNode, copyCheckout, plainEnvironment } from '../support/checkout.ts';
import { INVALID_CREDENTIALS, owned, temporaryFolder } from '../support/product.ts';
import { startProgram } from '../support/program.ts';

test('in a fresh clone, `npm run demo -- --once` needs Node 20 and npm, and nothing else', async (t) => {
  const folder = await temporaryFolder(t, 'clone');
  const [clone, home, node] = [join(folder, 'clone'), join(folder, 'home'), join(folder, 'node')];
  copyCheckout(clone);
  await mkdir(home);
  await mkdir(node);
  const program = startProgram('npm', ['run', 'demo', '--', '--once'], {
    cwd: clone,
    env: await plainEnvironment(home, await bringNode(node, '20.18.0')),
  });
  owned(t, () => program.stop());
  assert.equal(await program.ended(170_000), 0, program.output());
  assert.match(program.output(), /^portcullis: Node 20\.18\.0 is here, bringing Node 24\./m);
  assert.ok(program.output().includes(INVALID_CREDENTIALS));
});
