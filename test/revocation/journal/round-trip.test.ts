import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fingerprintText } from '../../../src/revocation/journal/record.ts';
import { nameOfRule } from '../../../src/revocation/rule.ts';
import { until } from '../../support/until.ts';
import { fingerprint, LATER_S, open, subjectRule, temporaryFolder } from './stage.ts';

test('a first start finds nothing, claims no knowledge, and makes secret and id for the owner only', async (t) => {
  const folder = join(temporaryFolder(t), 'a', 'state');
  let secret: Uint8Array;
  let installation: string;
  {
    await using first = await open(folder);
    assert.deepEqual(first.restored, {
      tokens: 0,
      rules: 0,
      lifts: 0,
      whole: true,
      knownAsOfWallMs: undefined,
      damage: [],
      tornBytes: 0,
    });
    ({ secret, installation } = first.journal);
    assert.equal(secret.length, 32);
    assert.equal(statSync(folder).mode & 0o777, 0o700);
  }
  for (const name of readdirSync(folder)) {
    if (name === 'lock') continue;
    assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
  }
  await using second = await open(folder);
  assert.deepEqual(second.journal.secret, secret);
  assert.equal(second.journal.installation, installation);
});

for (const merged of [false, true])
  test(`what was durable is there after the next start, ${merged ? 'merged' : 'from segments'}`, async (t) => {
    const folder = temporaryFolder(t);
    const rule = subjectRule('alice', 1000);
    const lifted = subjectRule('bob', 2000);
    {
      await using first = await open(folder);
      const { journal } = first;
      for (let i = 0; i < 10_000; i++)
        journal.token(fingerprint(i), 0, LATER_S + i, 'broker', 1_700_000_000_123 + i);
      journal.rule(rule, 'operator', 5, 'root', 'left');
      journal.rule(lifted, 'store', 6);
      journal.lift(lifted, 'operator', 7, 'root', 'a mistake');
      journal.knownAsOf(1_800_000_000_000);
      await journal.durable();
      if (merged) await journal.snapshot();
    }
    await using second = await open(folder);
    assert.equal(second.restored.whole, true);
    assert.equal(second.restored.knownAsOfWallMs, 1_800_000_000_000);
    assert.equal(second.memory.tokens.size, 10_000);
    assert.equal(second.memory.forgottenMs, 0);
    for (let i = 0; i < 10_000; i += 97)
      assert.equal(second.memory.tokens.get(fingerprintText(fingerprint(i), 0)), LATER_S + i);
    assert.deepEqual([...second.memory.rules.values()], [rule]);
    assert.deepEqual([...second.memory.lifts.values()], [lifted]);

    const { journal } = second;
    assert.deepEqual(await journal.find(fingerprint(4711), 0), {
      kind: 'token',
      fingerprint: fingerprintText(fingerprint(4711), 0),
      endSeconds: LATER_S + 4711,
      source: 'broker',
      learntAtMs: 1_700_000_000_123 + 4711,
    });
    assert.equal(await journal.find(fingerprint(10_000), 0), undefined);
    assert.deepEqual(await journal.rules(), {
      rules: [
        { kind: 'rule', rule, source: 'operator', learntAtMs: 5, by: 'root', reason: 'left' },
      ],
      lifts: [
        {
          kind: 'lift',
          lift: lifted,
          source: 'operator',
          atMs: 7,
          by: 'root',
          reason: 'a mistake',
        },
      ],
    });
  });

