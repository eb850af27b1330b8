import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Entry, Request, Result } from '../../check/history.ts';
import { validate, type Rules, type ValidatorName } from '../../check/validators.ts';

const RULES: Rules = {
  members: [
    { name: 'a', media: ['etcd'] },
    { name: 'b', media: ['etcd'] },
    { name: 'c', media: ['broker'] },
  ],
  boundMs: 2_000,
  ownBoundMs: 0,
  agreementMs: 10_000,
  clockStepMs: 600_000,
  least: { ok: 1, denied: 1, afterBound: 1, faults: { cut: 1 }, channels: ['etcd'] },
  growth: { rssBytes: 1_000, share: 0.1, descriptors: 2 },
};

const HOUR = 3_600_000;

function request(
  gateway: string,
  token: string,
  at: number,
  result: Result,
  client = 'client',
): Request {
  const answer = { ok: 200, denied: 401, unavailable: 503, unknown: 'ECONNRESET' }[result];
  return {
    type: 'request',
    client,
    gateway,
    token,
    tStart: at,
    tEnd: at + 5,
    result,
    answer,
    connection: 'fresh',
  };
}

/** `t1` is revoked at 1000 in the store and at 1500 on the topic, `t2` never; everything is as it has to be. */
function good(): Entry[] {
  return [
    ...['a', 'b', 'c'].map((gateway): Entry => sample(gateway, 'baseline', 50_000, 20)),
    { type: 'issued', at: 0, token: 't1', expiresAt: HOUR },
    { type: 'issued', at: 0, token: 't2', expiresAt: HOUR },
    request('a', 't1', 900, 'ok'),
    {
      type: 'revoke',
      channel: 'etcd',
      token: 't1',
      tStart: 990,
      tEnd: 1_000,
      result: 'ok',
    },
    { type: 'visible', at: 1_000, token: 't1', medium: 'etcd' },
    { type: 'visible', at: 1_500, token: 't1', medium: 'broker' },
    // Within the bound.
    request('a', 't1', 2_900, 'ok'),
    request('a', 't1', 3_100, 'denied'),
    request('b', 't1', 3_100, 'unavailable'),
    request('c', 't1', 3_400, 'ok'),
    ...['a', 'b', 'c'].flatMap((gateway) => [
      request(gateway, 't2', 900, 'ok'),
      request(gateway, 't1', 4_900, 'denied'),
    ]),
    { type: 'fault', kind: 'cut', target: 'b', tStart: 2_000, tEnd: 4_000 },
    { type: 'healed', at: 5_000 },
    ...['a', 'b', 'c'].flatMap((gateway) => [
      request(gateway, 't1', 6_000, 'denied', 'probe'),
      request(gateway, 't2', 6_000, 'ok', 'probe'),
    ]),
    ...['a', 'b', 'c'].map((gateway): Entry => sample(gateway, 'end', 50_500, 21)),
  ];
}

function sample(
  gateway: string,
  when: 'baseline' | 'end',
  rssBytes: number,
  descriptors: number,
): Entry {
  return { type: 'sample', at: 0, gateway, when, rssBytes, descriptors };
}

function failed(entries: readonly Entry[], rules = RULES): ValidatorName[] {
  return validate(entries, rules).map(({ validator }) => validator);
}

describe('a good run', () => {
  it('passes', () => assert.deepEqual(validate(good(), RULES), []));
});

describe('V0, enough happened', () => {
  for (const [what, least] of Object.entries({
    admitted: { ok: 1_000 },
    denied: { denied: 1_000 },
    'after the bound': { afterBound: 1_000 },
    faults: { faults: { cut: 2 } },
    'another kind of fault': { faults: { kill: 1 } },
    channels: { channels: ['etcd', 'operator'] },
  }))
    it(`fails for too few: ${what}`, () =>
      assert.deepEqual(failed(good(), { ...RULES, least: { ...RULES.least, ...least } }), ['V0']));

  it('fails for one member that was closed until the last look, whatever the others did', () => {
    const closed = good().map((entry) =>
      entry.type === 'request' && entry.gateway === 'c' && entry.client !== 'probe'
        ? ({ ...entry, result: 'unavailable', answer: 503 } as const)
        : entry,
    );
    assert.deepEqual(failed(closed), ['V0']);
  });

  it('does not count a revocation whose outcome is unknown', () => {
    const entries = good().map((entry) =>
      entry.type === 'revoke' ? ({ ...entry, result: 'unknown' } as const) : entry,
    );
    assert.deepEqual(failed(entries), ['V0']);
  });
});

