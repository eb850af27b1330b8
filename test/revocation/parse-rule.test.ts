import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { claimText, parseRule, ruleKindOf } from '../../src/revocation/parse-rule.ts';
import type { SourcePolicy } from '../../src/revocation/revocation.ts';
import { nameOfRule, type Rule, type RuleKind } from '../../src/revocation/rule.ts';
import type { RuleEvent } from '../../src/revocation/rule-event.ts';

const NOW = Date.parse('2026-11-22T12:00:00Z');
const HOUR = 3_600_000;
const LIFE = 24 * HOUR;
const SKEW = 60_000;
const KINDS: readonly RuleKind[] = ['subject', 'session', 'client', 'issuer', 'claims', 'lift'];

function policy(change: Partial<SourcePolicy> = {}): SourcePolicy {
  return {
    ttlUnit: 'auto',
    longestTokenLifeMs: LIFE,
    rules: new Set(KINDS),
    clockSkewMs: SKEW,
    ...change,
  };
}

function event(change: Partial<Record<keyof RuleEvent, unknown>> = {}): RuleEvent {
  return {
    action: 'revoke',
    claims: { sub: 'alice' },
    issuedBefore: NOW,
    ...change,
  } as RuleEvent;
}

function ruleOf(change?: Partial<Record<keyof RuleEvent, unknown>>, from?: 'operator'): Rule {
  const parsed = parseRule(event(change), policy(), NOW, from);
  assert.equal(parsed.action, 'revoke', JSON.stringify(parsed));
  assert.ok(parsed.action === 'revoke');
  const [rule, ...more] = parsed.rules;
  assert.ok(rule !== undefined && more.length === 0);
  return rule;
}

