import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  combineHeard,
  combineSaid,
  type HeardCutoff,
  heardOf,
  isFar,
  liftTimes,
  MAX_HEARD,
  MAX_LIFTED,
  REMEMBERED_MS,
  ruleOf,
} from '../../src/revocation/heard-cutoffs.ts';
import { openJournal } from '../../src/revocation/journal/journal.ts';
import { type LiftRecord, type RuleRecord } from '../../src/revocation/journal/record.ts';
import { RuleBook } from '../../src/revocation/journal/rule-book.ts';
import { Frame, readRecords } from '../../src/revocation/journal/record-codec.ts';
import { parseRule } from '../../src/revocation/parse-rule.ts';
import { RevocationReader } from '../../src/revocation/reader.ts';
import { RevocationList } from '../../src/revocation/revocation-list.ts';
import type { RuleEvent } from '../../src/revocation/rule-event.ts';
import { type Lift, nameOfRule, type Rule } from '../../src/revocation/rule.ts';
import { readRuleText, writeRuleText } from '../../src/sources/decode/rule-text.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { temporaryFolder } from './journal/stage.ts';
import { named, POLICY, SECRET } from './stage.ts';

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
      const times = liftTimes(rule() ?? assert.fail('no rule'), nowMs);
      const { issuedBeforeMs, said: saidBefore } = times;
      const parsed = parseRule(
        { action: 'lift', claims: { sub: 'alice' }, issuedBefore: issuedBeforeMs, saidBefore },
        POLICY,
        nowMs,
      );
      assert.ok(parsed.action === 'lift');
      const lift = parsed.lifts[0] ?? assert.fail();
      const author = { by: 'root', reason: 'a mistake' };
      assert.equal(list.addLift(lift, 'operator', author), 'added');
      return lift;
    },
    /** What the timer does, all of it. */
    tick: (): void => {
      list.sweep();
      list.expireRules();
    },
    /** Latest `iat` in force that is denied, epoch milliseconds; -1: there is no rule. Table and records have to agree. */
    cutoff: (): number => {
      const known = rule()?.issuedBeforeMs ?? -1;
      const denied = (iat: number): boolean =>
        reader.revokedBy({
          ...named(),
          expiresAtMs: nowMs + HOUR,
          issuers: [],
          claims: { sub: 'alice', iat },
        }) === 'rule';
      assert.equal(denied(known < 0 ? 1e12 : known), known >= 0);
      assert.equal(denied(known < 0 ? 1e12 : known + 1), false);
      return known;
    },
    /** Whether a token of alice that was issued so long after the beginning is denied. */
    denies: (issuedMs: number): boolean =>
      reader.revokedBy({
        ...named(),
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
    pass(REMEMBERED_MS);
    list.expireRules();
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

  it('comes due also when it was said once and never again, also long after its rule has ended', async () => {
    for (const ahead of [10 * MINUTE, HOUR, LIFE / 2, 9 * LIFE]) {
      const { says, at, tick, denies, rule, list } = await gateway();
      says(BEGIN - HOUR);
      says(BEGIN + ahead, 'topic');
      at(ahead - 1);
      tick();
      assert.equal(denies(ahead - MINUTE), false);
      at(ahead);
      tick();
      assert.equal(rule()?.issuedBeforeMs, BEGIN + ahead);
      const { endsAtMs = 0 } = rule() ?? {};
      assert.ok(endsAtMs >= BEGIN + ahead + LIFE && endsAtMs < BEGIN + ahead + LIFE + HOUR);
      at(ahead + LIFE - MINUTE);
      tick();
      assert.equal(list.rulesSize, 1);
      at(ahead + LIFE + HOUR);
      tick();
      assert.deepEqual([list.rulesSize, [...list.everything()]], [0, []]);
    }
  });

  it('with an end of its own holds until the latest end that was said', async () => {
    const { take, at, tick, list } = await gateway();
    assert.equal(take({ issuedBefore: NEVER, endsAt: BEGIN + HOUR }), 'added');
    at(1_000);
    assert.equal(take({ issuedBefore: NEVER, endsAt: BEGIN + 1.4 * HOUR }), 'changed');
    assert.equal(take({ issuedBefore: NEVER, endsAt: BEGIN + HOUR }), 'same');
    at(1.4 * HOUR);
    tick();
    assert.equal(list.rulesSize, 1);
    at(1.5 * HOUR);
    tick();
    assert.equal(list.rulesSize, 0);
  });

  it('outlasts the tokens that it denies, whatever else is known of its rule', async () => {
    for (const before of [
      { issuedBefore: BEGIN - HOUR },
      { issuedBefore: NEVER, endsAt: BEGIN + 20 * HOUR },
      { issuedBefore: LAST },
    ]) {
      const { says, take, at, tick, rule } = await gateway();
      take(before);
      at(HOUR);
      says(NEVER);
      const takenMs = rule()?.heard?.find(({ saidMs }) => saidMs === NEVER)?.takenMs ?? 0;
      at(takenMs + LIFE - BEGIN);
      tick();
      assert.ok((rule()?.endsAtMs ?? 0) >= takenMs + LIFE, JSON.stringify(before));
    }
  });

  it('is no news either when it is said more rarely than tokens live', async () => {
    const { says, at, tick, denies, list } = await gateway();
    says(NEVER);
    for (let reading = 1; reading <= 9; reading++) {
      at(reading * 5 * LIFE);
      tick();
      assert.equal(list.rulesSize, 0);
      assert.equal(says(NEVER), 'added');
      assert.equal(denies(SKEW), true);
      assert.equal(denies(SKEW + 1), false, `a login, at reading ${reading}`);
    }
  });

  it('is remembered in bounded room: whoever says more denies more', async () => {
    const { says, pass, rule, denies, now } = await gateway();
    for (let i = 1; i <= 10 * MAX_HEARD; i++) {
      pass(1_000);
      says(NEVER + i);
      assert.equal(denies(now() - BEGIN), true);
    }
    const { heard = [] } = rule() ?? {};
    assert.equal(heard.length, MAX_HEARD + 1);
    assert.deepEqual(
      heard.filter(isFar).map(({ saidMs }) => saidMs),
      Array.from({ length: MAX_HEARD }, (_, i) => NEVER + 1 + i),
    );
  });
});

