import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { momentOf } from '../../src/revocation/freshness.ts';
import { parseRule } from '../../src/revocation/parse-rule.ts';
import type { RuleEvent } from '../../src/revocation/rule-event.ts';
import {
  keysOf,
  type TokenClaims,
  type TokenIdentity,
} from '../../src/revocation/token-identity.ts';
import { keysNamed, listAndReader, named, POLICY } from './stage.ts';

const NOW = Date.now();
const seconds = (ms: number): number => Math.floor(ms / 1_000);

function stage(options: Parameters<typeof listAndReader>[2] = {}) {
  const made = listAndReader({ latest: () => NOW, earliest: () => NOW }, 60_000, options);
  const take = (event: RuleEvent): void => {
    const parsed = parseRule(event, POLICY, NOW);
    if (parsed.action === 'revoke')
      for (const rule of parsed.rules) made.list.addRule(rule, 'test');
    else if (parsed.action === 'lift')
      for (const lift of parsed.lifts) made.list.addLift(lift, 'test');
    else assert.fail(parsed.action);
  };
  const revoke = (claims: Record<string, string>, issuedBefore: number, issuer?: string): void =>
    take({ action: 'revoke', claims, issuedBefore, ...(issuer === undefined ? {} : { issuer }) });
  return { ...made, take, revoke };
}

function tokenOf(claims: TokenClaims, issuer = 'https://a'): TokenIdentity {
  return { ...named(), expiresAtMs: NOW + 600_000, issuers: [issuer], claims };
}

describe('changes', () => {
  it('tell whoever was asked about before that a token may be denied by now', () => {
    const names = ['a', 'b', 'c'];
    const add = fc.record({
      kind: fc.constantFrom('token', 'stored', 'rule', 'stored rule', 'lift', 'prolong', 'sweep'),
      name: fc.constantFrom(...names),
      cutoff: fc.integer({ min: -200, max: 0 }),
    });
    fc.assert(
      fc.property(fc.array(add, { maxLength: 30 }), (operations) => {
        const { list, reader, revoke, take } = stage({ maxEntries: 6 });
        const tokens = names.flatMap((name) =>
          [-150, -50].map((iat) => ({
            ...tokenOf({ sub: name, iat: seconds(NOW) + iat }),
            ...named(name),
          })),
        );
        const denied = (): string[] => tokens.map((token) => String(reader.revokedBy(token)));
        let before = denied();
        for (const { kind, name, cutoff } of operations) {
          const { changes } = reader;
          const keys = keysNamed(name);
          const issuedBefore = NOW + cutoff * 1_000;
          const prints = list.fingerprintsOf(keys);
          const end = seconds(NOW) + 600;
          if (kind === 'token') list.addToken({ keys, endsAtMs: NOW + 600_000 }, 'test');
          else if (kind === 'stored') list.restoring.token(prints, 0, end);
          else if (kind === 'rule') revoke({ sub: name }, issuedBefore);
          else if (kind === 'lift') take({ action: 'lift', claims: { sub: name }, issuedBefore });
          else if (kind === 'prolong') list.prolong(prints, 0, NOW + 900_000);
          else if (kind === 'sweep') list.expireRules();
          else
            list.restoring.rule({
              kind: 'rule',
              rule: {
                issuer: null,
                claims: [['sub', name]],
                issuedBeforeMs: issuedBefore,
                endsAtMs: NOW + 600_000,
              },
              source: 'test',
              learntAtMs: NOW,
            });
          const after = denied();
          if (after.some((each, at) => each !== before[at]))
            assert.notEqual(reader.changes, changes);
          before = after;
        }
      }),
    );
  });

  it('do not come from what is known already', () => {
    const { list, reader, revoke } = stage();
    const revocation = { keys: keysNamed('x'), endsAtMs: NOW + 600_000 };
    list.addToken(revocation, 'test');
    revoke({ sub: 'alice' }, NOW);
    const { changes } = reader;
    list.addToken(revocation, 'test');
    revoke({ sub: 'alice' }, NOW);
    assert.equal(reader.changes, changes);
  });
});

