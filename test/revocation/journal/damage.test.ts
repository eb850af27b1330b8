import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { after, before, test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { JournalTrouble } from '../../../src/revocation/journal/group-commit.ts';
import type { JournalOptions } from '../../../src/revocation/journal/journal.ts';
import { HEADER_BYTES } from '../../../src/revocation/journal/format.ts';
import { fingerprintText, type Known } from '../../../src/revocation/journal/record.ts';
import { until } from '../../support/until.ts';
import { fingerprint, LATER_S, open, type Opened, subjectRule, temporaryFolder } from './stage.ts';

const KNOWN_AS_OF = 1_800_000_000_000;
const SEGMENTS = ['segment-0000000002', 'segment-0000000003', 'segment-0000000004'] as const;

/** A folder with a snapshot (tokens 0 to 2999), an empty segment, and two of two batches each (tokens from 3000 on, ten in a batch). */
async function fill(folder: string): Promise<void> {
  {
    await using opened = await open(folder);
    for (let i = 0; i < 3000; i++) opened.journal.token(fingerprint(i), 0, LATER_S, 'store', 1);
    opened.journal.rule(subjectRule('alice', 5), 'store', 1);
    await opened.journal.snapshot();
  }
  for (let life = 0; life < 2; life++) {
    await using opened = await open(folder);
    for (let batch = 0; batch < 2; batch++) {
      for (let i = 0; i < 10; i++)
        opened.journal.token(
          fingerprint(3000 + life * 20 + batch * 10 + i),
          0,
          LATER_S,
          'broker',
          2,
        );
      opened.journal.knownAsOf(KNOWN_AS_OF + life);
      await opened.journal.durable();
    }
  }
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('segment')),
    [...SEGMENTS],
  );
}

const root = mkdtempSync(join(tmpdir(), 'portcullis-journal-'));
after(() => rmSync(root, { recursive: true, force: true }));
before(() => fill(join(root, 'state')));

/** A copy of it for one test. */
function filledFolder(t: Pick<TestContext, 'after'>): string {
  return copyOf(t, join(root, 'state'));
}

function copyOf(t: Pick<TestContext, 'after'>, folder: string): string {
  const copy = join(temporaryFolder(t), 'state');
  cpSync(folder, copy, { recursive: true });
  return copy;
}

function has(opened: Opened, number: number): boolean {
  return opened.memory.tokens.has(fingerprintText(fingerprint(number), 0));
}

/** What a list would say that holds so many tokens. */
function list(count: number): () => Iterable<Known> {
  return () =>
    Array.from({ length: count }, (_, i) => ({
      kind: 'token',
      fingerprints: fingerprint(i),
      at: 0,
      endSeconds: LATER_S,
    }));
}

/** What a damaged start must be: said, closed, and healed by itself so that the next one is whole, though still closed. */
async function isSaidAndHealed(
  folder: string,
  what: RegExp,
  options: Partial<JournalOptions> = {},
): Promise<{ tokens: number; rules: number }> {
  let first: { tokens: number; rules: number };
  {
    await using opened = await open(folder, options);
    const { restored, journal, memory } = opened;
    assert.equal(restored.whole, false);
    assert.equal(restored.knownAsOfWallMs, undefined);
    assert.match(restored.damage.join('\n'), what);
    first = { tokens: memory.tokens.size, rules: memory.rules.size };
    assert.equal(journal.incomplete, true);
    // Not to be believed before all that is good was saved.
    journal.knownAsOf(KNOWN_AS_OF + 100);
    await until(() => !journal.incomplete, 'the journal is whole again');
    await journal.durable();
  }
  await using again = await open(folder, options);
  assert.deepEqual(again.restored.damage, []);
  assert.equal(again.memory.tokens.size, first.tokens, 'what was good is still there');
  assert.equal(again.memory.rules.size, first.rules);
  assert.equal(again.restored.knownAsOfWallMs, KNOWN_AS_OF + 100);
  return first;
}