test('a later end, the first who said it, and the latest cut-off count, in whatever order they come', async (t) => {
  const folder = temporaryFolder(t);
  const check = async (journal: Awaited<ReturnType<typeof open>>['journal']): Promise<void> => {
    assert.deepEqual(await journal.find(fingerprint(1), 0), {
      kind: 'token',
      fingerprint: fingerprintText(fingerprint(1), 0),
      endSeconds: LATER_S + 9,
      source: 'first',
      learntAtMs: 1000,
    });
    const { rules, lifts } = await journal.rules();
    assert.deepEqual(
      rules.map(({ rule, source }) => [nameOfRule(rule), rule.issuedBeforeMs, source]),
      [[nameOfRule(subjectRule('a', 0)), 300, 'later']],
    );
    assert.deepEqual(
      lifts.map(({ lift }) => lift.issuedBeforeMs),
      [250],
    );
  };
  {
    await using first = await open(folder);
    const { journal } = first;
    journal.token(fingerprint(1), 0, LATER_S, 'second', 2000);
    journal.rule(subjectRule('a', 300), 'later', 2);
    journal.rule(subjectRule('a', 200), 'sooner', 1);
    await journal.snapshot();
    journal.token(fingerprint(1), 0, LATER_S + 9, '', 0);
    journal.token(fingerprint(1), 0, LATER_S + 5, 'first', 1000);
    journal.lift(subjectRule('a', 250), 'operator', 3, 'root', '');
    await journal.durable();
    await check(journal);
    await journal.snapshot();
    await check(journal);
    await journal.snapshot();
  }
  await using second = await open(folder);
  await check(second.journal);
  assert.equal(second.memory.tokens.get(fingerprintText(fingerprint(1), 0)), LATER_S + 9);
});

test('find and list see what is not on the disk yet', async (t) => {
  await using opened = await open(temporaryFolder(t), { groupCommitMs: 60_000 });
  opened.journal.token(fingerprint(3), 0, LATER_S, 'broker', 9);
  assert.equal((await opened.journal.find(fingerprint(3), 0))?.source, 'broker');
  assert.equal((await opened.journal.list()).records.length, 1);
});

test('appends are written within the group commit time without anybody asking', async (t) => {
  const folder = temporaryFolder(t);
  await using opened = await open(folder, { groupCommitMs: 20 });
  opened.journal.token(fingerprint(3), 0, LATER_S, 'broker', 9);
  assert.ok(opened.journal.stats().pendingBytes > 0);
  await until(() => opened.journal.stats().pendingBytes === 0, 'nothing waits');
  const segment = readdirSync(folder).find((name) => name.startsWith('segment-'));
  assert.ok(readFileSync(join(folder, segment ?? '')).includes('broker'));
});

test('merges run by themselves, drop what ended and remember until when, and keep the rest', async (t) => {
  const folder = temporaryFolder(t);
  const now = 1_700_000_000_000;
  const clock = { earliest: () => now, latest: () => now };
  {
    await using opened = await open(folder, {
      clock,
      segmentBytes: 20_000,
      snapshotBytes: 60_000,
      keepEndedMs: 1000,
    });
    const { journal } = opened;
    for (let i = 0; i < 20_000; i++) {
      journal.token(fingerprint(i), 0, now / 1000 + (i % 2 === 0 ? -100 : 100), 'store', now);
      if (i % 1000 === 999) await journal.durable();
    }
    await until(() => journal.stats().snapshot !== undefined, 'a snapshot');
    await journal.snapshot();
    assert.equal(journal.stats().snapshot?.tokens, 10_000);
    assert.equal(readdirSync(folder).filter((name) => name.startsWith('segment-')).length, 1);
  }
  await using again = await open(folder, { clock });
  assert.equal(again.memory.tokens.size, 10_000);
  assert.equal(again.memory.forgottenMs, now - 100_000);
});