describe('a rule', () => {
  it('denies what was issued up to its cut-off, and lets a new login pass', () => {
    const { reader, revoke } = stage();
    const old = tokenOf({ sub: 'alice', iat: seconds(NOW) - 100 });
    assert.equal(reader.revokedBy(old), undefined);
    revoke({ sub: 'alice' }, NOW - 50_000);
    assert.equal(reader.revokedBy(old), 'rule', 'though it was looked at before');
    assert.equal(reader.revokedBy(tokenOf({ sub: 'alice', iat: seconds(NOW) - 20 })), undefined);
    assert.equal(reader.revokedBy(tokenOf({ sub: 'bob', iat: seconds(NOW) - 100 })), undefined);
  });

  it('denies a token that does not say when it was issued', () => {
    const { reader, revoke } = stage();
    revoke({ sub: 'alice' }, NOW - 50_000);
    assert.equal(reader.revokedBy(tokenOf({ sub: 'alice' })), 'rule');
    assert.equal(reader.revokedBy(tokenOf({ sub: 'alice', iat: seconds(NOW) + 60 })), 'rule');
  });

  it('of one issuer leaves the tokens of others alone', () => {
    const { reader, revoke } = stage();
    revoke({ sub: 'alice' }, NOW, 'https://a');
    const claims = { sub: 'alice', iat: seconds(NOW) - 100 };
    assert.equal(reader.revokedBy(tokenOf(claims, 'https://a')), 'rule');
    assert.equal(reader.revokedBy(tokenOf(claims, 'https://b')), undefined);
  });

  it('matches an array by its members, and a conjunction by all its claims', () => {
    const { reader, revoke } = stage();
    revoke({ aud: 'orders', tenant: 't1' }, NOW);
    const iat = seconds(NOW) - 100;
    assert.equal(reader.revokedBy(tokenOf({ aud: ['x', 'orders'], tenant: 't1', iat })), 'rule');
    assert.equal(reader.revokedBy(tokenOf({ aud: ['x', 'orders'], tenant: 't2', iat })), undefined);
    assert.equal(reader.revokedBy(tokenOf({ aud: 'orders', iat })), undefined);
  });

  it('knows a client by any of its names, the configured one included', () => {
    const { reader, revoke } = stage({ consumerKeyClaims: ['app'] });
    revoke({ client: 'key-1' }, NOW);
    const iat = seconds(NOW) - 100;
    for (const name of ['client_id', 'azp', 'consumerKey', 'app'])
      assert.equal(reader.revokedBy(tokenOf({ [name]: 'key-1', iat })), 'rule', name);
    assert.equal(reader.revokedBy(tokenOf({ other: 'key-1', iat })), undefined);
  });

  it('with several for one token, the latest cut-off decides, in whatever order they came', () => {
    for (const cutoffs of [
      [NOW - 90_000, NOW - 10_000],
      [NOW - 10_000, NOW - 90_000],
    ]) {
      const { reader, revoke } = stage();
      for (const cutoff of cutoffs) revoke({ sub: 'alice' }, cutoff);
      const token = tokenOf({ sub: 'alice', iat: seconds(NOW) - 50 });
      assert.equal(reader.revokedBy(token), 'rule');
    }
  });

  it('that an operator lifted has no effect, however often a source says it again; a later one has', () => {
    const { reader, revoke, take } = stage();
    const token = tokenOf({ sub: 'alice', iat: seconds(NOW) - 100 });
    revoke({ sub: 'alice' }, NOW - 50_000);
    take({ action: 'lift', claims: { sub: 'alice' }, issuedBefore: NOW - 50_000 });
    assert.equal(reader.revokedBy(token), undefined);
    revoke({ sub: 'alice' }, NOW - 50_000);
    revoke({ sub: 'alice' }, NOW - 60_000);
    assert.equal(reader.revokedBy(token), undefined);
    revoke({ sub: 'alice' }, NOW - 40_000);
    assert.equal(reader.revokedBy(token), 'rule');
  });

  it('that was the last of its shape denies nobody once it is lifted, not even a token too large to be asked about', () => {
    const { reader, revoke, take } = stage();
    const groups = Array.from({ length: 2_000 }, (_, i) => `g${i}`);
    const large = tokenOf({ groups, iat: seconds(NOW) - 10 });
    revoke({ groups: 'a' }, NOW - 50_000);
    revoke({ groups: 'b' }, NOW - 50_000);
    const lift = (group: string): void =>
      take({ action: 'lift', claims: { groups: group }, issuedBefore: NOW - 50_000 });
    lift('a');
    assert.equal(reader.revokedBy(large), 'rule', 'one is left');
    lift('b');
    assert.equal(reader.revokedBy(large), undefined);
    revoke({ groups: 'g7' }, NOW - 5_000);
    assert.equal(reader.revokedBy(tokenOf({ groups: ['g7'], iat: seconds(NOW) - 10 })), 'rule');
  });

  it('survives the lift of an older one', () => {
    const { reader, revoke, take } = stage();
    revoke({ sub: 'alice' }, NOW - 40_000);
    take({ action: 'lift', claims: { sub: 'alice' }, issuedBefore: NOW - 50_000 });
    assert.equal(reader.revokedBy(tokenOf({ sub: 'alice', iat: seconds(NOW) - 100 })), 'rule');
  });
});