test('whole files are whole', async (t) => {
  await using opened = await open(filledFolder(t));
  assert.equal(opened.restored.whole, true);
  assert.equal(opened.memory.tokens.size, 3040);
  assert.equal(opened.restored.knownAsOfWallMs, KNOWN_AS_OF + 1);
});

test('a flipped bit anywhere is said, or changes nothing', async (t) => {
  const filled = filledFolder(t);
  const names = ['snapshot', ...SEGMENTS, 'committed'];
  const flips: [name: string, at: number][] = [];
  for (const name of names) {
    const { size } = statSync(join(filled, name));
    // Each header whole, the first and last kilobyte behind it, and places all over.
    for (let i = 0; i < 5; i++) flips.push([name, Math.floor((size * (i + 0.5)) / 5)]);
    for (const at of [0, 8, 12, 16, 32, 48, 64, 4095, 4096, 4100, 4104, 4108, size - 1])
      if (at < size) flips.push([name, at]);
  }
  for (const [name, at] of flips) {
    const folder = copyOf(t, filled);
    const path = join(folder, name);
    const bytes = readFileSync(path);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
    writeFileSync(path, bytes);
    await using opened = await open(folder);
    const { restored, memory } = opened;
    const where = `${name} at ${at}`;
    assert.equal(restored.whole, restored.damage.length === 0, where);
    if (restored.whole) {
      assert.equal(name, 'committed', `${where} went unnoticed`);
      assert.equal(memory.tokens.size, 3040, where);
      assert.equal(restored.knownAsOfWallMs, KNOWN_AS_OF + 1, where);
    } else {
      assert.equal(restored.knownAsOfWallMs, undefined, where);
      assert.ok(restored.damage.join().includes(name), where);
    }
  }
});

test('of a snapshot with a damaged block the other blocks are saved', async (t) => {
  const folder = filledFolder(t);
  const path = join(folder, 'snapshot');
  const bytes = readFileSync(path);
  bytes[4096 + 100] = (bytes[4096 + 100] ?? 0) ^ 4;
  writeFileSync(path, bytes);
  const kept = await isSaidAndHealed(folder, /snapshot has a damaged block/);
  assert.deepEqual(kept, { tokens: 3040 - 2730, rules: 1 });
  const aside = readdirSync(folder).filter((name) => name.startsWith('damaged-'));
  assert.equal(aside.length, 1);
  assert.deepEqual(readFileSync(join(folder, aside[0] ?? '')), bytes, 'kept as it was');
});

test('an acknowledged batch with a flipped bit is damage, also the very last; what follows it is saved', async (t) => {
  for (const [name, missing] of [
    [SEGMENTS[1], 10],
    [SEGMENTS[2], 10],
  ] as const) {
    const folder = copyOf(t, filledFolder(t));
    const path = join(folder, name);
    const bytes = readFileSync(path);
    const at = name === SEGMENTS[1] ? 4096 + 40 : bytes.length - 40;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const kept = await isSaidAndHealed(folder, /is damaged at byte/);
    assert.equal(kept.tokens, 3040 - missing);
  }
});

test('damage is said again by a start that comes before it was healed', async (t) => {
  const folder = filledFolder(t);
  const path = join(folder, SEGMENTS[2]);
  truncateSync(path, statSync(path).size - 1);
  for (let start = 0; start < 2; start++) {
    // Where a folder is in the way of the next snapshot's file, none is made.
    mkdirSync(join(folder, 'snapshot.tmp'), { recursive: true });
    await using opened = await open(folder);
    assert.equal(opened.restored.whole, false, `start ${start}`);
    opened.journal.token(fingerprint(5000 + start), 0, LATER_S, 'broker', 1);
    await opened.journal.durable();
    opened.journal.knownAsOf(KNOWN_AS_OF + 5);
    await opened.journal.durable();
  }
  rmSync(join(folder, 'snapshot.tmp'), { recursive: true });
  await isSaidAndHealed(folder, /is damaged at byte/);
});

