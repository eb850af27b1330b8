import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startEventHub } from '../support/event-hub.ts';
import { claimsOf, testIssuer } from '../support/issuer.ts';
import { buildPetstore, startGateway } from '../support/product.ts';

const file = { after };
const { artifact } = await buildPetstore(file);
const issuer = testIssuer();
const now = (): number => Math.floor(Date.now() / 1_000);

test('explain says why each token would pass or not, and never shows one', async (t) => {
  const listed = issuer.token();
  let broken = false;
  const hub = await startEventHub(t, (_, response) => {
    response.setHeader('content-type', 'application/json');
    if (broken) response.writeHead(500);
    response.end(
      JSON.stringify([
        { jwt_signature: claimsOf(listed).jti, expiry_time: Date.now() + 3_600_000 },
      ]),
    );
  });
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    config: `[tokenRevocationConfig]
        maxStaleness = "2s"
      [keymanager.security.basic]
        enabled = false
      ${hub.config()}`,
  });
  await gateway.untilReady();
  const explain = async (token: string) => {
    const { status, json } = await gateway.operator('POST', '/revocations/explain', { token });
    assert.equal(status, 200, JSON.stringify(json));
    assert.ok(!JSON.stringify(json).includes(token));
    return json;
  };
  const good = issuer.token();
  assert.deepEqual((await explain(good))['reason'], 'valid');
  assert.deepEqual((await explain(issuer.token({ exp: now() - 60 })))['reason'], 'expired');
  const stranger = testIssuer('RS256', 'https://somebody-else.invalid/oauth2/token');
  assert.deepEqual((await explain(stranger.token()))['reason'], 'wrong_issuer');
  const forged = testIssuer('RS256', issuer.issuer);
  assert.deepEqual((await explain(forged.token()))['reason'], 'bad_signature');
  assert.deepEqual((await explain('no token at all'))['reason'], 'not_a_jwt');
  const opaque = await explain('an-opaque-token');
  assert.deepEqual([opaque['reason'], opaque['status']], ['not_a_jwt', 401]);
  assert.match(String(opaque['detail']), /opaque/);
  // It has ended, and still counts: clocks may differ.
  const end = now() - 1;
  const late = await explain(issuer.token({ exp: end }));
  assert.equal(late['verdict'], 'pass');
  const [until, own] = String(late['detail']).match(/\d{4}-\d\d-[^ ,]*Z/g) ?? [];
  assert.equal(Date.parse(own ?? ''), end * 1_000);
  assert.ok(Date.parse(until ?? '') > Date.now());

  const revoked = await explain(listed);
  assert.equal(revoked['reason'], 'token_revoked');
  assert.equal((revoked['revocation'] as { source: string }).source, 'persistent');
  assert.ok(typeof revoked['since'] === 'string');

  // Too many values to be asked about: denied whenever it was issued, and explained so.
  const groups = Array.from({ length: 1_100 }, (_, i) => i);
  const large = issuer.token({ groups });
  assert.equal((await explain(large))['reason'], 'valid');
  const old = { claims: { groups: 'other' }, issuedBefore: Date.now() - 600_000 };
  const made = await gateway.operator('POST', '/revocations', { ...old, wait: 'threads' });
  assert.equal((await gateway.call(large)).status, 401);
  assert.deepEqual((await explain(large))['reason'], 'rule_revoked');
  const id = String(made.json['id']);
  assert.equal((await gateway.microGw('revocations', 'lift', id, '--reason', 'a test')).code, 0);
  assert.equal((await gateway.call(large)).status, 200);

  await gateway.operator('POST', '/revocations', { subject: 'mallory', reason: 'left' });
  const ruled = await explain(issuer.token({ sub: 'mallory', iat: now() - 30 }));
  assert.equal(ruled['reason'], 'rule_revoked');
  const rule = ruled['revocation'] as { source: string; kind: string; reason: string };
  assert.deepEqual([rule.source, rule.kind, rule.reason], ['operator', 'subject', 'left']);

  const cli = await gateway.microGw('explain', listed);
  assert.equal(cli.code, 3, cli.output);
  assert.match(cli.output, /token_revoked/);
  assert.equal((await gateway.microGw('explain', good)).code, 0);

  broken = true;
  await gateway.program.said(/Knowledge of revocations is stale/);
  const stale = await explain(good);
  assert.equal(stale['reason'], 'stale');
  assert.equal(stale['source'], 'persistent');
  assert.equal((await explain(listed))['reason'], 'token_revoked');
  assert.deepEqual([stale['verdict'], stale['status']], ['refuse', 503]);
  const status = await gateway.microGw('status');
  assert.match(status.output, /persistent/);
});

test('explain says that a good token passes in doubt, where that is the policy', async (t) => {
  const hub = await startEventHub(t, (_, response) => {
    response.writeHead(500);
    response.end();
  });
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    config: `[tokenRevocationConfig]
        whenUnknown = "allow"
      ${hub.config()}`,
  });
  const token = issuer.token();
  assert.equal((await gateway.call(token)).status, 200);
  const { json } = await gateway.operator('POST', '/revocations/explain', { token });
  assert.deepEqual(
    [json['verdict'], json['reason'], json['status']],
    ['pass', 'revocations_unknown', undefined],
  );
});