describe('the lift of a rule with such a cut-off', () => {
  it('lasts for as long as a store says it, and is forgotten when none does', async () => {
    const { says, at, lift, denies, list, pass } = await gateway();
    says(NEVER);
    at(MINUTE);
    const { endsAtMs } = lift();
    assert.ok(
      endsAtMs < BEGIN + REMEMBERED_MS + 2 * LIFE,
      'lifts for ever would fill the room for them',
    );
    assert.equal(denies(0), false);
    for (let reading = 0; reading < 40; reading++) {
      assert.equal(says(NEVER), 'lifted');
      assert.equal(denies(0), false);
      assert.equal(list.rulesSize, 0);
      pass(15 * LIFE);
      list.expireRules();
    }
    const lifts = [...list.everything()].filter(({ kind }) => kind === 'lift');
    assert.equal(lifts.length, 1);
    assert.ok(
      lifts[0]?.kind === 'lift' && lifts[0].by === 'root' && lifts[0].reason === 'a mistake',
    );
    pass(REMEMBERED_MS + 2 * LIFE);
    list.expireRules();
    assert.deepEqual([...list.everything()], []);
  });

  it('takes back nothing that is said of a moment after it, not even within the skew', async () => {
    const { says, at, lift, denies } = await gateway();
    says(NEVER);
    at(1_000);
    lift();
    at(2_000);
    assert.equal(says(BEGIN + 2_000, 'topic'), 'added');
    assert.equal(denies(2_000), true);
    assert.equal(denies(2_001), false);
  });

  it('takes back a cut-off that lies ahead within the skew', async () => {
    const { says, lift, denies, pass } = await gateway();
    says(BEGIN + SKEW);
    lift();
    assert.equal(denies(0), false);
    assert.equal(says(BEGIN + SKEW), 'lifted');
    pass(MINUTE);
    assert.equal(says(BEGIN + SKEW), 'lifted');
    assert.equal(says(BEGIN + SKEW - 1), 'added');
  });

  it('is refused when there is no room, and takes nothing back', async () => {
    const { list, says, denies, take } = await gateway();
    says(BEGIN);
    const endsAtMs = BEGIN + LIFE;
    for (let i = 0; i < 100_000; i++)
      list.addLift({ issuer: null, claims: [['sub', `${i}`]], issuedBeforeMs: 1, endsAtMs }, 's');
    assert.equal(take({ action: 'lift', issuedBefore: BEGIN }), 'full');
    assert.equal(denies(0), true);
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

  it('holds at another gateway, which heard it at another time, and leaves there what the first one has not heard', async () => {
    const here = await gateway();
    const there = await gateway();
    here.says(NEVER);
    there.says(LAST, 'its own store');
    there.at(HOUR);
    there.says(NEVER);
    here.at(2 * HOUR);
    there.at(2 * HOUR);
    const { text } = writeRuleText({ action: 'lift', rule: here.lift() });
    const reading = readRuleText(text);
    assert.ok(reading?.kind === 'rule');
    assert.equal(there.denies(HOUR), true);
    assert.equal(there.take(reading.event), 'added');
    assert.equal(there.denies(HOUR), false);
    assert.equal(there.denies(SKEW), true, 'LAST is another revocation');
    assert.equal(there.take(reading.event), 'same', 'a store says lifts at each reading too');
    there.at(3 * HOUR);
    assert.equal(there.says(NEVER), 'lifted');
    assert.equal(there.says(LAST), 'same');
    assert.equal(there.denies(SKEW + 1), false);
    there.says(BEGIN + 3 * HOUR);
    assert.equal(there.denies(3 * HOUR), true);
  });

  it('leaves a later logout in force at a gateway that hears everything late, in whatever order', async () => {
    const here = await gateway();
    here.says(NEVER);
    here.at(10 * MINUTE);
    const { text } = writeRuleText({ action: 'lift', rule: here.lift() });
    const reading = readRuleText(text);
    assert.ok(reading?.kind === 'rule');
    const { event } = reading;
    for (const order of ['F lift R', 'F R lift', 'R F lift', 'lift F R', 'R lift F', 'lift R F']) {
      const there = await gateway();
      there.at(2 * HOUR);
      for (let reading = 0; reading < 3; reading++) {
        for (const which of order.split(' ')) {
          if (which === 'lift') there.take(event);
          else there.says(which === 'F' ? NEVER : BEGIN + HOUR);
        }
        assert.equal(there.cutoff(), BEGIN + HOUR, order);
        there.pass(MINUTE);
      }
    }
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

  it('with a cut-off in the future of its own takes back that one, and nothing else', async () => {
    const { says, at, take, denies } = await gateway();
    says(BEGIN);
    says(NEVER);
    assert.equal(take({ action: 'lift', issuedBefore: NEVER }), 'added');
    assert.equal(denies(0), true);
    assert.equal(denies(1), false);
    at(HOUR);
    assert.equal(take({ action: 'lift', issuedBefore: NEVER }), 'same');
    assert.equal(says(NEVER), 'lifted');
    says(BEGIN + HOUR);
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

describe('what was heard of a rule', () => {
  const times = fc.integer({ min: 1, max: 60 });
  /** Near and far ones; what is said is one of as many as are remembered. */
  const heard: fc.Arbitrary<readonly HeardCutoff[]> = fc.array(
    fc
      .tuple(fc.integer({ min: 1, max: MAX_HEARD }), times)
      .map(([said, taken]) =>
        taken >= said * 4
          ? { saidMs: said * 4, takenMs: said * 4 }
          : { saidMs: said * 4, takenMs: taken, endsAtMs: said * 4 + 9 },
      ),
    { minLength: 1, maxLength: 20 },
  );
  const rule = { issuer: 'i', claims: [] };

  it('does not depend on order, merges or repetition', () => {
    fc.assert(
      fc.property(heard, heard, heard, times, (a, b, c, cutoff) => {
        const all = combineHeard(a, [...b, ...c]);
        assert.deepEqual(combineHeard(combineHeard(c, a), b), all);
        assert.deepEqual(combineHeard(all, a), all);
        const said = (list: readonly HeardCutoff[]) => list.map(({ saidMs = 0 }) => saidMs);
        const greater = [...new Set(said([...a, ...b]))].filter((each) => each > cutoff);
        assert.deepEqual(
          combineSaid(said(a), said(b), cutoff),
          greater.sort((left, right) => right - left),
        );
      }),
    );
  });

  it('is bounded; what does not fit keeps its cut-off', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(times, times), { minLength: 1, maxLength: 90 }), (pairs) => {
        const all = pairs.map(([said, taken]) => ({
          saidMs: said,
          takenMs: Math.min(said, taken),
        }));
        const kept = combineHeard(all, []);
        assert.ok(kept.length <= MAX_HEARD + 1);
        const cutoff = Math.max(...all.map(({ takenMs }) => takenMs));
        assert.equal(ruleOf(rule, kept, 1).issuedBeforeMs, cutoff);
        // The greatest cut-off takes nothing from those that are taken back.
        const { issuedBeforeMs, said } = liftTimes(ruleOf(rule, kept, 1), cutoff);
        assert.ok(issuedBeforeMs <= cutoff && said.length <= MAX_LIFTED);
      }),
    );
    const many = Array.from({ length: 2 * MAX_LIFTED }, (_, i) => i + 10);
    assert.deepEqual(combineSaid(many, [], 0).length, MAX_LIFTED);
  });

  it('and lifted is the same for records of the journal in any order', () => {
    const records = fc.array(
      fc.oneof(
        heard.map((list): RuleRecord => ({
          kind: 'rule',
          rule: ruleOf(rule, combineHeard(list, []), 99),
          source: 's',
          learntAtMs: 1,
        })),
        fc
          .tuple(fc.nat(70), fc.array(times, { maxLength: 5 }))
          .map(([issuedBeforeMs, said]): LiftRecord => ({
            kind: 'lift',
            lift: { ...rule, issuedBeforeMs, endsAtMs: 9, ...(said.length > 0 && { said }) },
            source: 's',
            atMs: 1,
            by: '',
            reason: '',
          })),
      ),
      { minLength: 1, maxLength: 6 },
    );
    const bookOf = (list: readonly (RuleRecord | LiftRecord)[]) => {
      const book = new RuleBook();
      for (const each of list)
        if (each.kind === 'rule') book.rule(each);
        else book.lift(each);
      return book;
    };
    fc.assert(
      fc.property(records, (list) => {
        const book = bookOf(list);
        const left = [...book.rules()].map(([, each]) => each.rule);
        assert.deepEqual(
          [...bookOf(list.toReversed()).rules()].map(([, each]) => each.rule),
          left,
        );
        const lifts = list.filter((each) => each.kind === 'lift');
        const isLifted = ({ saidMs = 0 }: HeardCutoff): boolean =>
          lifts.some(
            ({ lift }) => saidMs <= lift.issuedBeforeMs || lift.said?.includes(saidMs) === true,
          );
        const rules = list.filter((each) => each.kind === 'rule');
        const expected = rules
          .flatMap((each) => heardOf(each.rule))
          .filter((each) => !isLifted(each));
        assert.equal(
          left[0]?.issuedBeforeMs ?? -1,
          Math.max(-1, ...expected.map(({ takenMs }) => takenMs)),
        );
        // The lifts end before the rules, and leave nothing behind that they took back.
        book.forget(50);
        assert.deepEqual([...book.lifts()], []);
        assert.deepEqual(
          [...book.rules()].map(([, each]) => each.rule),
          left,
        );
      }),
    );
  });
});

/** Something that a gateway hears: a cut-off, or a lift as another gateway published it. */
type Said =
  | { readonly action: 'revoke'; readonly saidMs: number }
  | { readonly action: 'lift'; readonly issuedBeforeMs: number; readonly said: readonly number[] };

/** Keeps everything that was ever said, and when it was first heard. */
class Model {
  readonly #heard = new Map<number, number>();
  readonly #lifts: Extract<Said, { action: 'lift' }>[] = [];

  hear(event: Said, nowMs: number): void {
    if (event.action === 'lift') this.#lifts.push(event);
    else this.#take(event.saidMs, nowMs + SKEW);
  }

  tick(nowMs: number): void {
    for (const saidMs of this.#heard.keys()) if (saidMs <= nowMs) this.#take(saidMs, nowMs);
  }

  cutoff(): number {
    let cutoffMs = -1;
    for (const [saidMs, takenMs] of this.#heard)
      if (!this.#isLifted(saidMs)) cutoffMs = Math.max(cutoffMs, takenMs);
    return cutoffMs;
  }

  /** The first hearing counts until the time has come. */
  #take(saidMs: number, untilMs: number): void {
    if (saidMs <= untilMs) this.#heard.set(saidMs, saidMs);
    else if (!this.#heard.has(saidMs)) this.#heard.set(saidMs, untilMs);
  }

  #isLifted(saidMs: number): boolean {
    return this.#lifts.some(
      ({ issuedBeforeMs, said }) => saidMs <= issuedBeforeMs || said.includes(saidMs),
    );
  }
}

describe('rules and lifts, next to a model that keeps everything that was ever said', () => {
  type Gateway = Awaited<ReturnType<typeof gateway>>;

  const hear = (at: Gateway, event: Said): void => {
    if (event.action === 'revoke') at.says(event.saidMs);
    else at.take({ action: 'lift', issuedBefore: event.issuedBeforeMs, saidBefore: event.said });
  };
  /** Few of them, so that they come back; some come due within the time of a run, some at once. */
  const saidMs = fc.integer({ min: -6, max: 8 }).map((at) => BEGIN + at * 20 * MINUTE);
  const event: fc.Arbitrary<Said> = fc.oneof(
    { weight: 3, arbitrary: fc.record({ action: fc.constant('revoke' as const), saidMs }) },
    {
      weight: 1,
      arbitrary: fc.record({
        action: fc.constant('lift' as const),
        issuedBeforeMs: fc.integer({ min: -7, max: 0 }).map((at) => BEGIN + at * 20 * MINUTE),
        said: fc.array(saidMs, { maxLength: 3 }),
      }),
    },
  );

  it('come to the same in any order, said once or often', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc
          .array(event, { minLength: 1, maxLength: 12 })
          .chain((events) =>
            fc.tuple(
              fc.shuffledSubarray([...events, ...events], { minLength: events.length * 2 }),
              fc.constant(events),
            ),
          ),
        async ([shuffled, events]) => {
          const model = new Model();
          for (const each of events) model.hear(each, BEGIN);
          for (const order of [events, events.toReversed(), shuffled]) {
            const there = await gateway();
            for (const each of order) hear(there, each);
            assert.equal(there.cutoff(), model.cutoff());
          }
        },
      ),
    );
  });

  it('come to the same whenever they are heard, lifted or come due', async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: event },
      { weight: 3, arbitrary: fc.nat(40).map((minutes) => ({ action: 'pass' as const, minutes })) },
      { weight: 1, arbitrary: fc.constant({ action: 'operator' as const }) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 30 }),
        fc.array(fc.nat(1_000), { minLength: 40, maxLength: 40 }),
        async (steps, order) => {
          const here = await gateway();
          const model = new Model();
          const published: Said[] = [];
          for (const each of steps) {
            if (each.action === 'pass') {
              here.pass(each.minutes * MINUTE);
              here.tick();
              model.tick(here.now());
            } else if (each.action === 'operator') {
              if (here.rule() === undefined) continue;
              const { issuedBeforeMs, said = [] } = here.lift();
              published.push({ action: 'lift', issuedBeforeMs, said });
              model.hear({ action: 'lift', issuedBeforeMs, said }, here.now());
              assert.equal(here.cutoff(), -1, 'an operator takes back all there is');
            } else {
              published.push(each);
              hear(here, each);
              model.hear(each, here.now());
            }
            assert.equal(here.cutoff(), model.cutoff());
          }
          // A gateway that is new reads all of it now, as its store sorts it.
          const there = await gateway();
          there.at(here.now() - BEGIN);
          const late = new Model();
          for (const each of published.toSorted(
            (left, right) =>
              (order[published.indexOf(left)] ?? 0) - (order[published.indexOf(right)] ?? 0),
          )) {
            hear(there, each);
            late.hear(each, there.now());
          }
          assert.equal(there.cutoff(), late.cutoff());
          assert.ok(late.cutoff() >= model.cutoff(), 'what is heard late denies more, never less');
        },
      ),
    );
  });
});

