import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AuthenticatorOptions } from '../../src/auth/authenticator-options.ts';
import { FailedAttempts } from '../../src/auth/failed-attempts.ts';
import {
  type FakeHttp,
  goodClaims,
  jsonAnswer,
  makeToken,
  NOW,
  refusalOf,
  Stage,
} from './stage.ts';

const LIMIT = { perSecond: 10, burst: 5 };
const stranger = generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey;
let made = 0;

/** A token that only a look at its signature can tell from a good one. */
function junk(): string {
  return makeToken({ key: stranger, claims: goodClaims({ jti: `junk-${made++}` }) });
}

function good(): string {
  return makeToken({ claims: goodClaims({ jti: `good-${made++}` }) });
}

class Limited extends Stage {
  readonly clock: { ms: number };
  costly = 0;

  constructor(options: Partial<AuthenticatorOptions> = {}, answer?: FakeHttp['answer']) {
    const clock = { ms: 0 };
    super(
      {
        failedAttempts: LIMIT,
        monotonicNow: () => clock.ms,
        onCostlyRefusal: () => this.costly++,
        ...options,
      },
      answer,
    );
    this.clock = clock;
  }

  async from(clientAddress: string, token: string): Promise<string> {
    const refusal = await this.refusalFrom(clientAddress, token);
    return refusal?.fault ?? 'admitted';
  }

  /** Sends junk until that is not looked at any more; how often it was. */
  async exhaust(clientAddress: string): Promise<number> {
    for (let count = 0; count < 1_000; count++)
      if ((await this.from(clientAddress, junk())) === 'tooManyFailures') return count;
    return 1_000;
  }
}

test('a burst of bad tokens is verified, and then so many a second', async () => {
  const stage = new Limited();
  assert.equal(await stage.exhaust('192.0.2.1'), 5);
  stage.clock.ms += 1_000;
  assert.equal(await stage.exhaust('192.0.2.1'), 5, 'no more than the burst is saved up');
  stage.clock.ms += 100;
  assert.equal(await stage.exhaust('192.0.2.1'), 1);
  assert.equal(stage.costly, 11);
});

test('what was verified before is served all the same, to everyone at that address', async () => {
  const stage = new Limited();
  const known = good();
  assert.equal(await stage.from('192.0.2.1', known), 'admitted');
  await stage.exhaust('192.0.2.1');
  for (let count = 0; count < 50; count++)
    assert.equal(await stage.from('192.0.2.1', known), 'admitted');
  assert.equal(await stage.from('192.0.2.1', good()), 'tooManyFailures', 'a new one has to wait');
  stage.clock.ms += 100;
  assert.equal(await stage.from('192.0.2.1', good()), 'admitted');
});

test('other addresses are not touched; those of one IPv6 site are one', async () => {
  const stage = new Limited();
  await stage.exhaust('2001:db8::1');
  assert.equal(await stage.from('2001:db8::2:3', junk()), 'tooManyFailures');
  assert.equal(await stage.from('2001:db8:1::1', junk()), 'invalidCredentials');
  assert.equal(await stage.from('192.0.2.1', good()), 'admitted');
});

test('good tokens are never counted, however many are new', async () => {
  const stage = new Limited({ cache: { maxEntries: 0, maxAgeMs: 1_000 } });
  for (let count = 0; count < 50; count++)
    assert.equal(await stage.from('192.0.2.1', good()), 'admitted');
  assert.equal(stage.costly, 0);
});

test('tokens that are refused at sight cost a tenth: expired, malformed, of nobody', async () => {
  const stage = new Limited();
  const cheap = [
    makeToken({ claims: goodClaims({ exp: NOW - 3_600, iat: NOW - 7_200 }) }),
    'not.a.token',
    makeToken({ claims: goodClaims({ iss: 'https://nobody.example' }) }),
  ];
  let looked = 0;
  while ((await stage.from('192.0.2.1', cheap[looked % 3] ?? '')) === 'invalidCredentials')
    looked += 1;
  assert.ok(looked > 38 && looked < 52, `${looked}`);
  assert.equal(stage.costly, 0);
});

test('a revoked token that was verified before costs nothing, and is refused as ever', async () => {
  const stage = new Limited();
  const token = makeToken({ claims: goodClaims({ jti: 'to-be-revoked' }) });
  assert.equal(await stage.from('192.0.2.1', token), 'admitted');
  stage.revocations.revoke('to-be-revoked');
  for (let count = 0; count < 200; count++)
    assert.equal(await stage.from('192.0.2.1', token), 'invalidCredentials');
  assert.equal(await stage.exhaust('192.0.2.1'), 5);
  assert.equal(await stage.from('192.0.2.1', token), 'invalidCredentials', 'also at the limit');
});

