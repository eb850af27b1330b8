import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Complaints, ConfigError } from '../../src/config/config-error.ts';
import { describeConfig } from '../../src/config/describe.ts';
import type { Field, Table } from '../../src/config/field.ts';
import { readValue } from '../../src/config/read-value.ts';
import { SCHEMA } from '../../src/config/schema.ts';
import { defaultOf } from '../../src/config/settings.ts';
import { parseTomlFile } from '../../src/config/toml-file.ts';
import { isUnsupported } from '../../src/config/unsupported.ts';
import { DOCS_FILE, SAMPLE_FILE, sampleFile, withKeyTables } from '../../tools/config-docs.ts';
import { load } from './fixture.ts';

const tables: readonly [string, Table][] = Object.entries(SCHEMA);
const keys = tables.flatMap(([table, { keys }]) =>
  Object.entries(keys).map(([name, field]): [string, Field] => [`${table}.${name}`, field]),
);

/** `key = value` lines of the sample, per table, without the comment sign. */
function sampleLines(): Map<string, string[]> {
  const lines = new Map<string, string[]>();
  let table = '';
  for (const line of readFileSync(SAMPLE_FILE, 'utf8').split('\n')) {
    if (line.startsWith('#[')) lines.set((table = line.slice(1).replace(/[[\]]/g, '')), []);
    else if (/^#\w/.test(line)) lines.get(table)?.push(line.slice(1));
    else assert.match(line, /^$|^# /);
  }
  return lines;
}

test('every default is a value that the key accepts', () => {
  for (const [key, field] of keys) {
    if (!('default' in field) || field.default === undefined) {
      assert.ok(field.absent !== undefined && field.example !== undefined, key);
      continue;
    }
    const raw = { kind: 'toml', value: field.default, hidden: false } as const;
    assert.deepEqual(readValue(field, raw, '/'), { value: defaultOf(field) }, key);
  }
});

test('no key is both supported and not', () => {
  for (const [key] of keys) assert.equal(isUnsupported(key.split('.')), false, key);
});

test('docs/configuration.md has every key, and no other', () => {
  const page = readFileSync(DOCS_FILE, 'utf8');
  assert.equal(page, withKeyTables(page), 'run `node tools/config-docs.ts`');
  const documented = [
    ...page.slice(page.indexOf('## Keys')).matchAll(/^### `\[+([^\]]+)\]+`$|^\| `(\w+)` \|/gm),
  ];
  let table = '';
  const names: string[] = [];
  for (const [, heading, key] of documented) {
    if (heading !== undefined) table = heading;
    else names.push(`${table}.${key ?? ''}`);
  }
  assert.deepEqual(
    names,
    keys.map(([key]) => key),
  );
});

test('the sample file has every key once, in its table, and changes nothing as it is', () => {
  assert.equal(readFileSync(SAMPLE_FILE, 'utf8'), sampleFile(), 'run `node tools/config-docs.ts`');
  assert.deepEqual(
    [...sampleLines()].flatMap(([table, lines]) =>
      lines.map((line) => `${table}.${line.split(' = ')[0] ?? ''}`),
    ),
    keys.map(([key]) => key),
  );
  assert.deepEqual(load(readFileSync(SAMPLE_FILE, 'utf8')).config, load('').config);
});

test('the defaults in the sample file are the built-in ones, and its examples are accepted', () => {
  const written: string[] = [];
  for (const [name, table] of tables) {
    if (table.many === true && name !== 'jwtTokenConfig') continue;
    written.push(table.many === true ? `[[${name}]]` : `[${name}]`);
    for (const line of sampleLines().get(name) ?? []) {
      const field = table.keys[line.split(' = ')[0] ?? ''];
      assert.ok(field !== undefined, line);
      if ('default' in field && field.default !== undefined) written.push(line);
    }
  }
  assert.deepEqual(load(written.join('\n')).config, load('').config);

  for (const [key, field] of keys) {
    if (field.example === undefined) continue;
    const complaints = new Complaints();
    const [entry] = parseTomlFile(`x = ${field.example}`, 'x', '/', complaints);
    complaints.throwIfAny();
    assert.ok(entry !== undefined && entry.raw.kind === 'toml', key);
    assert.ok('value' in readValue(field, entry.raw, '/'), key);
  }
});

test('a secret is in no message and in no description', () => {
  const canary = 'c4n4ry';
  const secrets = keys.filter(([, field]) => field.secret === true);
  assert.ok(secrets.length >= 9);
  for (const [key] of secrets) {
    const table = key.split('.').slice(0, -1).join('.');
    const header = SCHEMA[table as keyof typeof SCHEMA] as Table;
    const open = header.many === true ? `[[${table}]]` : `[${table}]`;
    const name = key.split('.').at(-1) ?? '';
    for (const value of [
      `["${canary}"]`,
      `{ a = "${canary}" }`,
      `"${canary}" ${canary}`,
      `"\${x:${canary}}"`,
    ]) {
      assert.throws(
        () => load(`${open}\n${name} = ${value}\n`),
        (error) => error instanceof ConfigError && !error.message.includes(canary),
        `${key} = ${value}`,
      );
    }
  }
  const { config } = load(`
    [listenerConfig]
    keyStorePath = "k"
    keyStorePassword = "${canary}"
    trustStorePath = "k"
    trustStorePassword = "${canary}"
    [keymanager.security.basic]
    password = "${canary}"
    [tokenRevocationConfig.realtime]
    enableRealtimeMessageRetrieval = true
    jmsConnectionProviderUrl = "amqp://u:${canary}@c/v?brokerlist='tcp://h:1?trust_store_password='${canary}''"
    jmsConnectionUsername = "u"
    jmsConnectionPassword = "${canary}"
    [tokenRevocationConfig.persistent]
    enablePersistentStorageRetrieval = true
    type = "redis"
    own = { key = ["${canary}"] }
    password = "${canary}"
    [[tokenRevocationConfig.sources]]
    name = "a"
    type = "etcd"
    username = "root"
    password = "${canary}"
    clientKeyStorePath = "k"
    clientKeyStorePassword = "${canary}"
  `);
  const lines = describeConfig(config);
  assert.ok(JSON.stringify(config).includes(canary));
  assert.ok(!lines.join('\n').includes(canary));
  assert.ok(lines.includes('revocation.sources.0.url = "amqp://***"'));
  assert.ok(lines.includes('revocation.sources.1.section.own = "***"'));
  assert.ok(lines.includes('listeners.httpPort = 9090'));
});
