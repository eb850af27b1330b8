import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  combineFar,
  combineSaid,
  type FarCutoff,
  MAX_FAR_CUTOFFS,
} from '../../src/revocation/far-cutoff.ts';
import { openJournal } from '../../src/revocation/journal/journal.ts';
import {
  combineLifts,
  combineRules,
  type LiftRecord,
  type RuleRecord,
} from '../../src/revocation/journal/record.ts';
import { Frame, readRecords } from '../../src/revocation/journal/record-codec.ts';
import { parseRule } from '../../src/revocation/parse-rule.ts';
import { RevocationReader } from '../../src/revocation/reader.ts';
import { RevocationList } from '../../src/revocation/revocation-list.ts';
import type { RuleEvent } from '../../src/revocation/rule-event.ts';
import { type Lift, nameOfRule, type Rule } from '../../src/revocation/rule.ts';
import { readRuleText, writeRuleText } from '../../src/sources/decode/rule-text.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { temporaryFolder } from './journal/stage.ts';
import { POLICY, SECRET } from './stage.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const SKEW = POLICY.clockSkewMs;
const LIFE = POLICY.longestTokenLifeMs;
/** Readers and merges go by the system's clock: tokens of a test are issued before now, and its rules have not ended long ago. */
const BEGIN = Date.now() - 12 * HOUR;
/** The year 9999, and the latest time that there is. */
const NEVER = 253_402_300_799_000;
const LAST = 8.64e15;

/** A gateway whose clock the test sets; with a folder one that remembers. */
async function gateway(folder?: string) {
  let nowMs = BEGIN;
  const journal =
    folder === undefined ? undefined : await openJournal({ folder, log: recordedLog() });
  const list = new RevocationList({
    clock: { latest: () => nowMs, earliest: () => nowMs },
    secret: journal?.secret ?? SECRET,
    marginMs: MINUTE,
    maxEntries: 10_000,
    onFull: () => assert.fail('there is room'),
    ...(journal === undefined ? {} : { journal }),
  });
  await journal?.restore(list.restoring);
  const reader = new RevocationReader(list.shared, {
    maxStalenessMs: MINUTE,
    clockSkewMs: SKEW,
    staleInGap: false,
    consumerKeyClaims: [],
    onOutlived: () => undefined,
  });
  const take = (event: Partial<RuleEvent>, source = 'store'): unknown => {
    const whole: RuleEvent = {
      action: 'revoke',
      claims: { sub: 'alice' },
      issuedBefore: 0,
      ...event,
    };
    const parsed = parseRule(whole, POLICY, nowMs);
    if (parsed.action === 'revoke')
      return parsed.rules.map((rule) => list.addRule(rule, source))[0];
    assert.ok(parsed.action === 'lift', parsed.action);
    return parsed.lifts.map((lift) => list.addLift(lift, source))[0];
  };
  const rule = (): Rule | undefined => {
    for (const known of list.everything()) if (known.kind === 'rule') return known.rule;
    return undefined;
  };
  return {
    list,
    rule,
    at: (ms: number): void => void (nowMs = BEGIN + ms),
    pass: (ms: number): void => void (nowMs += ms),
    now: () => nowMs,
    says: (issuedBefore: number, source?: string) => take({ issuedBefore }, source),
    take,
    /** As the operator's API lifts: what the journal has of the rule. */
    lift: (): Lift => {
      const { issuedBeforeMs, far = [] } = rule() ?? assert.fail('no rule');
      const saidBefore = far.map(([said]) => said);
      const parsed = parseRule(
        { action: 'lift', claims: { sub: 'alice' }, issuedBefore: issuedBeforeMs, saidBefore },
        POLICY,
        nowMs,
      );
      assert.ok(parsed.action === 'lift');
      const lift = parsed.lifts[0] ?? assert.fail();
      assert.equal(list.addLift(lift, 'operator', { by: 'root', reason: 'a mistake' }), true);
      return lift;
    },
    /** Whether a token of alice that was issued so long after the beginning is denied. */
    denies: (issuedMs: number): boolean =>
      reader.revokedBy({
        keys: [],
        expiresAtMs: nowMs + HOUR,
        issuers: ['https://idp'],
        claims: { sub: 'alice', iat: BEGIN + issuedMs },
      }) === 'rule',
    journal,
    async [Symbol.asyncDispose](): Promise<void> {
      await journal?.close();
    },
  };
}

