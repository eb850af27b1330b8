import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { ARTIFACT_BANNER, artifactModule } from '../../src/artifact.ts';
import { emptyFolder } from '../project/project-folder.ts';

const GATEWAY = new URL('../../src/cli/gateway.ts', import.meta.url).pathname;
const SECRET = 'hidden-5e1c';

/** Runs a gateway without APIs to its end: the start must be refused. */
function refusal(
  t: TestContext,
  config: string,
  flags: readonly string[] = [],
): Promise<{ code: unknown; output: string; conf: string }> {
  const home = emptyFolder(t);
  const artifact = join(home, 'a.mjs');
  writeFileSync(artifact, `${ARTIFACT_BANNER}\n${artifactModule('a', [], {})}`);
  mkdirSync(join(home, 'conf'));
  const conf = join(home, 'conf/micro-gw.conf');
  writeFileSync(conf, config);
  writeFileSync(join(home, 'conf/garbage.p12'), 'garbage');
  const env = { ...process.env, MGW_HOME: home, NODE_TEST_CONTEXT: undefined };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [GATEWAY, artifact, ...flags],
      { cwd: home, env, timeout: 60_000 },
      (error, stdout, stderr) => resolve({ code: error?.code ?? 0, output: stdout + stderr, conf }),
    );
  });
}

const REALTIME = '[tokenRevocationConfig.realtime]\nenableRealtimeMessageRetrieval = true';

for (const [what, config, line, key, reason] of [
  [
    'a key store that is not there',
    `[listenerConfig]\nkeyStorePassword = "${SECRET}"\nkeyStorePath = "none.p12"`,
    3,
    'listenerConfig.keyStorePath',
    /none\.p12: there is no such file/,
  ],
  [
    'a trust store that is none',
    `[listenerConfig]\ntrustStorePath = "garbage.p12"\ntrustStorePassword = "${SECRET}"`,
    2,
    'listenerConfig.trustStorePath',
    /garbage\.p12: is not a key store or trust store/,
  ],
  [
    "an issuer's certificate that is not there",
    '[[jwtTokenConfig]]\nissuer = "a"\njwksURL = "https://localhost:1/x"\n[[jwtTokenConfig]]\nissuer = "b"\ncertificatePath = "none.pem"',
    6,
    'jwtTokenConfig.1.certificatePath',
    /the key of issuer "b": .*none\.pem: cannot be read: ENOENT \[ERR_KEY_STORE\]$/,
  ],
  [
    "an issuer's certificate that is none",
    '[[jwtTokenConfig]]\nissuer = "a"\njwksURL = "https://localhost:1/x"\n[[jwtTokenConfig]]\nissuer = "b"\ncertificatePath = "garbage.p12"',
    6,
    'jwtTokenConfig.1.certificatePath',
    /the key of issuer "b" cannot be read as a PEM certificate or public key \[ERR_ISSUER_KEY\]$/,
  ],
  [
    'a broker URL that cannot be used',
    `${REALTIME}\njmsConnectionProviderUrl = "amqp://kim:${SECRET}@carbon/carbon"`,
    3,
    'tokenRevocationConfig.realtime.jmsConnectionProviderUrl',
    /no brokerlist/,
  ],
  [
    'the same in the second of further sources',
    `[[tokenRevocationConfig.sources]]\nname = "one"\ntype = "etcd"\n[[tokenRevocationConfig.sources]]\nname = "two"\ntype = "amqp"\njmsConnectionProviderUrl = "amqp://kim:${SECRET}@carbon/carbon"`,
    7,
    'tokenRevocationConfig.sources.1.jmsConnectionProviderUrl',
    /no brokerlist/,
  ],
  [
    'a client key store that is not there',
    '[tokenRevocationConfig.persistent]\nenablePersistentStorageRetrieval = true\ntype = "etcd"\nclientKeyStorePath = "none.p12"',
    4,
    'tokenRevocationConfig.persistent.clientKeyStorePath',
    /none\.p12: there is no such file/,
  ],
  [
    'a type that only an extension can serve, and there is none',
    '[tokenRevocationConfig.persistent]\nenablePersistentStorageRetrieval = true\ntype = "redis"',
    3,
    'tokenRevocationConfig.persistent.type',
    /"redis" asks for extensions\/token_revocation_extension\.ts/,
  ],
] as const)
  test(`${what} is refused with file, line and key`, async (t) => {
    const { code, output, conf } = await refusal(t, config);
    assert.equal(code, 1, output);
    const said = output.split('\n').find((text) => text.startsWith('gateway: ')) ?? output;
    assert.ok(said.startsWith(`gateway: ${conf}:${line}: \`${key}\`: `), said);
    assert.match(said, reason);
    assert.equal(output.includes(SECRET), false);
  });

test('a flag is named in place of file and line; at DEBUG the configuration is in the log, without its passwords', async (t) => {
  const { output } = await refusal(
    t,
    `[listenerConfig]\ntrustStorePassword = "${SECRET}"\n[b7a.log]\nlevel = "DEBUG"`,
    ['--listenerConfig.trustStorePath=none.p12'],
  );
  assert.match(
    output,
    /gateway: --listenerConfig\.trustStorePath: `listenerConfig\.trustStorePath`: .*none\.p12: /,
  );
  assert.match(
    output,
    /DEBUG .*\[Configuration\] \[-\] listeners\.trustStore\.password = "\*\*\*"/,
  );
  assert.equal(output.includes(SECRET), false);
});