test('a batch that was being written when the process ended is no damage', async (t) => {
  const folder = filledFolder(t);
  const path = join(folder, SEGMENTS[2]);
  const before = readFileSync(path);
  writeFileSync(path, Buffer.concat([before, before.subarray(4096, 4096 + 50)]));
  await using opened = await open(folder);
  assert.equal(opened.restored.whole, true);
  assert.equal(opened.restored.tornBytes, 50);
  assert.equal(opened.memory.tokens.size, 3040);
  assert.equal(opened.restored.knownAsOfWallMs, KNOWN_AS_OF + 1);
});

test('without the file that tells what was acknowledged nothing says that the end is there, so that is damage', async (t) => {
  for (const lost of [() => undefined, rmSync, cutToHeader]) {
    const folder = filledFolder(t);
    rmSync(join(folder, 'committed'));
    lost(join(folder, SEGMENTS[2]));
    await isSaidAndHealed(folder, /committed is missing, or says nothing/);
  }
});

test('without that file a torn end is damage too, and said', async (t) => {
  const folder = filledFolder(t);
  const path = join(folder, SEGMENTS[2]);
  rmSync(join(folder, 'committed'));
  truncateSync(path, statSync(path).size - 1);
  await isSaidAndHealed(folder, /nothing tells if that was acknowledged/);
});

function cutToHeader(path: string): void {
  truncateSync(path, HEADER_BYTES);
}

test('a file that cannot be read is damage and no reason not to start', async (t) => {
  for (const name of ['committed', 'snapshot', ...SEGMENTS]) {
    const folder = filledFolder(t);
    rmSync(join(folder, name));
    mkdirSync(join(folder, name));
    await using opened = await open(folder);
    assert.equal(opened.restored.whole, false, name);
    assert.match(opened.restored.damage.join('\n'), new RegExp(`${name} cannot be read`));
  }
});

test('files that are missing are missed', async (t) => {
  const filled = filledFolder(t);
  for (const [name, tokens] of [
    ['snapshot', 40],
    [SEGMENTS[0], 3040],
    [SEGMENTS[1], 3020],
    [SEGMENTS[2], 3020],
  ] as const) {
    const folder = copyOf(t, filled);
    rmSync(join(folder, name));
    const kept = await isSaidAndHealed(folder, new RegExp(`${name} is missing`));
    assert.equal(kept.tokens, tokens, name);
  }
  const folder = copyOf(t, filled);
  for (const name of ['snapshot', ...SEGMENTS]) rmSync(join(folder, name));
  await isSaidAndHealed(folder, /is missing/);
});

test('files of another version are said and not used', async (t) => {
  const folder = filledFolder(t);
  for (const name of ['snapshot', ...SEGMENTS]) {
    const bytes = readFileSync(join(folder, name));
    bytes.writeUInt32LE(2, 8);
    writeFileSync(join(folder, name), bytes);
  }
  const kept = await isSaidAndHealed(folder, /has format 2, not 1/);
  assert.equal(kept.tokens, 0);
  assert.equal(readdirSync(folder).filter((name) => name.startsWith('damaged-')).length, 4);
});

test('files of another gateway, or made with another secret, are said and not used', async (t) => {
  const filled = filledFolder(t);
  const other = join(temporaryFolder(t), 'state');
  await fill(other);
  const foreign = copyOf(t, filled);
  cpSync(join(other, 'snapshot'), join(foreign, 'snapshot'));
  assert.equal((await isSaidAndHealed(foreign, /snapshot is of another installation/)).tokens, 40);

  const changed = copyOf(t, filled);
  writeFileSync(join(changed, 'secret'), Buffer.alloc(32, 7));
  assert.equal((await isSaidAndHealed(changed, /was written with another secret/)).tokens, 0);

  const lost = copyOf(t, filled);
  rmSync(join(lost, 'secret'));
  assert.equal((await isSaidAndHealed(lost, /was written with another secret/)).tokens, 0);

  const short = copyOf(t, filled);
  truncateSync(join(short, 'secret'), 31);
  {
    await using opened = await open(copyOf(t, short));
    assert.match(opened.restored.damage.join('\n'), /secret is not what it was written as/);
    assert.equal(opened.journal.secret.length, 32);
  }

  const renamed = copyOf(t, filled);
  writeFileSync(join(renamed, 'installation'), 'no id\n');
  assert.equal((await isSaidAndHealed(renamed, /is of another installation/)).tokens, 0);
});

