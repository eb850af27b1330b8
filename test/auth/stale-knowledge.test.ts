import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AuthenticatorOptions } from '../../src/auth/authenticator-options.ts';
import type { Presenter, RouteRules } from '../../src/auth/authenticate.ts';
import { goodClaims, jsonAnswer, makeToken, refusalOf, Stage } from './stage.ts';

const introspection = {
  url: 'https://km.example/',
  username: 'a',
  password: 'b',
  maxAgeMs: 60_000,
} as const;

/** A gateway that may have missed revocations, and what it let through. */
function staleStage(
  options: Partial<AuthenticatorOptions>,
  answer?: ConstructorParameters<typeof Stage>[1],
): Stage & { degraded: string[] } {
  const degraded: string[] = [];
  const stage = new Stage({ ...options, onDegraded: (how) => degraded.push(how) }, answer);
  stage.revocations.stale = true;
  return Object.assign(stage, { degraded });
}

async function outcome(
  stage: Stage,
  token: string,
  whenStale?: RouteRules['whenStale'],
): Promise<string> {
  return (await refusalOf(() => stage.present(token, [], whenStale)))?.fault ?? 'admitted';
}

describe('while revocations may have been missed', () => {
  it('a good token is not known to be good: 503 with Retry-After, and a revoked one is still 401', async () => {
    const stage = staleStage({});
    const token = makeToken();
    const refusal = await refusalOf(() => stage.present(token));
    assert.equal(refusal?.fault, 'revocationStatusUnknown');
    assert.ok((refusal.retryAfterSeconds ?? 0) > 0);
    stage.revocations.revoke(String(goodClaims()['jti']));
    assert.equal(await stage.outcome(token), 'invalidCredentials');
    assert.deepEqual(stage.degraded, []);
  });

  it('"allow" lets it through, counted and marked in the log, but no revoked one', async () => {
    const stage = staleStage({ whenStale: 'allow' });
    const token = makeToken();
    assert.equal(await stage.outcome(token), 'admitted');
    assert.equal(await stage.outcome(token), 'admitted', 'from the cache too');
    assert.deepEqual(stage.degraded, ['allowed', 'allowed']);
    const marked = stage.log.lines.filter((line) => line.includes('may have been missed'));
    assert.equal(marked.length, 2);
    assert.ok(marked.every((line) => line.includes('request-1') && !line.includes(token)));
    stage.revocations.revoke(String(goodClaims()['jti']));
    assert.equal(await stage.outcome(token), 'invalidCredentials');
    stage.revocations.stale = false;
    stage.revocations.revoked.clear();
    assert.equal(await stage.outcome(token), 'admitted');
    assert.equal(stage.degraded.length, 2, 'nothing is degraded any more');
  });

  it('who presents a token is told how it was let through, and nothing once what is known is fresh', async () => {
    for (const [whenStale, how] of [
      ['allow', 'allowed'],
      ['introspect', 'introspected'],
    ] as const) {
      const stage = staleStage({ introspection }, () => jsonAnswer({ active: true }));
      const presented = async () => {
        const presenter: Presenter = { clientAddress: '192.0.2.1' };
        const authorization = [`Bearer ${makeToken()}`];
        const route = { scopes: [], whenStale };
        await stage.authenticator.authenticate(authorization, route, 'request-1', presenter);
        return presenter.degraded;
      };
      assert.equal(await presented(), how);
      assert.equal(await presented(), how, 'from the cache too');
      stage.revocations.stale = false;
      assert.equal(await presented(), undefined);
    }
  });

  it('"introspect" asks the key manager about each token, every time', async () => {
    let active = true;
    const stage = staleStage({ whenStale: 'introspect', introspection }, () =>
      jsonAnswer({ active }),
    );
    const token = makeToken();
    assert.equal(await stage.outcome(token), 'admitted');
    assert.equal(await stage.outcome(token), 'admitted');
    assert.equal(stage.http.requests.length, 2);
    assert.deepEqual(stage.degraded, ['introspected', 'introspected']);
    active = false;
    assert.equal(await stage.outcome(token), 'invalidCredentials');
    assert.equal(stage.degraded.length, 2);
  });

  it('"introspect" asks about an opaque token once per request, cached or not', async () => {
    const stage = staleStage({ whenStale: 'introspect', introspection }, () =>
      jsonAnswer({ active: true }),
    );
    const opaque = '01c82c1e-4a3f-3a6c-a8f5-4f2f0b8a4b1d';
    assert.equal(await stage.outcome(opaque), 'admitted');
    assert.equal(stage.http.requests.length, 1);
    assert.equal(await stage.outcome(opaque), 'admitted');
    assert.equal(stage.http.requests.length, 2);
  });

  it('"introspect" is 503 when the key manager cannot be asked', async () => {
    const stage = staleStage({ whenStale: 'introspect', introspection });
    assert.equal(await stage.outcome(makeToken()), 'serviceUnavailable');
    const without = staleStage({ whenStale: 'introspect' });
    assert.equal(await without.outcome(makeToken()), 'revocationStatusUnknown');
  });

  it('a revocation that is heard of during the introspection counts', async () => {
    const stage = staleStage({ whenStale: 'introspect', introspection }, () => {
      stage.revocations.revoke(String(goodClaims()['jti']));
      return jsonAnswer({ active: true });
    });
    assert.equal(await stage.outcome(makeToken()), 'invalidCredentials');
  });

  it("a route's own policy wins, in both directions", async () => {
    const strict = staleStage({ whenStale: 'deny' });
    assert.equal(await outcome(strict, makeToken(), 'allow'), 'admitted');
    const open = staleStage({ whenStale: 'allow' });
    assert.equal(await outcome(open, makeToken(), 'deny'), 'revocationStatusUnknown');
  });
});

describe('before anything is known', () => {
  it('no route and no whenStale opens the gateway', async () => {
    const stage = staleStage({ whenStale: 'allow' });
    stage.revocations.complete = false;
    assert.equal(await stage.outcome(makeToken()), 'revocationStatusUnknown');
    assert.equal(await outcome(stage, makeToken(), 'allow'), 'revocationStatusUnknown');
  });

  it('whenUnknown = "allow" does, counted', async () => {
    const stage = staleStage({ whenUnknown: 'allow' });
    stage.revocations.complete = false;
    assert.equal(await stage.outcome(makeToken()), 'admitted');
    assert.deepEqual(stage.degraded, ['allowed']);
  });
});
