import assert from 'node:assert/strict';
import { test } from 'node:test';
import { METRICS, type MetricName } from '../../src/admin/metric-catalogue.ts';
import { METRIC_VALUES } from './fake-operations.ts';
import { startApi } from './stage.ts';

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A strict reader of the text format, written from its specification and not from the writer. */
function read(text: string) {
  assert.ok(text.endsWith('\n'));
  const types = new Map<string, string>();
  const helps = new Map<string, string>();
  const samples: Sample[] = [];
  let current = '';
  for (const line of text.slice(0, -1).split('\n')) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (comment !== null) {
      const [, what, name = '', rest = ''] = comment;
      const into = what === 'HELP' ? helps : types;
      assert.ok(!into.has(name), `${what} ${name} twice`);
      into.set(name, rest);
      current = name;
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    assert.ok(sample !== null, `not understood: ${line}`);
    const [, name = '', inside = '', value = ''] = sample;
    const of =
      types.get(current) === 'histogram' ? name.replace(/_(?:bucket|sum|count)$/, '') : name;
    assert.equal(of, current, 'samples stand below their own TYPE');
    const labels: Record<string, string> = {};
    let rest = inside;
    while (rest !== '') {
      const pair = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)/.exec(rest);
      assert.ok(pair !== null, `labels not understood: ${rest}`);
      const [whole, label = '', escaped = ''] = pair;
      assert.ok(!(label in labels));
      labels[label] = escaped.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
      rest = rest.slice(whole.length);
    }
    samples.push({ name, labels, value: value === '+Inf' ? Infinity : Number(value) });
  }
  return { types, helps, samples };
}

test('/metrics is Prometheus text, and has every metric of the catalogue with its values', async (t) => {
  const { call } = await startApi(t);
  const { status, headers, text } = await call('/metrics');
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  const { types, helps, samples } = read(text);
  assert.deepEqual(
    [...types],
    Object.entries(METRICS).map(([name, { type }]) => [name, type]),
  );
  assert.deepEqual([...helps.keys()], [...types.keys()]);
  for (const [name, reading] of Object.entries(METRIC_VALUES)) {
    if (METRICS[name as MetricName].type === 'histogram') continue;
    const expected = (typeof reading === 'number' ? [{ labels: {}, value: reading }] : reading).map(
      ({ labels, value }) => ({ name, labels: { ...labels }, value }),
    );
    assert.deepEqual(
      samples.filter((sample) => sample.name === name),
      expected,
    );
  }
  const histogram = samples.filter(({ name }) => name.startsWith('portcullis_route_duration_'));
  const labels = { method: 'GET', route: '/pet/{petId}' };
  assert.deepEqual(
    histogram,
    [
      ...[0.001, 5, Infinity].map((bound, n) => {
        const le = bound === Infinity ? '+Inf' : String(bound);
        return { name: 'bucket', labels: { ...labels, le }, value: n + 1 };
      }),
      { name: 'sum', labels, value: 9.5 },
      { name: 'count', labels, value: 3 },
    ].map((sample) => ({ ...sample, name: `portcullis_route_duration_seconds_${sample.name}` })),
  );
  const series = samples.map(({ name, labels }) => JSON.stringify([name, labels]));
  assert.equal(new Set(series).size, series.length, 'no series twice');
  const of = (name: string) => samples.find((sample) => sample.name === name);
  assert.equal(of('portcullis_build_info')?.labels['node'], process.versions.node);
  assert.equal(of('portcullis_ready')?.value, 1);
  assert.ok((of('portcullis_resident_memory_bytes')?.value ?? 0) > 1e7);
  assert.ok((of('portcullis_cpu_seconds_total')?.value ?? 0) > 0);
});

/** What a label may be for: names from the configuration, and fixed words. */
const LABELS: readonly string[] = [
  'version',
  'node',
  'source',
  'reason',
  'result',
  'kind',
  'outcome',
  'policy',
  'method',
  'route',
  'status',
];

test('names say the unit and what only grows, and no label is for what must not be there', () => {
  for (const [name, { type, help, labels }] of Object.entries(METRICS)) {
    assert.equal(name.endsWith('_total'), type === 'counter', name);
    assert.match(name, /^portcullis_[a-z_]+$/);
    assert.match(help, /^\S[^\n]*\.$/, name);
    for (const label of labels) assert.ok(LABELS.includes(label), `${name} ${label}`);
  }
});
