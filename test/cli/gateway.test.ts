import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { ARTIFACT_BANNER, artifactModule } from '../../src/artifact.ts';
import { emptyFolder } from '../project/project-folder.ts';

const GATEWAY = new URL('../../src/cli/gateway.ts', import.meta.url).pathname;
const AUTHORITY = new URL('../tls/fixtures/authority.pem', import.meta.url).pathname;
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
    'a key store for upstreams that is none',
    `[httpClients.sslConfig]\nkeyStorePath = "garbage.p12"\nkeyStorePassword = "${SECRET}"`,
    2,
    'httpClients.sslConfig.keyStorePath',
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
    'an issuer without an alias, where the trust store is not the one with the default alias,',
    `[listenerConfig]\ntrustStorePath = "${AUTHORITY}"\n[[jwtTokenConfig]]\nissuer = "b"`,
    3,
    'jwtTokenConfig.0.certificateAlias',
    /has no alias "wso2apim310"; it has "test authority"; the alias is the default one, and listenerConfig\.trustStorePath names another store: set certificateAlias or jwksURL \[ERR_KEY_STORE\]$/,
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

test('several problems are said one a line, each with file, line and code', async (t) => {
  const { code, output, conf } = await refusal(
    t,
    '[listenerConfig]\nhttpProt = 1\nhttpsPort = "x"\n',
    ['--b7a.log.level=LOUD'],
  );
  assert.equal(code, 1, output);
  const [first, ...lines] = output.trimEnd().split('\n');
  assert.equal(first, 'gateway: 3 problems were found:');
  assert.equal(lines.length, 3, output);
  for (const [index, place, error] of [
    [0, `${conf}:2: `, 'ERR_CONFIG_UNKNOWN_KEY'],
    [1, `${conf}:3: `, 'ERR_CONFIG_WRONG_TYPE'],
    [2, '--b7a.log.level: ', 'ERR_CONFIG_BAD_VALUE'],
  ] as const) {
    assert.ok(lines[index]?.startsWith(`  ${place}`), output);
    assert.ok(lines[index]?.endsWith(` [${error}]`), output);
  }
});

for (const [flags, said] of [
  [['--b7a.log.level', 'DEBUG'], 'write --b7a.log.level=DEBUG, with an equals sign'],
  [
    ['--listenerConfig.keyStorePassword', SECRET],
    'write --listenerConfig.keyStorePassword=..., with an equals sign',
  ],
  [['--b7a.log.level', '--b7a.log.format=json'], 'write --b7a.log.level=..., with an equals sign'],
  [['--b7a.log.level'], 'write --b7a.log.level=..., with an equals sign'],
] as const)
  test(`${flags.join(' ')} is answered with how to write it`, async (t) => {
    const { code, output } = await refusal(t, '', flags);
    assert.deepEqual([code, output], [1, `gateway: ${said} [ERR_CONFIG_FLAG]\n`]);
  });

test('a word too many is refused with the usage', async (t) => {
  const { code, output } = await refusal(t, '', ['more']);
  assert.equal(code, 1);
  assert.match(output, /^gateway: not understood: more \[ERR_USAGE\]\nUse: gateway /);
});

test('a port that is taken is refused with the key of its listener and a remedy', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const free =
    '[listenerConfig]\nhost = "127.0.0.1"\nhttpPort = 0\nhttpsPort = 0\ntokenListenerPort = 0\n[operatorConfig]\nport = 0\n';
  for (const [key, kind, line] of [
    ['httpPort', 'http', 3],
    ['httpsPort', 'https', 4],
    ['tokenListenerPort', 'token', 5],
  ] as const) {
    const { code, output, conf } = await refusal(t, free.replace(`${key} = 0`, `${key} = ${port}`));
    assert.equal(code, 1, output);
    const listener = `${kind} listener: cannot listen on 127.0.0.1:${port} (EADDRINUSE)`;
    const remedy = 'another program has this port. End it, or set another port [ERR_LISTEN]';
    assert.ok(
      output.endsWith(
        `gateway: ${conf}:${line}: \`listenerConfig.${key}\`: ${listener}: ${remedy}\n`,
      ),
      output,
    );
  }
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