describe('a journal with cut-offs that were heard', () => {
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
        rule: ({ rule }) => found.push(rule.heard),
        lift: ({ lift }) => found.push(lift.said),
      });
      return whole ? found : undefined;
    };
    assert.deepEqual(read('rule', {}), [undefined]);
    assert.deepEqual(read('lift', {}), [undefined]);
    const heard = [{ saidMs: 5, takenMs: 4, endsAtMs: 9 }, { takenMs: 3 }];
    assert.deepEqual(read('rule', { heard }), [heard]);
    assert.deepEqual(read('lift', { said: [5] }), [[5]]);
    for (const bad of [
      null,
      5,
      [],
      [5],
      [{}],
      [{ saidMs: 5 }],
      [{ takenMs: '4' }],
      [[5, 4]],
      [null],
    ])
      assert.equal(read('rule', { heard: bad }), undefined, JSON.stringify(bad));
    for (const member of ['saidMs', 'endsAtMs'])
      assert.equal(read('rule', { heard: [{ takenMs: 4, [member]: '5' }] }), undefined);
    for (const said of [null, 5, ['5'], [[5]], [null]])
      assert.equal(read('lift', { said }), undefined, JSON.stringify(said));
  });

  it('remembers a cut-off of the future whose rule ended long before the restart', async (t) => {
    for (const merged of [false, true]) {
      const folder = temporaryFolder(t);
      {
        await using first = await gateway(folder);
        first.at(-5 * LIFE);
        first.says(NEVER);
        await first.journal?.durable();
        if (merged) await first.journal?.snapshot();
      }
      await using second = await gateway(folder);
      assert.equal(second.list.rulesSize, 0);
      assert.ok(second.list.state.forgottenUntilMs > BEGIN - 4 * LIFE, 'no clock revives a token');
      assert.equal(second.says(NEVER), 'added');
      assert.equal(second.denies(-5 * LIFE + SKEW), true);
      assert.equal(second.denies(-5 * LIFE + SKEW + 1), false);
    }
  });

  it('knows who lifted and why after a restart, also when it is written once more', async (t) => {
    const folder = temporaryFolder(t);
    {
      await using first = await gateway(folder);
      first.says(NEVER);
      first.lift();
      await first.journal?.durable();
    }
    await using second = await gateway(folder);
    const [lift] = [...second.list.everything()];
    assert.ok(lift?.kind === 'lift');
    assert.deepEqual([lift.source, lift.by, lift.reason], ['operator', 'root', 'a mistake']);
    assert.equal(lift.atMs, BEGIN);
  });

  it('has a name of its own in no rule: a rule is the same with it and without', () => {
    const bare = { issuer: null, claims: [['sub', 'a']] as const };
    const heard = { ...bare, heard: [{ saidMs: 2, takenMs: 1 }] };
    assert.equal(nameOfRule(heard), nameOfRule(bare));
  });
});