test('a good token that may not do this, and one nobody can know of, are not counted', async () => {
  const stage = new Limited();
  const authenticate = (token: string) =>
    refusalOf(() =>
      stage.authenticator.authenticate([`Bearer ${token}`], { scopes: ['never'] }, 'request-1', {
        clientAddress: '192.0.2.1',
      }),
    );
  for (let count = 0; count < 60; count++)
    assert.equal((await authenticate(good()))?.fault, 'insufficientScope');
  stage.revocations.complete = false;
  for (let count = 0; count < 60; count++)
    assert.equal((await authenticate(good()))?.fault, 'revocationStatusUnknown');
  stage.revocations.complete = true;
  assert.equal(await stage.exhaust('192.0.2.1'), 5);
});

test('an opaque token that is not active counts once it was asked about; then the key manager is left alone', async () => {
  let asked = 0;
  const stage = new Limited(
    {
      introspection: {
        url: 'http://127.0.0.1/introspect',
        username: 'u',
        password: 'p',
        maxAgeMs: 60_000,
      },
    },
    () => {
      asked += 1;
      return jsonAnswer({ active: false });
    },
  );
  const outcomes: string[] = [];
  for (let count = 0; count < 20; count++)
    outcomes.push(await stage.from('192.0.2.1', `0000-opaque-${count}`));
  assert.equal(asked, 5);
  assert.equal(stage.costly, 5);
  assert.equal(outcomes.filter((outcome) => outcome === 'tooManyFailures').length, 15);
  // One that is known to be inactive is not asked about again, and costs a tenth.
  stage.clock.ms += 1_000;
  for (let count = 0; count < 10; count++) await stage.from('192.0.2.1', '0000-opaque-0');
  assert.equal(asked, 5);
});

test('without a limit, or without an address, everything is verified', async () => {
  const open = new Limited({ failedAttempts: undefined });
  const limited = new Limited();
  for (let count = 0; count < 20; count++) {
    assert.equal(await open.from('192.0.2.1', junk()), 'invalidCredentials');
    assert.equal(await limited.outcome(junk()), 'invalidCredentials');
  }
});

test('the refusal says when to come back, and nothing of the token', async () => {
  const stage = new Limited({ failedAttempts: { perSecond: 0.25, burst: 1 } });
  await stage.exhaust('192.0.2.1');
  const refusal = await refusalOf(() =>
    stage.authenticator.authenticate([`Bearer ${good()}`], { scopes: [] }, 'request-1', {
      clientAddress: '192.0.2.1',
    }),
  );
  assert.equal(refusal?.fault, 'tooManyFailures');
  assert.equal(refusal.retryAfterSeconds, 4);
  assert.equal(refusal.challenge, undefined);
});

test('memory is bounded, whatever comes from wherever', () => {
  let nowMs = 0;
  const attempts = new FailedAttempts({ ...LIMIT, maxAddresses: 100 }, () => nowMs);
  for (let address = 0; address < 10_000; address++) {
    nowMs += 1;
    attempts.failed(`10.${address >> 8}.${address & 0xff}.1`, 1);
    assert.ok(attempts.size <= 100);
  }
  // After a while of silence the next failure of anyone clears what is left.
  nowMs += 3_600_000;
  attempts.failed('192.0.2.1', 1);
  nowMs += 3_600_000;
  attempts.failed('192.0.2.2', 1);
  nowMs += 3_600_000;
  attempts.failed('192.0.2.3', 1);
  assert.equal(attempts.size, 2);
});

test('over any time nobody gets more than the burst and so many a second, and quiet ones get it all', () => {
  const steps = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(steps, (pauses) => {
      let nowMs = 0;
      const attempts = new FailedAttempts({ ...LIMIT, maxAddresses: 4 }, () => nowMs);
      let verified = 0;
      for (const pause of pauses) {
        nowMs += pause;
        if (attempts.waitMs('192.0.2.1') > 0) continue;
        attempts.failed('192.0.2.1', 1);
        verified += 1;
      }
      assert.ok(verified <= LIMIT.burst + (nowMs / 1_000) * LIMIT.perSecond + 1e-6);
      nowMs += attempts.waitMs('192.0.2.1') + 0.001;
      assert.equal(attempts.waitMs('192.0.2.1'), 0, 'the wait that was said is enough');
    }),
  );
});

test('the debt of a burst that was under way is bounded', () => {
  let nowMs = 0;
  const attempts = new FailedAttempts(LIMIT, () => nowMs);
  for (let count = 0; count < 10_000; count++) attempts.failed('192.0.2.1', 1);
  const waitMs = attempts.waitMs('192.0.2.1');
  assert.ok(waitMs > 9_000 && waitMs <= 10_200, `${waitMs}`);
  nowMs += waitMs;
  assert.equal(attempts.waitMs('192.0.2.1'), 0);
});
