import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Revocations, type RevocationsOptions } from '../../src/revocation/revocations.ts';
import { MAX_SHAPES } from '../../src/revocation/rule-shapes.ts';
import type { RevocationSink, RevocationSource } from '../../src/revocation/source.ts';
import { jwtIdentity } from '../../src/revocation/token-identity.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';
import { POLICY, SECRET } from './stage.ts';

const token = (jti: string) =>
  jwtIdentity({
    issuer: 'https://a',
    jti,
    signingInput: 'h.p',
    signature: Buffer.alloc(256),
    algorithm: 'RS256',
    expiresAtMs: Date.now() + 60_000,
  });

/** A source that does what the test tells it to. */
function puppet(name: string, kind: RevocationSource['kind']) {
  let sink: RevocationSink | undefined;
  let fail: ((error: Error) => void) | undefined;
  const puppetSource = {
    name,
    kind,
    follows: 0,
    rereads: 0,
    follow(given: RevocationSink, signal: AbortSignal): Promise<void> {
      puppetSource.follows++;
      sink = given;
      return new Promise((resolve, reject) => {
        fail = reject;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    },
    reread(): void {
      puppetSource.rereads++;
    },
    sink(): RevocationSink {
      assert.ok(sink);
      return sink;
    },
    break(message: string): void {
      fail?.(new Error(message));
    },
  };
  return puppetSource;
}

function follow(
  sources: readonly RevocationSource[],
  whenUnknown: 'deny' | 'allow' = 'deny',
  change: Partial<RevocationsOptions> = {},
): { revocations: Revocations; lines: string[] } {
  const log = recordedLog();
  const stores = sources.filter(({ kind }) => kind === 'list').map(({ name }) => name);
  const revocations = new Revocations({
    sources: sources.map((source) => ({
      source,
      policy: POLICY,
      required: source.kind === 'list' || stores.length === 0,
      tellsOf: source.kind === 'events' ? stores : [],
    })),
    whenUnknown,
    whenStale: 'deny',
    maxStalenessMs: 60_000,
    denyOnUnclosedGap: false,
    maxEntries: 10_000,
    longestTokenLifeMs: POLICY.longestTokenLifeMs,
    consumerKeyClaims: [],
    secret: SECRET,
    clockSkewMs: 5000,
    log,
    firstPauseMs: 1,
    ...change,
  });
  revocations.start();
  return { revocations, lines: log.lines };
}

/** The messages at INFO. */
function infos(lines: readonly string[]): string[] {
  return lines.flatMap((line) => line.split('INFO [TokenRevocation] [-] ')[1] ?? []);
}

describe('what is known of revocations', () => {
  it('is unknown until every store was read completely once; a known revocation is denied before', async () => {
    const store = puppet('store', 'list');
    const other = puppet('other', 'list');
    const broker = puppet('broker', 'events');
    const { revocations } = follow([store, other, broker]);
    broker.sink().complete();
    store.sink().add({ token: 'dead' });
    assert.equal(revocations.reader.check(token('dead')), 'revoked');
    assert.equal(revocations.reader.check(token('alive')), 'unknown');
    store.sink().complete();
    assert.equal(revocations.ready, false, 'one store is still missing');
    other.sink().complete();
    assert.equal(revocations.reader.check(token('alive')), 'clear');
    assert.equal(revocations.ready, true);
    await revocations.close();
  });

  it('with real-time sources only, is known once the subscription stood', async () => {
    const broker = puppet('broker', 'events');
    const { revocations } = follow([broker]);
    assert.equal(revocations.reader.check(token('alive')), 'unknown');
    broker.sink().complete();
    assert.equal(revocations.reader.check(token('alive')), 'clear');
    await revocations.close();
  });

  it('lets through while unknown only when told to, and still denies what it knows', async () => {
    const store = puppet('store', 'list');
    const { revocations } = follow([store], 'allow');
    store.sink().add({ token: 'dead' });
    assert.equal(revocations.reader.check(token('alive')), 'unknown');
    assert.equal(revocations.reader.check(token('dead')), 'revoked');
    assert.equal(revocations.ready, true);
    await revocations.close();
  });

  it('without any source is clear', async () => {
    const { revocations } = follow([]);
    assert.equal(revocations.reader.check(token('alive')), 'clear');
    await revocations.close();
  });

  it('asks the stores for a new read each time a real-time source stands again', async () => {
    const store = puppet('store', 'list');
    const broker = puppet('broker', 'events');
    const { revocations } = follow([store, broker]);
    broker.sink().complete();
    assert.equal(store.rereads, 1);
    broker.break('connection closed');
    await until(() => broker.follows === 2, 'broker is followed again');
    broker.sink().complete();
    assert.equal(store.rereads, 2);
    await revocations.close();
  });

  it('keeps what it learnt while a source is away, and says why it is', async () => {
    const store = puppet('store', 'list');
    const { revocations, lines } = follow([store]);
    store.sink().add({ token: 'dead' });
    store.sink().complete();
    store.break('answered 500');
    await until(() => store.follows === 2, 'store is followed again');
    store.sink().complete();
    assert.equal(revocations.reader.check(token('dead')), 'revoked');
    assert.equal(revocations.reader.check(token('alive')), 'clear');
    assert.ok(lines.some((line) => /Source store is not followed: answered 500/.test(line)));
    assert.ok(lines.some((line) => /Source store is followed again after 1 failed/.test(line)));
    await revocations.close();
  });

  it('says once that each source is followed, and once that revocations are known', async () => {
    const store = puppet('store', 'list');
    const broker = puppet('broker', 'events');
    const { revocations, lines } = follow([store, broker]);
    store.break('answered 500');
    await until(() => store.follows === 2, 'store is followed again');
    broker.sink().add({ token: 'of the topic' });
    broker.sink().complete();
    assert.deepEqual(infos(lines), ['Source broker is followed']);
    store.sink().add({ token: 'dead' });
    store.sink().add({ token: 'buried' });
    store.sink().complete();
    store.sink().complete();
    broker.sink().complete();
    assert.deepEqual(infos(lines).slice(1), [
      'Source store is followed after 1 failed attempt, 2 entries so far',
      'Revocations are known: calls to secured operations are served',
    ]);
    broker.break('connection closed');
    await until(() => broker.follows === 2, 'broker is followed again');
    broker.sink().complete();
    assert.deepEqual(infos(lines).slice(3), [
      'Source broker is followed again after 1 failed attempt',
    ]);
    await revocations.close();
  });

  it('waits for the subscription to stand or fail, and not beyond the deadline', async () => {
    const stands = puppet('stands', 'events');
    const fails = puppet('fails', 'events');
    const { revocations } = follow([puppet('store', 'list'), stands, fails]);
    let over = false;
    const subscribed = revocations.subscribed(60_000).then(() => (over = true));
    stands.sink().complete();
    await new Promise(setImmediate);
    assert.equal(over, false, 'one of the two is still trying');
    fails.break('no broker');
    await subscribed;
    await revocations.close();

    const silent = follow([puppet('silent', 'events')]).revocations;
    await silent.subscribed(1);
    await silent.close();
  });

  it('does not forget the failures of a source that comes up and breaks at once', async () => {
    const store = puppet('store', 'list');
    const { revocations } = follow([store]);
    for (let round = 1; round <= 3; round++) {
      store.sink().complete();
      store.break('broke at once');
      await until(() => store.follows === round + 1, 'store is followed again');
    }
    assert.equal(revocations.sources[0]?.failures, 3, 'its pauses go on growing');
    await revocations.close();
  });

  it('gives an adapter the same sink for every attempt, so that it can resume', async () => {
    const store = puppet('store', 'list');
    const { revocations } = follow([store]);
    const first = store.sink();
    store.break('broke');
    await until(() => store.follows === 2, 'store is followed again');
    assert.equal(store.sink(), first);
    await revocations.close();
  });

  it('counts and reports what carried no revocation, without its content', async () => {
    const store = puppet('store', 'list');
    const { revocations, lines } = follow([store]);
    store.sink().drop('unreadable body');
    store.sink().add({ token: '' });
    store.sink().drop('unreadable body');
    const [status] = revocations.sources;
    assert.deepEqual(
      [...(status?.dropped ?? [])],
      [
        ['unreadable body', 2],
        ['no token in it', 1],
      ],
    );
    await revocations.close();
    assert.deepEqual(
      lines.filter((line) => line.includes('dropped')).map((line) => line.split('dropped: ')[1]),
      ['1 x unreadable body', '1 x no token in it, 1 x unreadable body'],
    );
  });

  it('counts a lift for which there is no room, and the rule stays', async () => {
    const store = puppet('store', 'list');
    const { revocations } = follow([store]);
    const issuedBefore = Date.now() - 60_000;
    for (let i = 0; i < 100_000; i++)
      revocations.list.addLift(
        { issuer: null, claims: [['sub', `${i}`]], issuedBeforeMs: 1, endsAtMs: issuedBefore },
        'test',
      );
    const rule = { claims: { sub: 'alice' }, issuedBefore };
    store.sink().rule({ action: 'revoke', ...rule });
    store.sink().rule({ action: 'lift', ...rule });
    assert.deepEqual(
      [...(revocations.sources[0]?.dropped ?? [])],
      [['no room for another lift: its rule stays', 1]],
    );
    assert.equal(revocations.list.rulesSize, 1);
    await revocations.close();
  });
});

describe('freshness', () => {
  it('grows stale when a store proves nothing any more, and says which', async () => {
    const store = puppet('store', 'list');
    const { revocations } = follow([store], 'deny', { maxStalenessMs: 30 });
    store.sink().complete();
    assert.equal(revocations.reader.knowledge(), 'fresh');
    await until(() => revocations.reader.knowledge() === 'stale', 'it is stale');
    assert.equal(revocations.ready, false);
    const [doubt] = revocations.doubts();
    assert.equal(doubt?.code, 'stale');
    assert.equal(doubt?.source, 'store');
    store.sink().alive(performance.now());
    assert.equal(revocations.reader.knowledge(), 'fresh');
    await revocations.close();
  });

  it('does not count a proof from when the answer came, but from when it was asked for', async () => {
    const store = puppet('store', 'list');
    const { revocations } = follow([store], 'deny', { maxStalenessMs: 50 });
    store.sink().complete();
    await until(() => revocations.reader.knowledge() === 'stale', 'it is stale');
    store.sink().alive(performance.now() - 60);
    assert.equal(revocations.reader.knowledge(), 'stale');
    await revocations.close();
  });

  it('a topic speaks for its store only after the store was read while it stood', async () => {
    const store = puppet('store', 'list');
    const broker = puppet('broker', 'events');
    const { revocations } = follow([store, broker], 'deny', { maxStalenessMs: 30 });
    store.sink().complete();
    broker.sink().complete();
    await until(() => revocations.reader.knowledge() === 'stale', 'it is stale');
    broker.sink().alive();
    assert.equal(revocations.reader.knowledge(), 'stale', 'the store was read before');
    store.sink().alive(performance.now());
    await until(() => {
      broker.sink().alive();
      return (revocations.stalenessMs ?? Infinity) < 30;
    }, 'the topic keeps it fresh');
    await revocations.close();
  });

  it('with real-time only, the start is a gap that a durable subscription does not have', async () => {
    const plain = puppet('plain', 'events');
    const first = follow([plain]).revocations;
    plain.sink().complete();
    assert.equal(first.reader.knowledge(), 'fresh');
    assert.deepEqual(
      first.doubts().map(({ code, source }) => [code, source]),
      [['gap', 'plain']],
    );
    plain.break('gone');
    await until(() => plain.follows === 2, 'it is followed again');
    assert.equal(first.reader.knowledge(), 'fresh', 'not for longer than maxStaleness');
    await first.close();

    const again = puppet('again', 'events');
    const second = follow([again], 'deny', { denyOnUnclosedGap: true }).revocations;
    again.sink().complete();
    assert.equal(second.reader.knowledge(), 'stale', 'nothing before this was heard by anybody');
    await second.close();
  });

  it('a clock that is behind what was forgotten is a reason to be told: tokens count as expired', async () => {
    const store = puppet('store', 'list');
    const { revocations } = follow([store]);
    store.sink().complete();
    assert.deepEqual(revocations.doubts(), []);
    revocations.list.state.forgottenUntilMs = Date.now() + 3_600_000;
    assert.deepEqual(
      revocations.doubts().map(({ code }) => code),
      ['clock'],
    );
    await revocations.close();
  });

  it('a list that is full stays stale until a reading finds room', async () => {
    const store = puppet('store', 'list');
    const { revocations } = follow([store], 'deny', { maxEntries: 1 });
    store.sink().add({ token: 'a' });
    store.sink().add({ token: 'b' });
    store.sink().complete();
    assert.equal(revocations.ready, false);
    assert.equal(revocations.reader.check(token('a')), 'revoked');
    assert.deepEqual(
      revocations.doubts().map(({ code }) => code),
      ['not_read_yet', 'list_full'],
    );
    await until(() => store.follows === 2, 'it is followed again');
    assert.equal(store.rereads, 1, 'from the beginning');
    assert.match(revocations.doubts()[0]?.message ?? '', /the list has no room for all of it/);
    store.sink().add({ token: 'a' });
    store.sink().complete();
    assert.equal(revocations.ready, true, 'a later reading refused nothing');
    assert.deepEqual(revocations.doubts(), []);
    await revocations.close();
  });

  it('a change that found no room is not outlived by proofs that nothing was missed', async () => {
    const store = puppet('store', 'list');
    const { revocations } = follow([store], 'deny', { maxEntries: 1, maxStalenessMs: 50 });
    store.sink().add({ token: 'a' });
    store.sink().complete();
    assert.equal(revocations.ready, true);
    store.sink().add({ token: 'b' });
    store.sink().alive();
    await until(() => !revocations.ready, 'knowledge is stale');
    await until(() => store.follows === 2, 'it is read anew');
    store.sink().alive();
    assert.equal(revocations.ready, true, 'this reading refused nothing');
    await revocations.close();
  });

  it('a rule of too many different sets of claims is missed like one that found no room', async () => {
    const store = puppet('store', 'list');
    const { revocations } = follow([store], 'deny', { maxStalenessMs: 50 });
    store.sink().complete();
    const issuedBefore = Date.now();
    for (let i = 0; i <= MAX_SHAPES; i++)
      store.sink().rule({ action: 'revoke', claims: { [`claim${i}`]: 'x' }, issuedBefore });
    store.sink().alive();
    await until(() => !revocations.ready, 'knowledge is stale');
    assert.ok(revocations.doubts().some(({ code }) => code === 'list_full'));
    await until(() => store.follows === 2, 'it is read anew');
    store.sink().alive();
    assert.equal(revocations.ready, true, 'this reading has none too many');
    await revocations.close();
  });

  it('a topic whose event found no room is fresh only once its store was read whole', async () => {
    const store = puppet('store', 'list');
    const broker = puppet('broker', 'events');
    const { revocations } = follow([store, broker], 'deny', {
      maxEntries: 1,
      maxStalenessMs: 50,
      denyOnUnclosedGap: true,
    });
    broker.sink().complete();
    store.sink().add({ token: 'a' });
    store.sink().alive();
    store.sink().complete();
    assert.equal(revocations.ready, true);
    const { rereads } = store;
    broker.sink().add({ token: 'b' });
    assert.equal(store.rereads, rereads + 1);
    broker.sink().alive();
    await until(() => !revocations.ready, 'knowledge is stale');
    broker.sink().alive();
    assert.equal(revocations.ready, false, 'the topic does not say it again');
    store.sink().alive();
    assert.equal(revocations.ready, true);
    await revocations.close();
  });
});