describe('V1, nothing revoked is admitted', () => {
  it('fails for a call that starts after the bound', () => {
    const violations = validate([...good(), request('b', 't1', 3_001, 'ok')], RULES);
    assert.deepEqual(
      violations.map(({ validator }) => validator),
      ['V1'],
    );
    assert.deepEqual(
      violations[0]?.excerpt.map(({ type }) => type),
      ['revoke', 'visible', 'request'],
    );
  });
  it('goes by what the gateway follows', () => {
    assert.deepEqual(failed([...good(), request('c', 't1', 3_499, 'ok')]), []);
    assert.deepEqual(failed([...good(), request('c', 't1', 3_501, 'ok')]), ['V1']);
  });
  it('binds the gateway whose operator was answered at once', () => {
    const own: Entry = { type: 'visible', at: 500, token: 't1', medium: 'gateway:a' };
    const begun = good().map((entry) =>
      entry.type === 'revoke' ? { ...entry, tStart: 400 } : entry,
    );
    assert.ok(failed([...begun, own]).includes('V1'));
    assert.deepEqual(failed([...good(), { ...own, medium: 'gateway:b' }]), []);
  });
  it('is not bound by what was lost, but by what came after', () => {
    const rules = { ...RULES, least: { ...RULES.least, afterBound: 0 } };
    const late = request('b', 't1', 3_001, 'ok');
    const lost = { type: 'lost', since: 1_001, at: 1_001, token: 't1', medium: 'etcd' } as const;
    assert.deepEqual(failed([...good(), lost, late], rules), []);
    const again: Entry = { type: 'visible', at: 1_002, token: 't1', medium: 'etcd' };
    assert.deepEqual(failed([...good(), lost, again, late], rules), []);
    const later = request('b', 't1', 3_003, 'ok');
    assert.deepEqual(failed([...good(), lost, again, later], rules), ['V1']);
    assert.deepEqual(failed([...good(), { ...lost, gateway: 'a' }, late], rules), ['V1']);
    assert.deepEqual(failed([...good(), { ...lost, gateway: 'b' }, late], rules), []);
  });
  it('is bound by what is lost until it may have been', () => {
    const lost = { type: 'lost', since: 4_000, at: 4_200, token: 't1', medium: 'etcd' } as const;
    assert.deepEqual(failed([...good(), lost]), ['V0']);
    const rules = { ...RULES, least: { ...RULES.least, afterBound: 0 } };
    assert.deepEqual(failed([...good(), lost, request('b', 't1', 3_001, 'ok')], rules), ['V1']);
    // Its answer came when the store was on its way out.
    assert.deepEqual(failed([...good(), lost, request('b', 't1', 3_996, 'ok')], rules), []);
    assert.deepEqual(failed([...good(), lost, request('b', 't1', 4_100, 'ok')], rules), []);
  });
  it('lets calls alone whose outcome is unknown', () =>
    assert.deepEqual(failed([...good(), request('b', 't1', 4_000, 'unknown')]), []));
});

describe('V2, denied never turns into admitted', () => {
  it('fails within the bound too', () => {
    assert.deepEqual(
      failed([...good(), request('b', 't1', 1_100, 'denied'), request('b', 't1', 1_200, 'ok')]),
      ['V2'],
    );
  });
  it('compares one gateway with itself', () => {
    assert.deepEqual(
      failed([...good(), request('a', 't1', 1_100, 'denied'), request('b', 't1', 1_200, 'ok')]),
      // `a` admits it again in the good run at 2900.
      ['V2'],
    );
    assert.deepEqual(
      failed([...good(), request('c', 't1', 2_800, 'denied'), request('b', 't1', 2_850, 'ok')]),
      ['V2'],
    );
    assert.deepEqual(
      failed([...good(), request('b', 't1', 2_850, 'ok'), request('b', 't1', 2_900, 'denied')]),
      [],
    );
  });
  it('does not take overlapping calls for a sequence', () => {
    const slow = { ...request('b', 't1', 1_100, 'ok'), tEnd: 2_000 };
    assert.deepEqual(failed([...good(), slow, request('b', 't1', 1_150, 'denied')]), []);
  });
  it('does not take a token for revoked that a stepped clock made look expired', () => {
    const entries: Entry[] = [
      ...good(),
      { type: 'issued', at: 0, token: 't3', expiresAt: 300_000 },
      ...['a', 'b', 'c'].map((gateway) => request(gateway, 't3', 6_000, 'ok', 'probe')),
      request('b', 't3', 1_100, 'denied'),
      request('b', 't3', 1_200, 'ok'),
    ];
    assert.deepEqual(failed(entries), ['V3']);
    const step: Entry = {
      type: 'fault',
      kind: 'clock-step',
      target: 'b',
      tStart: 1_000,
      tEnd: 1_150,
    };
    assert.deepEqual(failed([...entries, step]), []);
    assert.deepEqual(failed([...entries, { ...step, target: 'a' }]), ['V3']);
  });
});