describe('a reader', () => {
  it('finds a token by any of its names, however many, also one that was asked about before', () => {
    const names = Array.from({ length: 35 }, (_, i) => `name ${i}`);
    const identity = { ...named(...names), scopes: [null, 'https://a'] };
    for (const [i, key] of keysOf({ ...identity, expiresAtMs: 0 }).entries()) {
      const { list, reader } = stage();
      const token: TokenIdentity = { ...identity, expiresAtMs: NOW + 600_000 };
      assert.equal(reader.revokedBy(token), undefined, 'nothing is listed');
      list.addToken({ keys: keysNamed('other'), endsAtMs: NOW + 600_000 }, 'test');
      assert.equal(reader.revokedBy(token), undefined, 'another one is listed');
      list.addToken({ keys: [key], endsAtMs: NOW + 600_000 }, 'test');
      assert.equal(reader.revokedBy(token), 'token', `name ${i}`);
    }
  });

  it('says unknown until something is known, and when that has grown old', () => {
    const { list, reader } = stage({ maxStalenessMs: 1_000 });
    const token = tokenOf({});
    assert.equal(reader.check(token), 'unknown');
    assert.equal(reader.knowledge(), 'never');
    const now = momentOf();
    list.state.knownAsOf(now.monotonic, now.wall);
    list.state.known = true;
    assert.equal(reader.check(token), 'clear');
    list.state.knownAsOf(now.monotonic - 1_500, now.wall);
    assert.equal(reader.knowledge(), 'stale', 'by the monotonic clock');
    list.state.knownAsOf(now.monotonic, now.wall - 1_500);
    assert.equal(reader.knowledge(), 'stale', 'by the wall clock: the machine was suspended');
    assert.equal(reader.check(token), 'unknown');
  });

  it('says revoked before unknown', () => {
    const { list, reader } = stage();
    list.addToken({ keys: keysNamed('dead'), endsAtMs: NOW + 60_000 }, 'test');
    assert.equal(reader.check({ ...named('dead'), expiresAtMs: NOW + 1_000 }), 'revoked');
  });

  it('does not say clear of a token that was looked for before all was known', () => {
    const { list, reader } = stage();
    const dead = { ...named('dead'), expiresAtMs: NOW + 1_000 };
    const { scopes } = dead;
    // What another thread does while this one is in the middle of its look.
    const meanwhile = {
      digests: [],
      expiresAtMs: dead.expiresAtMs,
      get scopes() {
        list.addToken({ keys: keysNamed('dead'), endsAtMs: NOW + 60_000 }, 'test');
        const now = momentOf();
        list.state.knownAsOf(now.monotonic, now.wall);
        list.state.known = true;
        return scopes;
      },
    };
    assert.equal(reader.check(meanwhile), 'unknown');
    assert.equal(reader.check(dead), 'revoked');
  });

  it('counts a gap as stale only where it is told to', () => {
    for (const staleInGap of [false, true]) {
      const { list, reader } = stage({ staleInGap });
      const now = momentOf();
      list.state.knownAsOf(now.monotonic, now.wall);
      list.state.known = true;
      list.state.gap = true;
      assert.equal(reader.knowledge(), staleInGap ? 'stale' : 'fresh');
    }
  });

  it('takes a full list for what it is', () => {
    const { list, reader, full } = stage({ maxEntries: 2 });
    for (const name of ['a', 'b', 'c'])
      list.addToken({ keys: keysNamed(name), endsAtMs: NOW + 600_000 }, 'store');
    assert.deepEqual(full, ['store']);
    const answers = ['a', 'b', 'c'].map((name) =>
      reader.revokedBy({ ...named(name), expiresAtMs: NOW }),
    );
    assert.deepEqual(answers, ['token', 'token', undefined]);
  });
});
