import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testIssuer } from '../support/issuer.ts';
import { buildPetstore, PETS, startGateway } from '../support/product.ts';

const { artifact } = await buildPetstore({ after });
const issuer = testIssuer();
test('smoke', async (t) => {
  const gateway = await startGateway(t, { artifact, issuers: [issuer] });
  await gateway.untilReady();
  assert.equal((await gateway.call(issuer.token())).status, 200);
  assert.equal((await gateway.callTls(issuer.token())).status, 200);
  assert.equal((await gateway.call(undefined)).status, 401);
  console.log(gateway.program.output(), PETS);
  assert.equal(await gateway.stop(), 0);
});
