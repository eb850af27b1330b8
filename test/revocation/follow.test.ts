import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Revocations } from '../../src/revocation/revocations.ts';
import type { RevocationSink, RevocationSource } from '../../src/revocation/source.ts';
import { jwtIdentity } from '../../src/revocation/token-identity.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';

const policy = { ttlUnit: 'auto', longestTokenLifeMs: 86_400_000 } as const;
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
): { revocations: Revocations; lines: string[] } {
  const log = recordedLog();
  const revocations = new Revocations({
    sources: sources.map((source) => ({ source, policy })),
    whenUnknown,
    clockSkewMs: 5000,
    log,
    firstPauseMs: 1,
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
    assert.equal(revocations.check(token('dead')), 'revoked');
    assert.equal(revocations.check(token('alive')), 'unknown');
    store.sink().complete();
    assert.equal(revocations.ready, false, 'one store is still missing');
    other.sink().complete();
    assert.equal(revocations.check(token('alive')), 'clear');
    assert.equal(revocations.ready, true);
    await revocations.close();
  });

  it('with real-time sources only, is known once the subscription stood', async () => {
    const broker = puppet('broker', 'events');
    const { revocations } = follow([broker]);
    assert.equal(revocations.check(token('alive')), 'unknown');
    broker.sink().complete();
    assert.equal(revocations.check(token('alive')), 'clear');
    await revocations.close();
  });

  it('lets through while unknown only when told to, and still denies what it knows', async () => {
    const store = puppet('store', 'list');
    const { revocations } = follow([store], 'allow');
    store.sink().add({ token: 'dead' });
    assert.equal(revocations.check(token('alive')), 'clear');
    assert.equal(revocations.check(token('dead')), 'revoked');
    assert.equal(revocations.known, false);
    await revocations.close();
  });

  it('without any source is clear', async () => {
    const { revocations } = follow([]);
    assert.equal(revocations.check(token('alive')), 'clear');
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
    assert.equal(revocations.check(token('dead')), 'revoked');
    assert.equal(revocations.check(token('alive')), 'clear');
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
});