describe('V3, what nobody revoked is not denied', () => {
  it('fails for a token that is never revoked', () =>
    assert.deepEqual(failed([...good(), request('a', 't2', 2_000, 'denied')]), ['V3']));
  it('fails for a token that is revoked only later', () =>
    assert.deepEqual(failed([...good(), request('b', 't1', 980, 'denied')]).slice(0, 1), ['V3']));
  it('takes 503 for what it is', () =>
    assert.deepEqual(failed([...good(), request('a', 't2', 2_000, 'unavailable')]), []));
});

describe('V4, all agree after healing', () => {
  const without = (gateway: string, token: string): Entry[] =>
    good().filter(
      (entry) =>
        !(
          entry.type === 'request' &&
          entry.client === 'probe' &&
          entry.gateway === gateway &&
          entry.token === token
        ),
    );

  it('fails for one that still admits what is revoked', () =>
    assert.ok(failed([...good(), request('b', 't1', 7_000, 'ok', 'probe')]).includes('V4')));
  it('fails for one that denies what is not', () =>
    assert.ok(failed([...good(), request('b', 't2', 7_000, 'denied', 'probe')]).includes('V4')));
  it('fails for one that is still not ready', () =>
    assert.deepEqual(
      failed([...good(), request('b', 't2', 7_000, 'unavailable', 'probe')]),
      // It, and the other one that differs from it.
      ['V4', 'V4'],
    ));
  it('fails for one that agrees too late', () => {
    const late = request('b', 't1', 15_001, 'denied', 'probe');
    assert.deepEqual(failed([...without('b', 't1'), late]), ['V4']);
  });
  it('fails for two with the same sources that differ on what nobody is sure of', () => {
    const unsure: Entry[] = [
      { type: 'issued', at: 0, token: 't3', expiresAt: HOUR },
      {
        type: 'revoke',
        channel: 'operator',
        token: 't3',
        tStart: 100,
        tEnd: 3_100,
        result: 'unknown',
      },
      request('a', 't3', 6_000, 'denied', 'probe'),
    ];
    const say = (gateway: string, result: Result): Entry =>
      request(gateway, 't3', 6_000, result, 'probe');
    assert.deepEqual(failed([...good(), ...unsure, say('b', 'denied'), say('c', 'ok')]), []);
    assert.deepEqual(failed([...good(), ...unsure, say('b', 'ok'), say('c', 'ok')]), ['V4', 'V4']);
  });
  it('asks nobody for what became visible only after the look, and everybody for what was before', () => {
    const outcome = (visibleAt: number): string[] =>
      failed([
        ...good(),
        { type: 'issued', at: 0, token: 't3', expiresAt: HOUR },
        {
          type: 'revoke',
          channel: 'service',
          token: 't3',
          tStart: 100,
          tEnd: 200,
          result: 'ok',
        },
        { type: 'visible', at: visibleAt, token: 't3', medium: 'broker' },
        ...['a', 'b', 'c'].map((gateway) => request(gateway, 't3', 6_000, 'ok', 'probe')),
      ]);
    assert.deepEqual(outcome(9_000), []);
    assert.ok(outcome(2_000).includes('V4'));
  });
  it('fails when nobody looked, or nothing was healed', () => {
    const unseen = good().filter(
      (entry) => !(entry.type === 'request' && entry.client === 'probe'),
    );
    assert.ok(failed(unseen).includes('V4'));
    assert.deepEqual(failed(without('c', 't2')), ['V4']);
    assert.ok(failed(good().filter(({ type }) => type !== 'healed')).includes('V4'));
  });
});

describe('V5, back to the baseline', () => {
  it('fails for memory', () =>
    assert.deepEqual(failed([...good(), sample('a', 'end', 60_001, 20)]), ['V5']));
  it('allows the larger of the two limits', () => {
    assert.deepEqual(failed([...good(), sample('a', 'end', 54_999, 20)]), []);
  });
  it('fails for descriptors', () =>
    assert.deepEqual(failed([...good(), sample('a', 'end', 50_000, 23)]), ['V5']));
  it('fails for one that was not measured', () =>
    assert.deepEqual(failed(good().filter(({ type }) => type !== 'sample')), ['V5', 'V5', 'V5']));
});