function refusalOf(
  change: Partial<Record<keyof RuleEvent, unknown>>,
  from?: 'operator',
  sourcePolicy = policy(),
): string {
  const parsed = parseRule(event(change), sourcePolicy, NOW, from);
  assert.ok(parsed.action === 'refuse', JSON.stringify(parsed));
  assert.match(parsed.refused, /^[\w ,'()-]{3,80}$/);
  return `${parsed.field}: ${parsed.refused}`;
}

describe('rule event', () => {
  it('becomes a rule that holds for a longest token life after its cut-off', () => {
    assert.deepEqual(ruleOf(), {
      issuer: null,
      claims: [['sub', 'alice']],
      issuedBeforeMs: NOW,
      endsAtMs: NOW + LIFE,
    });
    assert.deepEqual(ruleOf({ issuer: 'https://idp', claims: { sid: 's', aud: 'a' } }), {
      issuer: 'https://idp',
      claims: [
        ['aud', 'a'],
        ['sid', 's'],
      ],
      issuedBeforeMs: NOW,
      endsAtMs: NOW + LIFE,
    });
  });

  it('is of the kind of what it names', () => {
    const kind = (claims: Record<string, string>, issuer?: string): string =>
      ruleKindOf(ruleOf({ claims, ...(issuer !== undefined && { issuer }) }));
    assert.equal(kind({ sub: 'a' }), 'subject');
    assert.equal(kind({ sub: 'a' }, 'i'), 'subject');
    assert.equal(kind({ sid: 'a' }), 'session');
    assert.equal(kind({ client: 'a' }), 'client');
    assert.equal(kind({}, 'i'), 'issuer');
    assert.equal(kind({ client_id: 'a' }), 'claims');
    assert.equal(kind({ sub: 'a', sid: 'b' }), 'claims');
  });

  it('has one name for one meaning, whatever order its claims came in', () => {
    const one = ruleOf({ claims: { b: '1', a: '2', iss: 'i' } });
    const other = ruleOf({ claims: { a: '2', b: '1' }, issuer: 'i' });
    assert.equal(nameOfRule(one), nameOfRule(other));
    assert.notEqual(nameOfRule(one), nameOfRule(ruleOf({ claims: { a: '2', b: '1' } })));
  });

  it('takes numbers and booleans as their JSON text, and nothing else but text', () => {
    assert.deepEqual(ruleOf({ claims: { a: 5, b: true, c: 0.5, d: 1e21 } }).claims, [
      ['a', '5'],
      ['b', 'true'],
      ['c', '0.5'],
      ['d', '1e+21'],
    ]);
    for (const value of [null, undefined, [], ['a'], {}, Number.NaN, Infinity, () => 'a'])
      assert.equal(
        refusalOf({ claims: { a: value } }),
        'claims: claim value is neither text, number nor boolean',
      );
  });

  it('refuses what names nothing', () => {
    assert.equal(refusalOf({ claims: {} }), 'claims: rule has no claim');
    assert.equal(refusalOf({ claims: { '': 'a' } }), 'claims: claim name is empty');
    assert.equal(refusalOf({ claims: { sub: '' } }), 'claims: claim value is empty');
    assert.equal(refusalOf({ issuer: '' }), 'issuer: issuer is empty');
    for (const claims of [undefined, null, 'sub', ['sub'], 5])
      assert.equal(refusalOf({ claims }), 'claims: claims are not names with values');
    for (const issuer of [5, {}, ['i']])
      assert.equal(refusalOf({ issuer }), 'issuer: issuer is not a text');
    const parsed = parseRule(event({ claims: { aud: 'a', sub: '' } }), policy(), NOW);
    assert.ok(parsed.action === 'refuse');
    assert.equal(parsed.claim, 'sub');
  });

  it('never takes an issuer rule for anything less, however it is written', () => {
    const limited = policy({
      rules: new Set<RuleKind>(['subject', 'session', 'client', 'claims']),
    });
    for (const change of [{ claims: {}, issuer: 'i' }, { claims: { iss: 'i' } }])
      assert.equal(
        refusalOf(change, undefined, limited),
        'kind: rules of this kind are not for this source',
      );
    assert.equal(
      refusalOf({ claims: { iss: 'i', sub: 'a' }, issuer: 'j' }),
      'issuer: issuer is not the one that the claim iss names',
    );
  });

  it('bounds names, values, issuers and their number, by bytes', () => {
    const most = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`c${i}`, 'v']));
    assert.equal(ruleOf({ claims: most }).claims.length, 8);
    assert.equal(ruleOf({ claims: { ...most, iss: 'i' } }).claims.length, 8);
    assert.equal(refusalOf({ claims: { ...most, c9: 'v' } }), 'claims: rule has too many claims');
    const full = 'x'.repeat(1024);
    assert.deepEqual(ruleOf({ claims: { [full]: full }, issuer: full }).claims, [[full, full]]);
    for (const long of [`${full}x`, 'é'.repeat(513), 'x'.repeat(1_000_000)]) {
      assert.equal(refusalOf({ claims: { [long]: 'a' } }), 'claims: claim name is too long');
      assert.equal(refusalOf({ claims: { sub: long } }), 'claims: claim value is too long');
      assert.equal(refusalOf({ issuer: long }), 'issuer: issuer is too long');
    }
  });

  it('compares exact bytes: every awkward text is itself and nothing else', () => {
    const awkward = [
      'a',
      ' a',
      'a ',
      'A',
      'a\u0000b',
      'a/b',
      'caf\u00e9',
      'cafe\u0301',
      '__proto__',
      '\ud800',
      '\udfff',
      '\ufffd',
      '\\ud800',
      '"',
      "','",
    ];
    const names = awkward.flatMap((text) => [
      nameOfRule(ruleOf({ claims: { sub: text } })),
      nameOfRule(ruleOf({ claims: JSON.parse(`{${JSON.stringify(text)}:"v"}`) as object })),
    ]);
    assert.equal(new Set(names).size, names.length);
  });

  it('keeps to the kinds and the issuers that its source may revoke', () => {
    const limited = policy({ rules: new Set<RuleKind>(['subject']) });
    assert.equal(parseRule(event(), limited, NOW).action, 'revoke');
    for (const change of [
      { claims: { sid: 's' } },
      { claims: { client: 'c' } },
      { claims: { x: '1' } },
    ])
      assert.match(refusalOf(change, undefined, limited), /^kind: /);
    // To take a rule back one needs the right to both.
    assert.match(refusalOf({ action: 'lift' }, undefined, limited), /^kind: /);
    const lifting = policy({ rules: new Set<RuleKind>(['subject', 'lift']) });
    assert.equal(parseRule(event({ action: 'lift' }), lifting, NOW).action, 'lift');
    assert.match(
      refusalOf({ action: 'lift', claims: { sid: 's' } }, undefined, lifting),
      /^kind: /,
    );

    const issuers = policy({ issuers: ['i', 'j'] });
    assert.equal(
      refusalOf({ issuer: 'k' }, undefined, issuers),
      'issuer: issuer is not for this source to revoke',
    );
    const parsed = parseRule(event(), issuers, NOW);
    assert.ok(parsed.action === 'revoke');
    assert.deepEqual(
      parsed.rules.map(({ issuer }) => issuer),
      ['i', 'j'],
    );
    assert.match(refusalOf({ claims: {} }, undefined, issuers), /^claims: /);
  });
});

