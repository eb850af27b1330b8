import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { buildPetstore, launchGateway } from '../support/product.ts';

const { artifact } = await buildPetstore({ after });

test('a list that is too large for the address space of the process is refused, with its place', async (t) => {
  // Enough for Node by itself, and not for what the largest list reserves besides.
  const { program } = await launchGateway(t, {
    artifact,
    config: '[tokenRevocationConfig]\n  maxEntries = 100000000\n',
    under: ['prlimit', `--as=${2_400 * 1_048_576}`],
  });
  assert.equal(await program.ended(), 1, program.output());
  assert.match(
    program.output(),
    /micro-gw\.conf:2\b.*`tokenRevocationConfig\.maxEntries`: the system does not give the address space/,
  );
  assert.match(program.output(), /ERR_LIST_MEMORY/);
  assert.doesNotMatch(program.output(), /Internal error/);
});