describe('a cut-off far in the future', () => {
  it('is brought near once: the next reading does not deny the next login', async () => {
    for (const far of [BEGIN + 365 * LIFE, NEVER, LAST, 1e18]) {
      const { says, at, denies, rule } = await gateway();
      assert.equal(says(far), 'added');
      assert.equal(denies(0), true);
      assert.equal(denies(SKEW), true);
      for (const now of [20_000, 40_000, HOUR]) {
        at(now);
        assert.equal(says(far), 'same', String(now));
        assert.equal(denies(SKEW), true, 'what it denied once it goes on denying');
        assert.equal(denies(SKEW + 1), false, 'a login after the first reading');
        assert.equal(rule()?.issuedBeforeMs, BEGIN + SKEW);
      }
    }
  });

  it('stays where it was brought for as long as a source says it, and its rule ends when none does', async () => {
    const { says, pass, denies, list, now } = await gateway();
    says(NEVER);
    let news = 0;
    for (let hour = 0; hour < 24 * 7; hour++) {
      pass(HOUR);
      if (says(NEVER) !== 'same') news++;
      list.sweep();
      list.expireRules();
      assert.equal(denies(SKEW + 1), false);
      assert.equal(denies(SKEW), true);
    }
    assert.ok(news > 0 && news <= 16, `written again twice a day, not at each reading: ${news}`);
    assert.ok(now() > BEGIN + 6 * LIFE);
    pass(LIFE + HOUR);
    list.sweep();
    list.expireRules();
    assert.equal(list.rulesSize, 0);
    assert.deepEqual([...list.everything()], [], 'nothing is remembered for ever');
  });

  it('does not hide a logout that comes after it, whoever says so and whatever cut-off it has', async () => {
    for (const logout of [BEGIN + HOUR, BEGIN + HOUR + 10 * MINUTE, NEVER - 1, NEVER + 1, LAST]) {
      const { says, at, denies } = await gateway();
      says(NEVER);
      at(HOUR);
      assert.equal(denies(HOUR), false);
      says(logout, 'topic');
      assert.equal(denies(HOUR), true, new Date(logout).toISOString());
      at(2 * HOUR);
      for (const far of [NEVER, logout]) says(far);
      assert.equal(denies(HOUR), true);
      assert.equal(denies(2 * HOUR), false);
    }
  });

  it('counts as it stands once its time has come', async () => {
    const { says, at, denies } = await gateway();
    says(BEGIN + 10 * HOUR);
    at(9 * HOUR);
    says(BEGIN + 10 * HOUR);
    assert.equal(denies(9 * HOUR), false);
    at(10 * HOUR);
    assert.equal(says(BEGIN + 10 * HOUR), 'changed');
    assert.equal(denies(10 * HOUR), true);
    at(11 * HOUR);
    assert.equal(says(BEGIN + 10 * HOUR), 'same');
    assert.equal(denies(10 * HOUR + 1), false);
  });

  it('is remembered with others of the same rule, also when two are heard at one moment', async () => {
    const { says, at, denies } = await gateway();
    for (const far of [NEVER, LAST, BEGIN + LIFE]) says(far);
    for (const now of [HOUR, 2 * HOUR]) {
      at(now);
      for (const far of [LAST, BEGIN + LIFE, NEVER]) assert.equal(says(far), 'same');
      assert.equal(denies(HOUR), false);
    }
  });

  it('is remembered in bounded room: whoever says more denies more', async () => {
    const { says, pass, rule, denies, now } = await gateway();
    for (let i = 1; i <= 10 * MAX_FAR_CUTOFFS; i++) {
      pass(1_000);
      says(NEVER + i);
      assert.equal(denies(now() - BEGIN), true);
    }
    assert.equal(rule()?.far?.length, MAX_FAR_CUTOFFS);
  });
});