describe('times of a rule event', () => {
  it('are read in seconds and in milliseconds, as numbers and as text', () => {
    for (const time of [NOW, NOW / 1000, String(NOW), ` ${NOW / 1000} `, BigInt(NOW)])
      assert.equal(ruleOf({ issuedBefore: time }).issuedBeforeMs, NOW);
    assert.equal(ruleOf({ issuedBefore: NOW / 1000 - 0.25 }).issuedBeforeMs, NOW - 250);
    assert.equal(ruleOf({ issuedBefore: NOW - 0.5 }).issuedBeforeMs, NOW);
  });

  it('without a usable cut-off there is no rule', () => {
    for (const time of [
      undefined,
      null,
      '',
      'now',
      '0x10',
      '1e12',
      -1,
      0,
      Number.NaN,
      Infinity,
      true,
      {},
      [],
    ])
      assert.equal(
        refusalOf({ issuedBefore: time }),
        'issuedBefore: cut-off is not a time',
        inspect(time),
      );
  });

  it('from a source a cut-off in the future is brought to now and the skew, from an operator it is refused', () => {
    for (const far of [NOW + SKEW + 1, NOW + 365 * LIFE, 1e20, 9e11]) {
      const rule = ruleOf({ issuedBefore: far });
      assert.equal(rule.issuedBeforeMs, NOW + SKEW);
      // What was said is kept beside it: the same again is no news.
      const said = far === 9e11 ? 9e14 : Math.min(far, 8.64e15);
      assert.deepEqual(rule.heard, [{ saidMs: said, takenMs: NOW + SKEW, endsAtMs: said + LIFE }]);
      assert.equal(rule.endsFromNow, true);
      assert.equal(
        refusalOf({ issuedBefore: far }, 'operator'),
        'issuedBefore: cut-off is in the future',
      );
    }
    const near = ruleOf({ issuedBefore: NOW + SKEW }, 'operator');
    assert.equal(near.issuedBeforeMs, NOW + SKEW);
    assert.equal(near.heard, undefined);
    assert.equal(near.endsFromNow, undefined);
  });

  it('an end counts where it makes sense, and never beyond the longest token life', () => {
    assert.equal(ruleOf({ endsAt: NOW + HOUR }).endsAtMs, NOW + HOUR);
    assert.equal(ruleOf({ endsAt: (NOW + HOUR) / 1000 }, 'operator').endsAtMs, NOW + HOUR);
    for (const from of [undefined, 'operator'] as const)
      assert.equal(ruleOf({ endsAt: NOW + 2 * LIFE }, from).endsAtMs, NOW + LIFE);
    const old = { issuedBefore: NOW - 2 * HOUR };
    for (const endsAt of ['soon', {}, 0, -5, NOW - 3 * HOUR, NOW - 2 * HOUR, NOW - HOUR])
      assert.equal(ruleOf({ ...old, endsAt }).endsAtMs, NOW - 2 * HOUR + LIFE, inspect(endsAt));
    assert.equal(refusalOf({ ...old, endsAt: 'soon' }, 'operator'), 'endsAt: end is not a time');
    assert.equal(
      refusalOf({ ...old, endsAt: NOW - 2 * HOUR }, 'operator'),
      'endsAt: end is not after the cut-off',
    );
    assert.equal(refusalOf({ ...old, endsAt: NOW - HOUR }, 'operator'), 'endsAt: end has passed');
  });

  it('an end is that of a cut-off in the future too: from now on, and once its time has come', () => {
    const far = NOW + HOUR;
    for (const [endsAt, end, once] of [
      [NOW + SKEW + 1, NOW + SKEW + 1, far + LIFE],
      [NOW + 2 * HOUR, NOW + 2 * HOUR, NOW + 2 * HOUR],
      [NOW + 9 * LIFE, NOW + SKEW + LIFE, far + LIFE],
    ] as const) {
      const rule = ruleOf({ issuedBefore: far, endsAt });
      assert.equal(rule.endsAtMs, end);
      assert.equal(rule.heard?.[0]?.endsAtMs, once);
      assert.equal(rule.endsFromNow, undefined);
    }
    assert.equal(ruleOf({ issuedBefore: far, endsAt: NOW - 1 }).endsFromNow, true);
  });

  it('a rule that can deny no living token any more is neither kept nor wrong', () => {
    const long = NOW - LIFE - 3 * SKEW - 60_000;
    assert.deepEqual(parseRule(event({ issuedBefore: long }), policy(), NOW), { action: 'ended' });
    assert.equal(ruleOf({ issuedBefore: long + 1 }).issuedBeforeMs, long + 1);
    assert.match(refusalOf({ issuedBefore: long }, 'operator'), /^issuedBefore: .*so old/);
  });

  it('a lift outlasts every rule that it is for, whatever end it says', () => {
    for (const endsAt of [undefined, NOW + 1, 'never']) {
      const parsed = parseRule(event({ action: 'lift', endsAt }), policy(), NOW);
      assert.ok(parsed.action === 'lift');
      assert.deepEqual(parsed.lifts, [
        {
          issuer: null,
          claims: [['sub', 'alice']],
          issuedBeforeMs: NOW,
          endsAtMs: NOW + LIFE + 3 * SKEW + 60_000,
        },
      ]);
    }
    // One with a cut-off of next year would make its subject unrevokable until then.
    const far = parseRule(event({ action: 'lift', issuedBefore: NOW + LIFE }), policy(), NOW);
    assert.ok(far.action === 'lift' && far.lifts[0]?.issuedBeforeMs === 1e12);
    assert.deepEqual(far.lifts[0].said, [NOW + LIFE]);
  });

  it('a lift takes what was said in the future, in bounded number and for a bounded time', () => {
    const liftOf = (saidBefore: unknown) => {
      const parsed = parseRule(event({ action: 'lift', saidBefore }), policy(), NOW);
      assert.ok(parsed.action === 'lift');
      return parsed.lifts[0] ?? assert.fail();
    };
    const extra = LIFE + 3 * SKEW + 60_000;
    assert.deepEqual(liftOf([String(NOW + HOUR), NOW + 2 * HOUR, 'soon', NOW - 1, null]).said, [
      NOW + 2 * HOUR,
      NOW + HOUR,
    ]);
    assert.equal(liftOf([NOW + HOUR]).endsAtMs, NOW + HOUR + extra);
    assert.equal(liftOf([8.64e15]).endsAtMs, NOW + 30 * LIFE + extra);
    assert.equal(liftOf(Array.from({ length: 100 }, (_, i) => NOW + HOUR + i)).said?.length, 64);
    for (const none of [undefined, null, 'x', {}, [], [NOW], ['soon']])
      assert.equal(liftOf(none).said, undefined, inspect(none));
    // One that is older than any token is wanted for as long as the store may say what it is about.
    const old = { action: 'lift', issuedBefore: NOW - 3 * LIFE };
    assert.equal(parseRule(event(old), policy(), NOW).action, 'ended');
    const needed = event({ ...old, saidBefore: [NOW + HOUR] });
    assert.equal(parseRule(needed, policy(), NOW).action, 'lift');
  });

  it('never throws, and what it makes is always within its bounds', () => {
    const anything = fc.anything({ withBigInt: true, withNullPrototype: true });
    fc.assert(
      fc.property(
        fc.oneof(anything, fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer()))),
        fc.oneof(anything, fc.integer({ min: 0, max: 4e12 })),
        anything,
        fc.option(fc.string(), { nil: undefined }),
        fc.constantFrom('source' as const, 'operator' as const),
        (claims, issuedBefore, endsAt, issuer, from) => {
          const parsed = parseRule(
            event({ claims, issuedBefore, endsAt, issuer }),
            policy(),
            NOW,
            from,
          );
          if (parsed.action !== 'revoke') return;
          for (const rule of parsed.rules) {
            assert.ok(rule.issuedBeforeMs > 0 && rule.issuedBeforeMs <= NOW + SKEW);
            assert.ok(Number.isSafeInteger(rule.issuedBeforeMs));
            assert.ok(Number.isSafeInteger(rule.endsAtMs));
            assert.ok(rule.endsAtMs <= rule.issuedBeforeMs + LIFE);
            assert.ok(rule.endsAtMs > rule.issuedBeforeMs);
            assert.ok(rule.claims.length <= 8);
            assert.ok(rule.claims.length > 0 || rule.issuer !== null);
            for (const [name, value] of rule.claims) assert.ok(name !== '' && value !== '');
          }
        },
      ),
    );
  });

  it('the text of a claim is the same on both sides', () => {
    assert.equal(claimText('x'), 'x');
    assert.equal(claimText(17), claimText('17'));
    assert.equal(claimText(null), undefined);
  });
});