test('damage found by a merge under way is healed from what the list holds', async (t) => {
  const folder = filledFolder(t);
  {
    await using opened = await open(folder, { everything: list(3040) });
    const bytes = readFileSync(join(folder, 'snapshot'));
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    writeFileSync(join(folder, 'snapshot'), bytes);
    await opened.journal.snapshot();
    await until(() => !opened.journal.incomplete, 'the journal is whole again');
    await opened.journal.durable();
    assert.equal((await opened.journal.find(fingerprint(5), 0))?.endSeconds, LATER_S);
  }
  await using again = await open(folder);
  assert.equal(again.restored.whole, true);
  assert.equal(again.memory.tokens.size, 3040);
});

test('a snapshot that vanished under way is missed by the next merge, and healed from what the list holds', async (t) => {
  const everything = list(3050);
  for (const publishedBy of ['an earlier process', 'this process'] as const) {
    const folder = copyOf(t, filledFolder(t));
    {
      await using opened = await open(folder, { everything });
      const { journal, lines } = opened;
      if (publishedBy === 'this process') await journal.snapshot();
      for (let i = 3040; i < 3050; i++) journal.token(fingerprint(i), 0, LATER_S, 'broker', 3);
      await journal.durable();
      rmSync(join(folder, 'snapshot'));
      await journal.snapshot();
      assert.ok(
        lines.some((line) => line.includes('snapshot is missing')),
        publishedBy,
      );
      await until(() => !journal.incomplete, 'the journal is whole again');
      await journal.durable();
    }
    await using again = await open(folder);
    assert.equal(again.restored.whole, true);
    assert.equal(again.memory.tokens.size, 3050, publishedBy);
  }
});

test('an older snapshot put into a folder under way is not taken for the last one', async (t) => {
  const folder = filledFolder(t);
  const everything = list(3050);
  const path = join(folder, 'snapshot');
  const older = readFileSync(path);
  {
    await using opened = await open(folder, { everything });
    const { journal, lines } = opened;
    await journal.snapshot();
    for (let i = 3040; i < 3050; i++) journal.token(fingerprint(i), 0, LATER_S, 'broker', 3);
    await journal.durable();
    writeFileSync(path, older);
    await journal.snapshot();
    assert.ok(
      lines.some((line) => /snapshot is an older one: .* before segment \d/.test(line)),
      lines.join('\n'),
    );
    await until(() => !journal.incomplete, 'the journal is whole again');
    await journal.durable();
  }
  await using again = await open(folder);
  assert.equal(again.restored.whole, true);
  assert.equal(again.memory.tokens.size, 3050);
});

test('a snapshot that vanished and cannot be made good from a list leaves the journal in trouble, and the next start knows nothing', async (t) => {
  const folder = filledFolder(t);
  {
    await using opened = await open(folder);
    rmSync(join(folder, 'snapshot'));
    await opened.journal.snapshot();
    await assert.rejects(opened.journal.durable(), JournalTrouble);
    await until(() => existsSync(join(folder, 'snapshot')), 'what is left is saved');
    opened.journal.knownAsOf(KNOWN_AS_OF + 100);
  }
  await using again = await open(folder);
  assert.equal(again.memory.tokens.size, 40);
  assert.equal(again.restored.knownAsOfWallMs, undefined);
});

