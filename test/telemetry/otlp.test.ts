import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createHttpClient } from '../../src/net/http-client.ts';
import { SpanExporter, spansJson } from '../../src/telemetry/otlp.ts';
import type { Span } from '../../src/telemetry/span.ts';
import { rawUpstream } from '../gateway/stage.ts';
import { startHttpServer } from '../support/http-server.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';

const SPAN: Span = {
  traceId: '0af7651916cd43dd8448eb211c80319c',
  spanId: 'b7ad6b7169203331',
  parentId: '00f067aa0ba902b7',
  kind: 'server',
  name: 'GET /pet/{petId}',
  startMs: 1_795_305_600_123.25,
  endMs: 1_795_305_600_125.5,
  attributes: { 'http.route': '/pet/{petId}', 'http.response.status_code': 200 },
  failed: false,
};

interface Request {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly { readonly name: string }[] }[];
  }[];
}

/** A receiver that answers as a test says, and an exporter that hands over to it. */
async function receiver(
  t: TestContext,
  answer: (nth: number) => number,
  intervalMs = 20,
  url?: string,
) {
  const batches: string[][] = [];
  const types: (string | undefined)[] = [];
  const server = await startHttpServer((incoming, response) => {
    let text = '';
    incoming.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    incoming.on('end', () => {
      assert.deepEqual([incoming.method, incoming.url], ['POST', '/v1/traces?key=hidden']);
      types.push(incoming.headers['content-type']);
      const { resourceSpans } = JSON.parse(text) as Request;
      batches.push(
        resourceSpans.flatMap(({ scopeSpans }) =>
          scopeSpans.flatMap(({ spans }) => spans.map(({ name }) => name)),
        ),
      );
      response.writeHead(answer(batches.length)).end('{}');
    });
  });
  t.after(() => server.close());
  const http = createHttpClient({});
  t.after(() => http.close());
  const log = recordedLog(false);
  let dropped = 0;
  const exporter = new SpanExporter({
    endpoint: `${url ?? server.url}/v1/traces?key=hidden`,
    serviceName: 'edge',
    version: '1.2.3',
    http,
    log,
    onDropped: (count) => (dropped += count),
    intervalMs,
  });
  t.after(() => exporter.close());
  const add = (from: number, count: number): void => {
    for (let n = from; n < from + count; n++) exporter.add({ ...SPAN, name: String(n) });
  };
  return { exporter, add, batches, types, log, server, dropped: () => dropped };
}

const names = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, n) => String(from + n));

test('the JSON is that of opentelemetry-proto: ids in hexadecimal, enumerations as numbers, 64-bit numbers as text', () => {
  assert.deepEqual(JSON.parse(spansJson([SPAN], 'edge', '1.2.3')), {
    resourceSpans: [
      {
        resource: {
          attributes: [
            { key: 'service.name', value: { stringValue: 'edge' } },
            { key: 'service.version', value: { stringValue: '1.2.3' } },
          ],
        },
        scopeSpans: [
          {
            scope: { name: 'portcullis', version: '1.2.3' },
            spans: [
              {
                traceId: '0af7651916cd43dd8448eb211c80319c',
                spanId: 'b7ad6b7169203331',
                parentSpanId: '00f067aa0ba902b7',
                name: 'GET /pet/{petId}',
                kind: 2,
                startTimeUnixNano: '1795305600123250000',
                endTimeUnixNano: '1795305600125500000',
                attributes: [
                  { key: 'http.route', value: { stringValue: '/pet/{petId}' } },
                  { key: 'http.response.status_code', value: { intValue: '200' } },
                ],
                status: {},
              },
            ],
          },
        ],
      },
    ],
  });
  const other = spansJson(
    [{ ...SPAN, parentId: undefined, kind: 'client', failed: true }],
    'e',
    '1',
  );
  assert.match(other, /"kind":3/);
  assert.match(other, /"status":\{"code":2\}/);
  assert.ok(!other.includes('parentSpanId'));
});

test('spans leave together after a while, and at once when there are many', async (t) => {
  const { add, batches, types, dropped } = await receiver(t, () => 200);
  add(0, 3);
  await until(() => batches.length === 1, 'a batch');
  assert.deepEqual(batches[0], names(0, 3));
  assert.equal(types[0], 'application/json');
  add(3, 1_200);
  await until(() => batches.flat().length === 1_203, 'all');
  assert.ok(batches.every((batch) => batch.length <= 512));
  assert.deepEqual(batches.flat(), names(0, 1_203));
  assert.equal(dropped(), 0);
});

test('what the receiver does not take now is offered again, and said once', async (t) => {
  const { add, batches, log, dropped } = await receiver(t, (nth) => (nth < 3 ? 503 : 200));
  add(0, 5);
  await until(() => batches.length === 3, 'three tries');
  assert.deepEqual(batches, [names(0, 5), names(0, 5), names(0, 5)]);
  await until(() => log.lines.length === 2, 'trouble and its end');
  assert.match(log.lines[0] ?? '', /^WARN \[Tracing\].*503/);
  assert.match(log.lines[1] ?? '', /^INFO \[Tracing\].*again/);
  assert.doesNotMatch(log.lines.join(), /hidden/);
  assert.equal(dropped(), 0);
});

test('what it refuses, or does not take in three tries, is dropped and counted', async (t) => {
  const refused = await receiver(t, () => 400);
  refused.add(0, 5);
  await until(() => refused.dropped() === 5, 'dropped');
  assert.equal(refused.batches.length, 1, 'a refusal is final');
  const busy = await receiver(t, () => 429);
  busy.add(0, 5);
  await until(() => busy.dropped() === 5, 'dropped');
  assert.equal(busy.batches.length, 3);
});

test('a receiver that is away keeps nobody waiting: what is beyond the queue is dropped', async (t) => {
  const { add, server, dropped, log } = await receiver(t, () => 200, 60_000);
  await server.close();
  add(0, 5_000);
  assert.equal(dropped(), 5_000 - 2_048);
  await until(() => log.lines.length === 1, 'it is said');
  assert.equal(dropped(), 5_000 - 2_048, 'the rest waits for the next try');
});

test(
  'the end hands over what is left, and a receiver that is away or silent does not hold it up',
  { timeout: 15_000 },
  async (t) => {
    const { add, exporter, batches, dropped } = await receiver(t, () => 200, 60_000);
    add(0, 7);
    await exporter.close();
    assert.deepEqual(batches, [names(0, 7)]);
    add(7, 1);
    assert.equal(dropped(), 1, 'too late');
    const away = await receiver(t, () => 200, 60_000);
    await away.server.close();
    away.add(0, 600);
    await away.exporter.close();
    assert.equal(away.dropped(), 600);
    let asked = 0;
    const silent = await rawUpstream(t, () => asked++);
    const hanging = await receiver(t, () => 200, 60_000, silent.url);
    hanging.add(0, 2_048);
    await until(() => asked > 0, 'the first batch is under way');
    await hanging.exporter.close();
    assert.equal(
      hanging.dropped(),
      2_048,
      'within the test: four batches would have five seconds each',
    );
  },
);
