import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { badlySigned, testIssuer } from '../support/issuer.ts';
import { buildPetstore, startGateway } from '../support/product.ts';
import { until } from '../support/until.ts';

const { artifact } = await buildPetstore({ after });
const issuer = testIssuer();

test('each route has its figures, of all threads together; paths are not in them, templates are', async (t) => {
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    flags: ['--server.threads=2'],
  });
  const token = issuer.token();
  const statuses: number[] = [];
  for (let id = 1; id <= 12; id++)
    statuses.push((await gateway.call(token, `/petstore/v1/pet/${id}`)).status);
  const bad = badlySigned(issuer);
  for (let n = 0; n < 3; n++)
    assert.equal((await gateway.call(bad, '/petstore/v1/pet/1')).status, 401);
  assert.equal((await gateway.call(token, '/petstore/v1/nowhere')).status, 404);
  const labels = 'method="GET",route="/petstore/v1/pet/{petId}"';
  const value = (name: string, more = ''): Promise<number | undefined> =>
    gateway.metric(`portcullis_route_${name}{${labels}${more}}`);
  await until(async () => (await value('duration_seconds_count')) === 15, 'all are counted');
  const found = statuses.filter((status) => status === 200).length;
  assert.ok(found > 0 && found < 12, 'the service has some of them');
  const expected = { '2xx': found, '4xx': 15 - found };
  for (const [name, count] of Object.entries(expected))
    assert.equal(await value('requests_total', `,status="${name}"`), count);
  assert.equal(await value('refusals_total'), 3);
  assert.equal(await value('duration_seconds_bucket', ',le="+Inf"'), 15);
  const sum = (await value('duration_seconds_sum')) ?? 0;
  assert.ok(sum > 0 && sum < 60);
  assert.equal(
    await gateway.metric('portcullis_route_refusals_total{method="PUT",route="/petstore/v1/pet"}'),
    undefined,
    'a route that nobody called',
  );
});