test('where nothing was merged yet no snapshot is missed', async (t) => {
  const folder = temporaryFolder(t);
  for (let life = 0; life < 2; life++) {
    await using opened = await open(folder);
    opened.journal.token(fingerprint(life), 0, LATER_S, 'broker', 1);
    await opened.journal.durable();
    if (life === 1) await opened.journal.snapshot();
    assert.equal(opened.journal.incomplete, false);
  }
  await using again = await open(folder);
  assert.deepEqual([again.restored.whole, again.memory.tokens.size], [true, 2]);
});

test('cut at any byte of any segment: what was acknowledged by then is there, or damage is said', async (t) => {
  const filled = filledFolder(t);
  const files = SEGMENTS.slice(1);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...files),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.boolean(),
      async (name, part, forget) => {
        const folder = copyOf(t, filled);
        const path = join(folder, name);
        truncateSync(path, Math.floor(part * statSync(path).size));
        if (forget) rmSync(join(folder, 'committed'));
        await using opened = await open(folder);
        const all = Array.from({ length: 3040 }, (_, i) => i).every((i) => has(opened, i));
        // A cut between two frames cannot be seen in the file itself.
        assert.equal(opened.restored.whole, all && !forget);
        if (opened.restored.whole) assert.notEqual(opened.restored.knownAsOfWallMs, undefined);
        else assert.equal(opened.restored.knownAsOfWallMs, undefined);
      },
    ),
    { numRuns: 25 },
  );
});

test('random appends and a cut at any byte that was not acknowledged: everything acknowledged is restored', async (t) => {
  const step = fc.record({
    tokens: fc.array(fc.nat(500), { maxLength: 30 }),
    rule: fc.option(fc.nat(5)),
    merge: fc.boolean(),
    reopen: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(500), { minLength: 1, maxLength: 20 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (steps, unacknowledged, part) => {
        const folder = join(temporaryFolder(t), 'state');
        const ends = new Map<string, number>();
        const cutoffs = new Map<string, number>();
        let opened = await open(folder);
        let now = LATER_S;
        // Before the first acknowledgement nothing tells what was acknowledged: then a torn end is said.
        opened.journal.token(fingerprint(900), 0, now, 'broker', 1);
        ends.set(fingerprintText(fingerprint(900), 0), now);
        await opened.journal.durable();
        for (const { tokens, rule, merge, reopen } of steps) {
          for (const number of tokens) {
            now++;
            opened.journal.token(fingerprint(number), 0, now, 'broker', 1);
            ends.set(fingerprintText(fingerprint(number), 0), now);
          }
          if (rule !== null) {
            opened.journal.rule(subjectRule(`s${rule}`, now), 'broker', 1);
            cutoffs.set(`s${rule}`, now);
          }
          await opened.journal.durable();
          if (merge) await opened.journal.snapshot();
          if (reopen) {
            await opened.journal.close();
            opened = await open(folder);
          }
        }
        const sizes = new Map(
          readdirSync(folder).map((name) => [name, statSync(join(folder, name)).size]),
        );
        const committed = readFileSync(join(folder, 'committed'));
        for (const number of unacknowledged)
          opened.journal.token(fingerprint(number + 1000), 0, now, 'broker', 1);
        await opened.journal.close();
        // As if the process had ended within the last write.
        writeFileSync(join(folder, 'committed'), committed);
        const last =
          readdirSync(folder)
            .filter((name) => name.startsWith('segment'))
            .sort()
            .at(-1) ?? '';
        const size = statSync(join(folder, last)).size;
        const before = sizes.get(last) ?? 4096;
        truncateSync(join(folder, last), before + Math.floor(part * (size - before)));

        await using again = await open(folder);
        assert.deepEqual(again.restored.damage, []);
        for (const [key, end] of ends) assert.equal(again.memory.tokens.get(key), end);
        assert.deepEqual(
          new Map(
            [...again.memory.rules.values()].map((each) => [
              each.claims[0]?.[1],
              each.issuedBeforeMs,
            ]),
          ),
          cutoffs,
        );
      },
    ),
    { numRuns: 12 },
  );
});
