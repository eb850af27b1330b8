import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { badlySigned, testIssuer } from '../support/issuer.ts';
import {
  buildPetstore,
  launchGateway,
  owned,
  PETS,
  send,
  startGateway,
  temporaryFolder,
} from '../support/product.ts';
import { until } from '../support/until.ts';

const { artifact } = await buildPetstore({ after });
const issuer = testIssuer();
const BAD = badlySigned(issuer);
const TEMPLATE = '/petstore/v1/pet/findByStatus';

interface Line extends Record<string, unknown> {
  readonly id: string;
  readonly status: number;
  readonly outcome: string;
}

function table(...lines: string[]): string {
  return ['[b7a.http.accesslog]', ...lines, ''].join('\n');
}

function linesOf(path: string): Line[] {
  const text = existsSync(path) ? readFileSync(path, 'latin1') : '';
  assert.ok(text === '' || text.endsWith('\n'));
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

/** A gateway of two threads, and the file that it writes a line of JSON for each request to. */
async function logging(t: TestContext) {
  const home = await temporaryFolder(t);
  const path = join(home, 'access.log');
  const gateway = await startGateway(t, {
    artifact,
    home,
    issuers: [issuer],
    config: table(`path = "${path}"`, 'format = "json"'),
    // Bad tokens come from one address here, one after the other.
    flags: ['--server.threads=2', '--failedVerifications.enable=false'],
  });
  return { gateway, path };
}

test('every request has its line: served, refused, malformed; and none has a token, a query or a header field in it', async (t) => {
  const { gateway, path } = await logging(t);
  const token = issuer.token({ client_id: 'shop "7"' });
  const secret = 'h3ader-s3cret';
  const good = await send(gateway.http + PETS, {
    headers: {
      authorization: `Bearer ${token}`,
      'user-agent': secret,
      referer: secret,
      cookie: secret,
    },
  });
  assert.equal(good.status, 200);
  const refused = await gateway.call(`${token}x`);
  assert.equal(refused.status, 401);
  const nowhere = await gateway.callTls(undefined, `/nowhere/${token}?access_token=${secret}`);
  assert.equal(nowhere.status, 404);
  const raw = connect(Number(new URL(gateway.http).port), '127.0.0.1');
  raw.write(`GET /?q=${secret} HTTP/1.1\r\nbad field ${secret}\r\n\r\n`);
  await new Promise((resolve) => raw.on('close', resolve).resume());
  await until(
    () => linesOf(path).filter(({ path }) => path !== '/ready').length >= 4,
    'four lines',
  );

  const lines = linesOf(path);
  const of = (id: unknown) => lines.find((line) => line.id === id);
  const served = lines.find((line) => line['clientId'] === 'shop "7"' && line.status === 200);
  assert.ok(served);
  assert.deepEqual(
    { ...served, id: '', time: '', ms: 0, upstreamMs: 0 },
    {
      time: '',
      id: '',
      client: '127.0.0.1',
      method: 'GET',
      path: TEMPLATE,
      version: '1.1',
      status: 200,
      outcome: 'forwarded',
      bytesIn: 0,
      bytesOut: good.body.length,
      ms: 0,
      upstreamMs: 0,
      route: TEMPLATE,
      issuer: issuer.issuer,
      clientId: 'shop "7"',
    },
  );
  assert.ok(
    Number(served['upstreamMs']) > 0 && Number(served['upstreamMs']) <= Number(served['ms']),
  );
  const denied = of(refused.headers['x-request-id']);
  assert.equal(denied?.outcome, 'invalidCredentials');
  assert.equal(denied['route'], TEMPLATE);
  assert.equal(denied['bytesOut'], refused.body.length);
  assert.ok(!('upstreamMs' in denied) && !('clientId' in denied));
  assert.equal(of(nowhere.headers['x-request-id'])?.['path'], '/nowhere/...');
  const malformed = lines.filter(({ status }) => status === 400);
  assert.equal(malformed.length, 1);
  assert.equal(malformed[0]?.outcome, 'badRequest');
  const text = readFileSync(path, 'latin1');
  for (const part of [secret, ...token.split('.')]) assert.ok(!text.includes(part), part);
});

test('a rotation under load: each request has its line, in one of the two files', async (t) => {
  const { gateway, path } = await logging(t);
  const refused: string[] = [];
  const enough = new AbortController();
  const clients = [1, 2, 3].map(async () => {
    while (!enough.signal.aborted)
      refused.push(String((await gateway.call(BAD)).headers['x-request-id']));
  });
  for (const n of [1, 2, 3]) {
    await until(() => linesOf(path).length > 20, 'lines');
    renameSync(path, `${path}.${n}`);
    gateway.program.signal('SIGHUP');
    await until(() => existsSync(path), 'a new file');
  }
  enough.abort();
  await Promise.all(clients);
  assert.equal(await gateway.stop(), 0);
  const files = [`${path}.1`, `${path}.2`, `${path}.3`, path].map(linesOf);
  for (const lines of files.slice(0, 3)) assert.ok(lines.length > 0);
  const ids = files.flat().flatMap(({ id, status }) => (status === 401 ? [id] : []));
  assert.deepEqual(ids.sort(), refused.sort());
});

test('a full disk keeps no request waiting: what is not written is counted', async (t) => {
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    config: table('path = "/dev/full"'),
  });
  for (let n = 0; n < 20; n++) assert.equal((await gateway.call(issuer.token())).status, 200);
  const counted = 'portcullis_access_lines_dropped_total';
  await until(async () => ((await gateway.metric(counted)) ?? 0) >= 20, 'they are counted');
  assert.equal(gateway.lines().filter((line) => line.includes('[AccessLog]')).length, 1);
});

test('to standard output, in the combined format, sampled: refused ones all the same', async (t) => {
  const gateway = await startGateway(t, {
    artifact,
    issuers: [issuer],
    config: table('console = true', 'sample = 1000000'),
  });
  for (let n = 0; n < 5; n++) assert.equal((await gateway.call(issuer.token())).status, 200);
  assert.equal((await gateway.call(BAD)).status, 401);
  await gateway.program.said(
    /^127\.0\.0\.1 - - \[.*\] "GET \/petstore\/v1\/pet\/findByStatus HTTP\/1\.1" 401 146 "-" "-"$/m,
  );
  assert.equal(await gateway.stop(), 0);
  assert.ok(!/HTTP\/1\.1" 200/.test(gateway.program.output()));
});

test('SIGHUP ends no gateway, whether it has an access log or not', async (t) => {
  const gateway = await startGateway(t, { artifact, issuers: [issuer] });
  gateway.program.signal('SIGHUP');
  assert.equal((await gateway.call(issuer.token())).status, 200);
  assert.equal(await gateway.stop(), 0);
});

test('an access log that cannot be written is refused, with the line of its key', async (t) => {
  const home = await temporaryFolder(t);
  const { program } = await launchGateway(t, {
    artifact,
    home,
    issuers: [issuer],
    config: table(`path = "${join(home, 'nowhere', 'access.log')}"`),
  });
  owned(t, () => program.stop());
  assert.equal(await program.ended(), 1);
  assert.match(program.output(), /micro-gw\.conf:\d+: .*ENOENT/);
  assert.match(program.output(), /ERR_ACCESS_LOG/);
});
