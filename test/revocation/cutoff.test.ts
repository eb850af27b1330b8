import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { deniedByCutoff } from '../../src/revocation/cutoff.ts';
import { nameOfRule, type Rule } from '../../src/revocation/rule.ts';
import { shapeNames, shapeOf } from '../../src/revocation/rule-shapes.ts';

const NOW = Date.parse('2026-11-22T12:00:00Z');
const SKEW = 60_000;
const seconds = (ms: number): number => ms / 1000;
const denied = (iat: unknown, cutoff: number): boolean => deniedByCutoff(iat, cutoff, NOW, SKEW);

describe('cut-off', () => {
  it('denies what was issued up to and with it, and nothing later', () => {
    assert.equal(denied(seconds(NOW) - 1, NOW), true);
    assert.equal(denied(seconds(NOW), NOW), true);
    assert.equal(denied(seconds(NOW) + 1, NOW), false);
    assert.equal(denied(seconds(NOW), NOW + 999), true);
    assert.equal(denied(seconds(NOW) + 0.5, NOW + 499), false);
    assert.equal(denied(seconds(NOW) + 0.5, NOW + 500), true);
  });

  it('reads an iat of 1e12 or more as milliseconds', () => {
    assert.equal(denied(NOW - 1, NOW), true);
    assert.equal(denied(NOW, NOW), true);
    assert.equal(denied(NOW + 1, NOW), false);
    assert.equal(denied(1e12, 1e12), true);
    assert.equal(denied(1e12, 1e12 - 1), false);
  });

  it('denies a token that does not say when it was issued', () => {
    for (const iat of [
      undefined,
      null,
      'now',
      String(seconds(NOW)),
      Number.NaN,
      Infinity,
      -1,
      [],
      {},
    ])
      assert.equal(denied(iat, 0), true, inspect(iat));
  });

  it('takes an iat beyond the skew in the future for none', () => {
    assert.equal(denied(seconds(NOW + SKEW), NOW), false);
    assert.equal(denied(seconds(NOW + SKEW) + 1, NOW), true);
    assert.equal(denied(NOW + SKEW + 1, NOW), true);
    assert.equal(denied(1e11, NOW), true);
  });

  it('denies nobody where no rule matches', () => {
    for (const iat of [undefined, 0, seconds(NOW), 1e11]) assert.equal(denied(iat, -1), false);
  });

  const iats = fc.oneof(
    fc.constant<unknown>(undefined),
    fc.integer({ min: -10, max: 4_000_000_000 }),
    fc.integer({ min: 1e12, max: 4e12 }),
    fc.double({ noNaN: true, min: 0, max: 2e9 }),
    fc.string(),
  );
  const cutoffs = fc.integer({ min: 0, max: NOW + SKEW });

  it('of several rules the latest decides: the same as asking for each', () => {
    fc.assert(
      fc.property(iats, fc.array(cutoffs, { minLength: 1, maxLength: 6 }), (iat, several) => {
        assert.equal(
          denied(iat, Math.max(...several)),
          several.some((one) => denied(iat, one)),
        );
      }),
    );
  });

  it('a later cut-off never admits what an earlier one denies', () => {
    fc.assert(
      fc.property(iats, cutoffs, cutoffs, (iat, one, other) => {
        if (denied(iat, Math.min(one, other))) assert.ok(denied(iat, Math.max(one, other)));
      }),
    );
  });

  it('a token that was issued earlier is never better off', () => {
    const instants = fc.integer({ min: 0, max: seconds(NOW + SKEW) });
    fc.assert(
      fc.property(instants, instants, cutoffs, (one, other, cutoff) => {
        if (denied(Math.max(one, other), cutoff)) assert.ok(denied(Math.min(one, other), cutoff));
      }),
    );
  });

  describe('as Keycloak had it wrong', () => {
    const issuer = 'https://keycloak.example/realms/shop';
    const hoursAgo = (hours: number): number => NOW - hours * 3_600_000;
    const tokenOf = (hours: number) => ({
      azp: 'web',
      sub: 'alice',
      iat: seconds(hoursAgo(hours)),
    });

    /** As a gateway decides: the latest cut-off among all rules that the token has a name of. */
    function deniedUnder(rules: readonly Rule[], token: ReturnType<typeof tokenOf>): boolean {
      const names = rules.flatMap((rule) => shapeNames(shapeOf(rule), token, [issuer]) ?? []);
      const matching = rules.filter((rule) => names.includes(nameOfRule(rule)));
      return denied(
        token.iat,
        Math.max(-1, ...matching.map(({ issuedBeforeMs }) => issuedBeforeMs)),
      );
    }
    const realm = (cutoff: number): Rule => ({
      issuer,
      claims: [],
      issuedBeforeMs: cutoff,
      endsAtMs: NOW,
    });
    const client = (cutoff: number): Rule => ({
      issuer,
      claims: [['client', 'web']],
      issuedBeforeMs: cutoff,
      endsAtMs: NOW,
    });

    it('CVE-2026-18218: an older cut-off of the whole realm does not hide a newer one of the client', () => {
      const rules = [realm(hoursAgo(3)), client(hoursAgo(1))];
      for (const order of [rules, rules.toReversed()]) {
        assert.equal(deniedUnder(order, tokenOf(2)), true);
        assert.equal(deniedUnder(order, tokenOf(0.5)), false);
        assert.equal(deniedUnder(order, { ...tokenOf(2), azp: 'other' }), false);
      }
    });

    it('CVE-2026-8922: a cut-off of the client does not hide a newer one of the whole realm', () => {
      const rules = [realm(hoursAgo(1)), client(hoursAgo(3))];
      for (const order of [rules, rules.toReversed()]) {
        assert.equal(deniedUnder(order, tokenOf(2)), true);
        assert.equal(deniedUnder(order, { ...tokenOf(2), azp: 'other' }), true);
        assert.equal(deniedUnder(order, tokenOf(0.5)), false);
      }
    });
  });
});
