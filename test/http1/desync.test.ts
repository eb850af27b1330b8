import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DESYNC_COUNTS,
  desyncBytes,
  desyncCases,
  REFUSED_COMPLIANT,
} from '../support/desync-corpus.ts';
import { examine } from './differential.ts';
import { NodeRequests } from './node-parser.ts';
import { readOwn } from './own-parser.ts';

const LIMITS = { maxTarget: 4_096, maxFieldBytes: 8_192, maxFields: 100 };

/** Names that imitate framing: to a parser names as any other. The gateway refuses them; test/gateway/framing.test.ts has the whole corpus there. */
const LEFT_TO_THE_GATEWAY: readonly string[] = [
  'Content_Length with underscore.',
  'Transfer-Encoding with multiple delimiters',
  'Transfer-Encoding with multiple hyphens',
  'Transfer_Encoding with underscore.',
];

/** Bodies where none is usual: accepted, and nothing is read behind them, as another reader could take them for the next request. */
const CLOSED_BEHIND: readonly string[] = [
  'Get with a body and Content-Length',
  'Get with a body and Transfer-Encoding',
  'Has a CL in GET',
  'Has a TE in GET',
  'Head with a body and Content-Length',
  'Head with a body and Transfer-Encoding',
];

test('requests of the desync corpus at the parser alone, whole and byte by byte', (t) => {
  const cases = desyncCases();
  if (cases === undefined) return t.skip('no vectors');
  const counts = { Compliant: 0, Acceptable: 0, Ambiguous: 0, Severe: 0 };
  const passed: string[] = [];
  const closed: string[] = [];
  const refusedCompliant: string[] = [];
  for (const one of cases) {
    const { tier } = one.expected;
    counts[tier]++;
    const bytes = desyncBytes(one);
    const { messages, refused, keeps } = readOwn('request', [Buffer.from(bytes)], LIMITS);
    const headEnd = bytes.indexOf('\r\n\r\n') + 4;
    const drops = Array.from(bytes.subarray(0, headEnd), (byte) => Buffer.of(byte));
    const dropped = readOwn('request', [...drops, bytes.subarray(headEnd)], LIMITS);
    assert.deepEqual(
      { messages: dropped.messages, refused: dropped.refused },
      { messages, refused },
      one.name,
    );
    if (refused !== undefined) {
      assert.deepEqual(messages, [], `${one.name}: refused, and yet handed over`);
      if (tier === 'Compliant') refusedCompliant.push(one.name);
      continue;
    }
    assert.ok(messages.length === 1 && messages[0]?.whole === true, `${one.name}: one message`);
    assert.notEqual(tier, 'Severe', one.name);
    if (tier === 'Ambiguous') (keeps === true ? passed : closed).push(one.name);
  }
  assert.deepEqual(counts, DESYNC_COUNTS);
  assert.deepEqual(passed.toSorted(), LEFT_TO_THE_GATEWAY);
  assert.deepEqual(closed.toSorted(), CLOSED_BEHIND);
  assert.deepEqual(refusedCompliant.toSorted(), [...REFUSED_COMPLIANT].toSorted());
});

test('what is accepted of the desync corpus is what node accepts, with the same meaning', async (t) => {
  const cases = desyncCases();
  if (cases === undefined) return t.skip('no vectors');
  const node = new NodeRequests();
  t.after(() => node.close());
  const inputs = cases.map((one) => ({
    side: 'request' as const,
    text: desyncBytes(one).toString('latin1'),
    cuts: [],
  }));
  assert.deepEqual(await examine(node, inputs), []);
});
