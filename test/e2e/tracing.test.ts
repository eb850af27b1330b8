import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startHttpServer } from '../support/http-server.ts';
import { testIssuer } from '../support/issuer.ts';
import { buildPetstore, owned, PETS, send, startGateway } from '../support/product.ts';
import { until } from '../support/until.ts';

const { artifact } = await buildPetstore({ after });
const issuer = testIssuer();
const TRACE = '0af7651916cd43dd8448eb211c80319c';

function table(endpoint: string): string {
  return `[b7a.observability.tracing]\n  enabled = true\n  endpoint = "${endpoint}"\n  sample = 1\n  serviceName = "edge"\n`;
}

test('spans of a request reach an OTLP receiver, at the latest when the gateway ends, and no token is in them', async (t) => {
  let received = '';
  const server = await startHttpServer((incoming, response) => {
    incoming.setEncoding('utf8').on('data', (chunk: string) => (received += chunk));
    incoming.on('end', () => response.end('{}'));
  });
  owned(t, () => server.close());
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    config: table(`${server.url}/v1/traces`),
    flags: ['--server.threads=2'],
  });
  const token = issuer.token();
  const answer = await send(`${gateway.http}${PETS}&access_token=${token}`, {
    headers: {
      authorization: `Bearer ${token}`,
      traceparent: `00-${TRACE}-b7ad6b7169203331-01`,
    },
  });
  assert.equal(answer.status, 200);
  assert.equal((await gateway.call(`${token}x`)).status, 401);
  assert.equal(await gateway.stop(), 0);
  assert.equal(received.split(TRACE).length - 1, 2, 'a server span and a client span');
  assert.match(received, /"service\.name","value":\{"stringValue":"edge"\}/);
  assert.match(received, /"name":"GET \/petstore\/v1\/pet\/findByStatus"/);
  assert.match(received, /"stringValue":"invalidCredentials"/);
  for (const part of token.split('.')) assert.ok(!received.includes(part));
});

test('a receiver that refuses costs spans, which are counted, and no request', async (t) => {
  const server = await startHttpServer((_, response) => response.writeHead(400).end());
  owned(t, () => server.close());
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    config: table(`${server.url}/v1/traces`),
    flags: ['--server.threads=1'],
  });
  for (let n = 0; n < 3; n++) assert.equal((await gateway.call(issuer.token())).status, 200);
  await gateway.program.said(/WARN .*\[Tracing\].* answered 400/);
  const counted = 'portcullis_spans_dropped_total';
  await until(async () => (await gateway.metric(counted)) === 6, 'two spans of each request');
});
