import fc from 'fast-check';
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { readCorpus } from './corpus.ts';
import { compare, examine, readAlone } from './differential.ts';
import { brokenInput, validInput, type Input } from './messages.ts';
import { NodeRequests } from './node-parser.ts';
import type { Read } from './reading.ts';

const node = new NodeRequests();
after(() => node.close());

/** Runs of each property: some seconds. `npm run check:fuzz` goes on from there. */
const RUNS = 4_000;

async function agreed(inputs: readonly Input[]): Promise<void> {
  for (const { input, what } of await examine(node, inputs))
    assert.fail(`${what}\n${JSON.stringify(input)}`);
}

test('valid messages are accepted, and read as node reads them, in whatever pieces', async (t) => {
  const seed = Date.now() % 0x7fffffff;
  t.diagnostic(`seed ${seed}`);
  let whole = 0;
  await fc.assert(
    fc.asyncProperty(validInput, async (input) => {
      const { reading } = readAlone(input);
      assert.equal(reading.refused, undefined, JSON.stringify(input.text));
      whole += reading.messages.filter((message) => message.whole).length;
      await agreed([input]);
    }),
    { seed, numRuns: RUNS / 2 },
  );
  assert.ok(whole >= RUNS / 2, `${whole} whole messages`);
});

test('what is accepted of broken messages is what node accepts, with the same meaning', async (t) => {
  const seed = Date.now() % 0x7fffffff;
  t.diagnostic(`seed ${seed}`);
  const seen = { accepted: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(brokenInput, async (input) => {
      seen[readAlone(input).reading.refused === undefined ? 'accepted' : 'refused']++;
      await agreed([input]);
    }),
    { seed, numRuns: RUNS },
  );
  // Mutations that break nothing, or everything, would prove nothing.
  assert.ok(seen.accepted > RUNS / 20 && seen.refused > RUNS / 4, JSON.stringify(seen));
});

test('kept inputs are read as node reads them', async () => {
  const inputs = readCorpus();
  assert.ok(inputs.length > 100, `${inputs.length} inputs`);
  await agreed(inputs);
});

test('kept inputs say the same wherever a read ends', () => {
  for (const input of readCorpus()) {
    const step = Math.ceil(input.text.length / 200);
    for (let cut = 1; cut < input.text.length; cut += step) {
      const { wrong } = readAlone({ ...input, cuts: [cut] });
      assert.equal(wrong, undefined, `${JSON.stringify(input.text)} cut at ${cut}`);
    }
  }
});

const TEXT = 'POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc';
const READ: Read = {
  first: 'POST /a 1.1',
  fields: ['host', 'a.example', 'content-length', '3'],
  body: 'abc',
  trailers: [],
  whole: true,
  upgrade: false,
  waits: false,
};

/** What the comparison says when the codec is supposed to have read these messages out of this text. */
async function claim(text: string, messages: readonly Read[]): Promise<string | undefined> {
  const { wrong } = await compare(
    node,
    [{ side: 'request', text, cuts: [] }],
    [{ reading: { messages, refused: undefined }, wrong: undefined }],
  );
  return wrong[0];
}

test('the comparison sees whatever node has not', async () => {
  assert.equal(await claim(TEXT, [READ]), undefined);
  assert.equal(await claim(`${TEXT}${TEXT}`, [READ]), undefined, 'closing early is no fault');
  assert.equal(await claim(TEXT, []), undefined, 'nor is refusing');
  assert.match((await claim(TEXT, [READ, READ])) ?? '', /is none in node/);
  assert.match((await claim(TEXT, [{ ...READ, first: 'POST /b 1.1' }])) ?? '', /first line/);
  assert.match((await claim(TEXT, [{ ...READ, fields: [] }])) ?? '', /fields/);
  assert.match((await claim(TEXT, [{ ...READ, body: 'ab' }])) ?? '', /body/);
  assert.match((await claim(TEXT, [{ ...READ, body: 'x', whole: false }])) ?? '', /body so far/);
  assert.match((await claim(TEXT, [{ ...READ, trailers: ['x', 'y'] }])) ?? '', /trailers/);
  assert.match((await claim(TEXT.slice(0, -1), [READ])) ?? '', /end/);
  const twice = TEXT.replace('\r\nContent', '\r\nTransfer-Encoding: chunked\r\nContent');
  assert.match((await claim(twice, [READ])) ?? '', /HPE_/);
});