describe('the lift of a rule with such a cut-off', () => {
  it('lasts, however often a store says it and however long', async () => {
    const { says, at, lift, denies, list } = await gateway();
    says(NEVER);
    at(MINUTE);
    const { endsAtMs } = lift();
    assert.ok(endsAtMs > BEGIN + 99 * 365 * LIFE && endsAtMs < BEGIN + 101 * 365 * LIFE);
    assert.equal(denies(0), false);
    for (const now of [2 * MINUTE, HOUR, 50 * LIFE]) {
      at(now);
      list.expireRules();
      assert.equal(says(NEVER), 'lifted');
      assert.equal(denies(0), false);
      assert.equal(list.rulesSize, 0);
    }
  });

  it('takes back no other one, before it or after', async () => {
    for (const logout of [BEGIN + HOUR, NEVER - 1, NEVER + 1]) {
      const { says, at, lift, denies } = await gateway();
      says(NEVER);
      lift();
      at(HOUR);
      assert.equal(denies(HOUR), false);
      says(logout);
      says(NEVER);
      assert.equal(denies(HOUR), true, new Date(logout).toISOString());
    }
  });

  it('is still possible when the store has said it for longer than a token lives', async () => {
    const { says, pass, lift, list, denies } = await gateway();
    for (let hour = 0; hour < 60; hour++) {
      says(NEVER);
      pass(HOUR);
    }
    lift();
    assert.equal(list.rulesSize, 0);
    assert.equal(says(NEVER), 'lifted');
    assert.equal(denies(0), false);
  });

  it('holds at another gateway, which heard it at another time and from one source more', async () => {
    const here = await gateway();
    const there = await gateway();
    here.says(NEVER);
    there.at(HOUR);
    there.says(NEVER);
    there.says(LAST, 'its own store');
    here.at(2 * HOUR);
    there.at(2 * HOUR);
    const { text } = writeRuleText({ action: 'lift', rule: here.lift() });
    const reading = readRuleText(text);
    assert.ok(reading?.kind === 'rule');
    assert.equal(there.denies(HOUR), true);
    assert.equal(there.take(reading.event), true);
    assert.equal(there.denies(HOUR), false);
    assert.equal(there.take(reading.event), false, 'a store says lifts at each reading too');
    there.at(3 * HOUR);
    assert.equal(there.says(NEVER), 'lifted');
    assert.equal(there.says(LAST), 'lifted', 'it went with the rule that it made');
    there.says(BEGIN + 3 * HOUR);
    assert.equal(there.denies(3 * HOUR), true);
  });

  it('leaves a later logout at that other gateway in force', async () => {
    const there = await gateway();
    there.says(NEVER);
    there.at(HOUR);
    there.says(BEGIN + HOUR);
    there.take({ action: 'lift', issuedBefore: BEGIN, saidBefore: [String(NEVER)] });
    assert.equal(there.denies(HOUR), true);
    there.at(2 * HOUR);
    assert.equal(there.says(NEVER), 'lifted');
    assert.equal(there.denies(2 * HOUR), false);
  });

  it('with a cut-off in the future of its own takes back what was revoked up to its first reading, and no more', async () => {
    const { says, at, take, denies } = await gateway();
    says(BEGIN);
    take({ action: 'lift', issuedBefore: NEVER });
    assert.equal(denies(0), false);
    at(HOUR);
    says(BEGIN + HOUR);
    at(2 * HOUR);
    assert.equal(take({ action: 'lift', issuedBefore: NEVER }), false);
    assert.equal(denies(HOUR), true);
  });

  it('is not forgotten for another rule or lift of the same name that the journal has', async (t) => {
    for (const merged of [false, true]) {
      const folder = temporaryFolder(t);
      {
        await using first = await gateway(folder);
        first.says(LAST);
        first.lift();
        first.at(MINUTE);
        first.says(NEVER);
        first.at(HOUR);
        first.says(BEGIN + HOUR);
        await first.journal?.durable();
        if (merged) await first.journal?.snapshot();
      }
      {
        await using second = await gateway(folder);
        second.at(2 * HOUR);
        assert.equal(second.says(NEVER), 'same');
        assert.equal(second.denies(HOUR), true);
        assert.equal(second.denies(HOUR + 1), false);
        second.lift();
        await second.journal?.durable();
        if (merged) await second.journal?.snapshot();
      }
      await using third = await gateway(folder);
      third.at(3 * HOUR);
      for (const lifted of [LAST, NEVER]) assert.equal(third.says(lifted), 'lifted');
      assert.equal(third.denies(0), false);
    }
  });

  it('and all else is the same after a restart, from segments and from a snapshot', async (t) => {
    for (const merged of [false, true]) {
      const folder = temporaryFolder(t);
      {
        await using first = await gateway(folder);
        first.says(NEVER);
        await first.journal?.durable();
        if (merged) await first.journal?.snapshot();
      }
      {
        await using second = await gateway(folder);
        second.at(HOUR);
        assert.equal(second.says(NEVER), 'same');
        assert.equal(second.denies(SKEW), true);
        assert.equal(second.denies(HOUR), false);
        second.lift();
        second.says(BEGIN + HOUR - 1);
        await second.journal?.durable();
        if (merged) await second.journal?.snapshot();
      }
      await using third = await gateway(folder);
      third.at(2 * HOUR);
      assert.equal(third.says(NEVER), 'lifted');
      assert.equal(third.denies(HOUR - 1), true);
      assert.equal(third.denies(HOUR), false);
    }
  });
});

