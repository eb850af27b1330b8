import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { EdgeConfig } from '../../src/config/config.ts';
import { CONSEQUENCES } from '../../src/config/edge-rules.ts';
import { EDGE_SCHEMA } from '../../src/config/schema-edge.ts';
import { CLOSED, type EdgeRules } from '../../src/gateway/edge-rules.ts';
import { load, problemOf, warningsOf } from './fixture.ts';

const KEYS = Object.entries(EDGE_SCHEMA.edgeRules.keys);

test('every rule is closed by default, as the gateway has it, and says nothing', () => {
  const configured: EdgeRules = load('').config.edge;
  const expected: EdgeConfig = CLOSED; // both ways: neither room has a rule or a word more
  assert.deepEqual(configured, expected);
  const before = warningsOf('');
  for (const [key, { default: closed, of }] of KEYS) {
    assert.equal(of[0], closed);
    assert.deepEqual(warningsOf(`[edgeRules]\n${key} = "${closed}"`), before);
  }
});

test('a rule that is opened is told with its consequence, one that is closed further is not', () => {
  const before = warningsOf('');
  const opened: string[] = [];
  for (const [key, { of }] of KEYS) {
    for (const value of of.slice(1)) {
      const text = `[edgeRules]\n${key} = "${value}"`;
      assert.equal(load(text).config.edge[key as keyof typeof CLOSED], value);
      const told = warningsOf(text).filter((line) => !before.includes(line));
      if (CONSEQUENCES[key]?.[0] !== value) assert.deepEqual(told, [], text);
      else {
        opened.push(key);
        assert.deepEqual(told, [
          `\`edgeRules.${key} = "${value}"\` opens a rule: ${CONSEQUENCES[key][1]}`,
        ]);
      }
    }
  }
  assert.deepEqual(opened.toSorted(), Object.keys(CONSEQUENCES).toSorted());
});

test('a word that is none of a rule is refused', () => {
  assert.equal(
    problemOf('[edgeRules]\ndotSegments = "allow"'),
    'ERR_CONFIG_BAD_VALUE 2 edgeRules.dotSegments',
  );
  assert.equal(
    problemOf('[edgeRules]\ndotSegment = "refuse"'),
    'ERR_CONFIG_UNKNOWN_KEY 2 edgeRules.dotSegment',
  );
});

test('docs/edge-rules.md has every rule with its values, and the consequence of each that opens one', () => {
  const page = readFileSync(new URL('../../docs/edge-rules.md', import.meta.url), 'utf8');
  for (const [key, { of }] of KEYS) {
    const row = page.split('\n').find((line) => line.startsWith(`| \`${key}\` |`));
    assert.ok(row !== undefined, key);
    for (const value of of) assert.ok(row.includes(`\`${value}\``), `${key}: ${value}`);
    const [, consequence] = CONSEQUENCES[key] ?? [];
    if (consequence !== undefined) assert.ok(row.includes(consequence), `${key}: ${row}`);
  }
});

test('the engine, the number of header fields, the time and pace of a request', () => {
  const { server, limits, listeners } = load(
    '[server]\nhttpEngine = "own"\n[listenerConfig]\nmaxHeaderCount = 250\nrequestTimeout = "1h"\nminDataRate = "1 KiB"',
  ).config;
  assert.equal(listeners.requestTimeoutMs, 3_600_000);
  assert.equal(limits.minDataRate, 1_024);
  assert.equal(server.httpEngine, 'own');
  assert.equal(limits.maxHeaderCount, 250);
  assert.equal(
    problemOf('[server]\nhttpEngine = "fast"'),
    'ERR_CONFIG_BAD_VALUE 2 server.httpEngine',
  );
  assert.equal(
    problemOf('[listenerConfig]\nmaxHeaderCount = 9'),
    'ERR_CONFIG_BAD_VALUE 2 listenerConfig.maxHeaderCount',
  );
});
