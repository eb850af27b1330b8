import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { Pool } from 'undici';
import { testIssuer } from '../support/issuer.ts';
import { ROOT } from '../support/checkout.ts';
import { startProgram } from '../support/program.ts';
import { buildPetstore, owned, PETS, startGateway } from '../support/product.ts';

const file = { after };
const { artifact } = await buildPetstore(file);
const issuer = testIssuer();

const CLIENTS = 10;

/** A good token but for its signature. */
function junk(): string {
  const [header, payload] = issuer.token().split('.');
  return `${header}.${payload}.${randomBytes(256).toString('base64url')}`;
}

for (const engine of ['node', 'own'])
  test(`junk tokens are limited, and good ones that are known are served all the while: ${engine}`, async (t) => {
    const gateway = await startGateway(t, {
      artifact,
      issuers: [issuer],
      config: `[server]
          httpEngine = "${engine}"
          threads = 1
        [failedVerifications]
          burst = 20
        [tokenRevocationConfig]
          whenUnknown = "allow"`,
    });
    const known = issuer.token();
    await gateway.untilStatus(known, 200);
    const pool = new Pool(gateway.http, { connections: CLIENTS });
    owned(t, () => pool.destroy());
    const statuses = new Map<number, number>();
    const began = performance.now();
    const send = async (): Promise<void> => {
      for (let count = 0; count < 8; count++) {
        const { statusCode, headers, body } = await pool.request({
          method: 'GET',
          path: PETS,
          headers: { authorization: `Bearer ${junk()}` },
        });
        await body.dump();
        if (statusCode === 429) assert.match(String(headers['retry-after']), /^[1-9]$/);
        statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1);
      }
    };
    const sending = Promise.all(Array.from({ length: CLIENTS }, send));
    for (let count = 0; count < 10; count++) assert.equal((await gateway.call(known)).status, 200);
    await sending;
    const seconds = (performance.now() - began) / 1_000;
    const verified = statuses.get(401) ?? 0;
    assert.deepEqual(
      [...statuses.keys()].toSorted((one, other) => one - other),
      [401, 429],
    );
    assert.ok(verified >= 20 && verified <= 20 + 20 * seconds + 1, `${verified} in ${seconds} s`);
    assert.equal(await gateway.metric('portcullis_failed_verifications_total'), verified);
    assert.equal(
      await gateway.metric('portcullis_requests_total{outcome="tooManyFailures"}'),
      statuses.get(429),
    );
    // The junk is over: what is new is looked at again.
    await gateway.untilStatus(issuer.token(), 200);
  });

test('the check of it sends what it says, and counts the answers', async (t) => {
  const words = [
    '--built',
    '--unlimited',
    '--tokens',
    '60',
    '--connections',
    '2',
    '--seconds',
    '1',
  ];
  const check = startProgram(process.execPath, ['check/junk-tokens.ts', ...words], { cwd: ROOT });
  t.after(() => check.stop());
  await check.said(/p99 among junk is [\d.]+ times/, 60_000);
  assert.match(check.output(), /60 junk tokens .*: 60 x 401; 60 were verified/);
  assert.equal(await check.ended(), 0, check.output());
});
