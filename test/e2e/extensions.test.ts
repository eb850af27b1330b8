import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testIssuer } from '../support/issuer.ts';
import { buildPetstore, launchGateway, PETS, send, startGateway } from '../support/product.ts';

const file = { after };
const issuer = testIssuer();
const issuers = [issuer];

const STARTUP = `import type { StartupExtension } from 'portcullis';

const startup: StartupExtension = async ({ log, signal }) => {
  log.info('StartupExtension', 'the petstore opens soon');
  await Promise.resolve();
  if (process.env['PETSTORE_CLOSED'] !== undefined) throw new Error('closed on Sundays');
  signal.addEventListener('abort', () => log.info('StartupExtension', 'the petstore closes'));
};

export default startup;
`;

const FILTER = `import type { ExtensionFilter } from 'portcullis';

const filter: ExtensionFilter = {
  async filterRequest(request) {
    await Promise.resolve();
    if (request.target.includes('status=sold'))
      return { status: 451, headers: { 'x-reason': 'sold' }, body: 'no longer here' };
    if (request.target.includes('status=pending')) throw new Error('secret of the filter');
    request.headers.set('x-caller', request.subject ?? 'nobody');
    request.headers.delete('x-debug');
    return undefined;
  },
  filterResponse(response) {
    response.headers.set('x-seen', String(response.status));
  },
};

export default filter;
`;

const { artifact, backend } = await buildPetstore(file, {
  extensions: { 'startup_extension.ts': STARTUP, 'extension_filter.ts': FILTER },
});
const gateway = await startGateway(file, { artifact, issuers });
await gateway.untilReady();

/** Value of a field of the last request that the backend received. */
function received(name: string): string | undefined {
  const index = backend.lastHeaders.findIndex((text) => text.toLowerCase() === name);
  return index < 0 ? undefined : backend.lastHeaders[index + 1];
}

test('startup_extension runs once, before the listeners open, and hears of the end', async (t) => {
  const own = await startGateway(t, { artifact, issuers });
  const opens = /INFO .*\[StartupExtension\] \[-\] the petstore opens soon/;
  const lines = own.lines();
  const place = (pattern: RegExp): number => lines.findIndex((line) => pattern.test(line));
  assert.ok(place(opens) >= 0);
  assert.ok(place(opens) < place(/started HTTPS\/WSS listener/));
  assert.equal(lines.filter((line) => opens.test(line)).length, 1);
  assert.equal(await own.stop(), 0);
  assert.match(own.program.output(), /\[StartupExtension\] \[-\] the petstore closes\n/);
});

test('an error thrown by startup_extension stops the start', async (t) => {
  const { program } = await launchGateway(t, {
    artifact,
    issuers,
    env: { PETSTORE_CLOSED: '1' },
  });
  assert.equal(await program.ended(), 1);
  assert.match(program.output(), /startup.*closed on Sundays/);
  assert.doesNotMatch(program.output(), /Internal error|listener is active/);
});

test('extension_filter changes what goes upstream, and every answer', async () => {
  const answer = await send(gateway.http + PETS, {
    headers: { authorization: `Bearer ${issuer.token({ sub: 'robin' })}`, 'x-debug': '1' },
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['x-seen'], '200');
  assert.equal(received('x-caller'), 'robin');
  assert.equal(received('x-debug'), undefined);
  assert.equal(received('authorization'), undefined);
  const open = await gateway.call(undefined, '/petstore/v1/store/inventory');
  assert.equal(open.headers['x-seen'], '200');
  assert.equal(received('x-caller'), 'nobody');
});

test('extension_filter answers itself, and never sees a request that was refused', async () => {
  const { calls } = backend;
  const sold = PETS.replace('available', 'sold');
  const answered = await gateway.callTls(issuer.token(), sold);
  assert.deepEqual(
    [answered.status, answered.headers['x-reason'], answered.body],
    [451, 'sold', 'no longer here'],
  );
  const refused = await gateway.call(undefined, sold);
  assert.equal(refused.status, 401);
  assert.equal(refused.headers['x-seen'], '401');
  assert.equal(backend.calls, calls);
});

test('what extension_filter throws is a 500 that says nothing, and the gateway goes on', async () => {
  const { calls } = backend;
  const answer = await gateway.call(issuer.token(), PETS.replace('available', 'pending'));
  assert.equal(answer.status, 500);
  assert.doesNotMatch(answer.body, /secret of the filter/);
  await gateway.program.said(/ERROR .*secret of the filter/);
  assert.equal(backend.calls, calls);
  assert.equal((await gateway.call(issuer.token())).status, 200);
});