test('list goes through everything once, page by page, rules first, and filters', async (t) => {
  await using opened = await open(temporaryFolder(t));
  const { journal } = opened;
  for (let i = 0; i < 3000; i++)
    journal.token(fingerprint(i), 0, LATER_S, i % 3 === 0 ? 'a' : 'b', 1);
  await journal.snapshot();
  for (let i = 2500; i < 3500; i++) journal.token(fingerprint(i), 0, LATER_S + 1, 'c', 2);
  for (const name of ['x', 'y', 'z']) journal.rule(subjectRule(name, 5), 'a', 3);
  journal.rule(subjectRule('ended', 5), 'a', 3);
  journal.rule({ ...subjectRule('ended', 5), claims: [['sub', 'gone']], endsAtMs: 5 }, 'a', 3);
  journal.lift(subjectRule('ended', 5), 'a', 4, 'root', 'why');
  journal.token(fingerprint(9999), 0, 7, 'a', 2);
  await journal.durable();

  const all = async (filter: object): Promise<string[]> => {
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await journal.list({
        limit: 97,
        ...filter,
        ...(cursor === undefined ? {} : { cursor }),
      });
      assert.ok(page.records.length <= 97);
      seen.push(
        ...page.records.map((record) =>
          record.kind === 'token'
            ? record.fingerprint
            : `${record.kind} ${nameOfRule(record.kind === 'rule' ? record.rule : record.lift)}`,
        ),
      );
      cursor = page.next;
    } while (cursor !== undefined);
    assert.equal(new Set(seen).size, seen.length, 'nothing twice');
    return seen;
  };
  const everything = await all({});
  assert.deepEqual(
    everything.slice(0, 4).map((each) => each.split(' ')[0]),
    ['rule', 'rule', 'rule', 'lift'],
  );
  assert.deepEqual(
    everything.slice(4),
    Array.from({ length: 3500 }, (_, i) => fingerprintText(fingerprint(i), 0)).sort(),
  );
  assert.equal((await all({ source: 'a' })).length, 1000 + 4);
  assert.equal((await all({ source: 'c', kind: 'token' })).length, 500);
  assert.equal((await all({ kind: 'rule' })).length, 3);
  assert.equal((await all({ kind: 'lift' })).length, 1);
  await assert.rejects(journal.list({ cursor: 't.zz' }), RangeError);
  await assert.rejects(journal.list({ limit: 0 }), RangeError);
  await assert.rejects(journal.list({ limit: 1001 }), RangeError);
});

test('key sets are kept per issuer, newest only, and not when they were changed', async (t) => {
  const folder = temporaryFolder(t);
  const [issuer, other] = ['https://issuer.example', 'https://other.example/\n'];
  {
    await using opened = await open(folder);
    await opened.journal.saveKeySet(issuer, '{"keys":[]}', 1);
    await opened.journal.saveKeySet(issuer, '{"keys":[1]}', 2);
    await opened.journal.saveKeySet(other, '{"keys":[2]}', 3);
    await assert.rejects(opened.journal.saveKeySet(issuer, 'x'.repeat(2_000_000), 3), RangeError);
  }
  await using again = await open(folder);
  const sets = await again.journal.loadKeySets();
  assert.deepEqual(
    [...sets].sort((a, b) => a.readAtMs - b.readAtMs),
    [
      { issuer, jwks: '{"keys":[1]}', readAtMs: 2 },
      { issuer: other, jwks: '{"keys":[2]}', readAtMs: 3 },
    ],
  );
  const { writeFileSync } = await import('node:fs');
  for (const name of readdirSync(folder).filter((each) => each.startsWith('keys-'))) {
    const path = join(folder, name);
    writeFileSync(path, readFileSync(path, 'utf8').replace('"keys', '"kfys'));
  }
  assert.deepEqual(await again.journal.loadKeySets(), []);
  assert.equal(again.lines.filter((line) => line.includes('not used')).length, 2);
});

test('a rule whose story is too long is refused and nothing of it is kept', async (t) => {
  await using opened = await open(temporaryFolder(t));
  assert.throws(() => opened.journal.rule(subjectRule('x'.repeat(200_000), 1), 'a', 1), RangeError);
  opened.journal.rule(subjectRule('x'.repeat(100_000), 1), 'a', 1);
  opened.journal.rule(subjectRule('y'.repeat(100_000), 1), 'a', 1);
  opened.journal.rule(subjectRule('z'.repeat(100_000), 1), 'a', 1);
  await opened.journal.snapshot();
  assert.equal((await opened.journal.rules()).rules.length, 3);
});
