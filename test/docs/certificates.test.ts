import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { issueCertificate } from '../../src/tls/certificate.ts';
import { codeBlocks, readPage } from './markdown.ts';
import { place } from './place.ts';
import { runSteps, steps, type Step } from './shell.ts';

const PAGE = 'docs/certificates.md';

const DEFINITION = `openapi: 3.0.3
info: { title: Shop, version: v1 }
x-wso2-basePath: /shop
x-wso2-production-endpoints: { urls: ['https://localhost:8443'] }
paths:
  /hours: { get: { responses: { '200': { description: When it is open } } } }
`;

const UPSTREAM = `import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
const pair = readFileSync('upstream.pem');
createServer({ key: pair, cert: pair }, (_, response) => response.end('nine to five\\n')).listen(8443);
`;

const CLIENTS = `{ "readers": [{ "username": "gw-1", "password": "gw-1-a17c" }], "clients": [{ "id": "shop", "secret": "shop-1f0c" }] }`;

const SOURCE = `[tokenRevocationConfig.persistent]
  enablePersistentStorageRetrieval = true
  type = "event-stream"
  endpointURL = "https://localhost:9443/internal/data/v1/revocation-events"
  username = "gw-1"
  password = "gw-1-a17c"
`;

function added(commands: string, expected?: string): Step {
  return { page: import.meta.filename, line: 0, commands, expected };
}

const UNTIL_200 = 'curl -s --retry 60 --retry-delay 1 --retry-all-errors -f -o /dev/null';

test('an upstream with its own authority is called, and the token service still, as docs/certificates.md says', async (t) => {
  const { cwd, scratch, env } = await place(t);
  const [cat, ...more] = steps(PAGE);
  assert.ok(cat !== undefined && more.length === 0);
  const [shown, ...others] = codeBlocks(readPage(PAGE)).filter((one) => one.language === 'toml');
  assert.ok(shown !== undefined && others.length === 0);

  const conf = join(scratch, 'home/.portcullis/conf');
  await mkdir(conf, { recursive: true });
  await writeFile(join(conf, 'micro-gw.conf'), `${shown.text}\n${SOURCE}`);
  const day = {
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 864e5),
  };
  const issuer = await issueCertificate({ ...day, commonName: 'Shop CA', purpose: 'authority' });
  const hosts = ['localhost'];
  const pair = await issueCertificate({
    ...day,
    commonName: 'shop',
    purpose: 'server',
    hosts,
    issuer,
  });
  for (const [name, text] of [
    ['upstream-ca.pem', issuer.cert],
    ['upstream.pem', pair.key + pair.cert],
    ['upstream.mjs', UPSTREAM],
    ['shop.yaml', DEFINITION],
    ['clients.json', CLIENTS],
  ] as const)
    await writeFile(join(cwd, name), text, { mode: 0o600 });

  await runSteps(
    t,
    [
      added(
        `node upstream.mjs > upstream.log 2>&1 &
micro-gw token-service --clients clients.json > token-service.log 2>&1 &
micro-gw init shop --api-definition shop.yaml
micro-gw build shop
${UNTIL_200} -k https://localhost:9443/health
`,
      ),
      cat,
      // Ready: the source is followed, so the token service is trusted too.
      added(`gateway shop/target/shop.mjs > gateway.log 2>&1 &
${UNTIL_200} http://localhost:9090/ready || { cat gateway.log; false; }
`),
      added(
        `TOKEN=$(curl -sk -u shop:shop-1f0c -d grant_type=client_credentials https://localhost:9443/oauth2/token | node -p 'JSON.parse(fs.readFileSync(0)).access_token')
curl -s -H "Authorization: Bearer $TOKEN" http://localhost:9090/shop/hours
`,
        'nine to five\n',
      ),
      added(
        `mkdir other; echo "listenerConfig.trustStorePath = '$HOME/.portcullis/conf/trusted.pem'" > other/micro-gw.conf
! MGW_CONF_DIR=other gateway shop/target/shop.mjs
`,
        '...\n...has no alias "wso2apim310"; it has "shop ca", ... [ERR_KEY_STORE]\n',
      ),
    ],
    { cwd, scratch, env, isolated: true },
  );
});