describe('what is remembered of far cut-offs', () => {
  const times = fc.integer({ min: 1, max: 60 });
  const pairs = fc.array(fc.tuple(times, times), { maxLength: 40 });

  it('does not depend on order, merges or repetition', () => {
    fc.assert(
      fc.property(pairs, pairs, pairs, times, (a, b, c, cutoff) => {
        const all = combineFar(a, [...b, ...c], cutoff);
        assert.deepEqual(combineFar(combineFar(c, a, cutoff), b, cutoff), all);
        assert.deepEqual(combineFar(all, a, cutoff), all);
        assert.ok(all.length <= MAX_FAR_CUTOFFS && all.every(([said]) => said > cutoff));
        const said = (list: readonly FarCutoff[]): number[] => list.map(([each]) => each);
        assert.deepEqual(combineSaid(said(a), said([...b, ...c]), cutoff), said(all));
      }),
    );
  });

  it('is the same for records of the journal', () => {
    const record = (issuedBeforeMs: number, far: readonly FarCutoff[], by: string): RuleRecord => ({
      kind: 'rule',
      rule: {
        issuer: 'i',
        claims: [],
        issuedBeforeMs,
        endsAtMs: 99,
        ...(far.length > 0 && { far }),
      },
      source: by,
      learntAtMs: issuedBeforeMs,
    });
    fc.assert(
      fc.property(fc.array(fc.tuple(times, pairs), { minLength: 3, maxLength: 3 }), (parts) => {
        const [a, b, c] = parts.map(([cutoff, far], i) => record(cutoff, far, `${i}`));
        assert.ok(a !== undefined && b !== undefined && c !== undefined);
        const all = combineRules(combineRules(a, b), c);
        assert.deepEqual(combineRules(a, combineRules(c, b)), all);
        const latest = Math.max(...parts.map(([cutoff]) => cutoff));
        const everything = parts.flatMap(([, far]) => far);
        assert.deepEqual(all.rule.far ?? [], combineFar(everything, [], latest));

        const lift = ({ rule: { far, ...scope }, source }: RuleRecord): LiftRecord => ({
          kind: 'lift',
          lift: { ...scope, ...(far && { said: far.map(([said]) => said) }) },
          source,
          atMs: 1,
          by: '',
          reason: '',
        });
        const lifts = combineLifts(lift(c), combineLifts(lift(a), lift(b)));
        assert.deepEqual(
          lifts.lift.said,
          all.rule.far?.map(([said]) => said),
        );
      }),
    );
  });

  it('agrees with a model in which everything ever said is known', async () => {
    const operation = fc.oneof(
      { weight: 4, arbitrary: fc.record({ op: fc.constant('far'), ms: fc.nat(9) }) },
      { weight: 2, arbitrary: fc.record({ op: fc.constant('near'), ms: fc.nat(10_000) }) },
      { weight: 2, arbitrary: fc.record({ op: fc.constant('pass'), ms: fc.nat(20 * MINUTE) }) },
      { weight: 1, arbitrary: fc.record({ op: fc.constant('lift'), ms: fc.constant(0) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 30 }), async (operations) => {
        const { says, pass, now, lift, rule, denies } = await gateway();
        const heard = new Set<number>();
        const lifted = new Set<number>();
        let liftedMs = -1;
        let cutoffMs = -1;
        for (const { op, ms } of operations) {
          if (op === 'pass') pass(ms);
          else if (op === 'lift') {
            if (cutoffMs < 0) continue;
            lift();
            liftedMs = cutoffMs;
            cutoffMs = -1;
            for (const each of heard) lifted.add(each);
          } else {
            // A few that come back, some of which come to pass meanwhile.
            const said = op === 'far' ? BEGIN + (ms + 1) * 30 * MINUTE : now() - ms;
            const isFar = said > now() + SKEW;
            const taken = Math.min(said, now() + SKEW);
            says(said);
            if (taken <= liftedMs || lifted.has(said) || (isFar && heard.has(said))) continue;
            if (isFar) heard.add(said);
            cutoffMs = Math.max(cutoffMs, taken);
          }
          assert.equal(rule()?.issuedBeforeMs ?? -1, cutoffMs);
          if (cutoffMs < 0) continue;
          assert.equal(denies(cutoffMs - BEGIN), true);
          assert.equal(denies(cutoffMs - BEGIN + 1), false);
        }
      }),
    );
  });

  it('is read from the journal, as are records without it, and what it cannot be is damage', () => {
    const read = (kind: 'rule' | 'lift', member: object): readonly unknown[] | undefined => {
      const scope = { issuer: null, claims: [], issuedBeforeMs: 1, endsAtMs: 9, ...member };
      const frame = new Frame();
      const story = {
        kind,
        [kind]: scope,
        source: 's',
        learntAtMs: 1,
        atMs: 1,
        by: '',
        reason: '',
      };
      frame.story(Buffer.from(JSON.stringify(story)), kind);
      const found: unknown[] = [];
      const whole = readRecords(frame.records, {
        token: () => assert.fail(),
        rule: ({ rule }) => found.push(rule.far),
        lift: ({ lift }) => found.push(lift.said),
      });
      return whole ? found : undefined;
    };
    assert.deepEqual(read('rule', {}), [undefined]);
    assert.deepEqual(read('lift', {}), [undefined]);
    assert.deepEqual(read('rule', { far: [[5, 4]] }), [[[5, 4]]]);
    assert.deepEqual(read('lift', { said: [5] }), [[5]]);
    for (const far of [null, 5, [5], [[5]], [[5, 4, 3]], [[5, '4']], [[5, null]], [null]])
      assert.equal(read('rule', { far }), undefined, JSON.stringify(far));
    for (const said of [null, 5, ['5'], [[5]], [null]])
      assert.equal(read('lift', { said }), undefined, JSON.stringify(said));
  });

  it('has a name of its own in no rule: a rule is the same with it and without', () => {
    const bare = { issuer: null, claims: [['sub', 'a']] as const };
    const far = { ...bare, far: [[2, 1]] };
    assert.equal(nameOfRule(far), nameOfRule(bare));
  });
});
