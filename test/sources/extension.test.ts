import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import type { RevocationExtension, RevocationRule } from '../../src/extension.ts';
import type { RevocationEvent } from '../../src/revocation/revocation.ts';
import { createExtensionSource } from '../../src/sources/extension.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { Following } from './conformance.ts';

const untilAborted = async (signal: AbortSignal): Promise<void> => {
  if (!signal.aborted) await once(signal, 'abort');
};

/** Follows an extension and ends it in every case. */
async function run(
  extension: RevocationExtension,
  body: (
    following: Following,
    parts: { log: ReturnType<typeof recordedLog>; reread: () => void },
  ) => Promise<void>,
  config: Record<string, unknown> = {},
  times: { reconcileIntervalMs?: number; graceMs?: number; maxEntries?: number } = {},
): Promise<void> {
  const log = recordedLog();
  const source = createExtensionSource({ name: 'mine', extension, config, log, ...times });
  const following = new Following({ source, close: () => Promise.resolve() });
  try {
    await body(following, { log, reread: () => source.reread?.() });
  } finally {
    await following.stop();
  }
}

describe('extension', { timeout: 30_000 }, () => {
  it('gets its configuration, a log and a signal', () => {
    let seen: unknown;
    return run(
      async (sink, context) => {
        seen = context.config;
        context.log.info('Mine', 'hello');
        sink.complete();
        await untilAborted(context.signal);
      },
      async (following, { log }) => {
        await following.complete();
        assert.deepEqual(seen, { type: 'mine', own: 7 });
        assert.deepEqual(log.lines, ['INFO [Mine] [-] hello']);
      },
      { type: 'mine', own: 7 },
    );
  });

  it('may add rules, as short as they can be said', () =>
    run(
      async (sink, { signal }) => {
        const rule = (event: unknown): void => sink.rule(event as RevocationRule);
        for (const value of [undefined, 'sub', [], {}, { claims: 'sub' }, { claims: [] }])
          rule(value);
        rule({ claims: { sub: 'a' }, issuedBefore: 5, issuer: 7 });
        rule({ claims: { sub: 'a' }, issuedBefore: 5, action: 'forget' });
        sink.rule({ claims: { sub: 'alice' }, issuedBefore: 1_700_000_000_000 });
        sink.rule({ action: 'lift', claims: {}, issuer: 'me', issuedBefore: '17', endsAt: 18 });
        sink.complete();
        await untilAborted(signal);
      },
      async (following) => {
        await following.complete();
        assert.equal(following.sink.drops.length, 8);
        for (const reason of following.sink.drops) assert.match(reason, /^[\w ,'()-]{3,80}$/);
        assert.deepEqual(following.sink.rules, [
          { action: 'revoke', claims: { sub: 'alice' }, issuedBefore: 1_700_000_000_000 },
          { action: 'lift', claims: {}, issuer: 'me', issuedBefore: '17', endsAt: 18 },
        ]);
        assert.deepEqual(following.sink.events, []);
      },
    ));

  it('may add only what is an event; the rest is counted with a reason', () =>
    run(
      async (sink, { signal }) => {
        const add = (event: unknown): void => sink.add(event as RevocationEvent);
        const values: unknown[] = [
          undefined,
          null,
          'token',
          17,
          [],
          {},
          { token: '' },
          { token: 17 },
          { token: ['a'] },
          { digest: {} },
          { token: 'a', digest: 'b' },
          { token: 'a', issuer: 5 },
        ];
        for (const value of values) add(value);
        sink.add({ token: 'good', ttl: '3600', expiryTime: 5, issuer: 'me' });
        add({ token: 'good too', surprise: 'left out' });
        sink.complete();
        await untilAborted(signal);
      },
      async (following) => {
        await following.complete();
        assert.equal(following.sink.drops.length, 12);
        assert.deepEqual(following.sink.events, [
          { token: 'good', ttl: '3600', expiryTime: 5, issuer: 'me' },
          { token: 'good too' },
        ]);
      },
    ));

  it('that added nothing usable has read nothing, also where it swallows that', async () => {
    for (const swallow of [false, true])
      await run(
        async (sink, { signal }) => {
          sink.add({ jti: 'a' } as unknown as RevocationEvent);
          try {
            sink.complete();
          } catch (error) {
            if (!swallow) throw error;
          }
          await untilAborted(signal);
        },
        async (following) => {
          assert.match((await following.rejection()).message, /nothing of the 1 entries/);
          assert.deepEqual(following.sink.completes, []);
        },
      );
  });

  it('that returns before complete() has read nothing: the link is broken', () =>
    run(
      () => Promise.resolve(),
      async (following) => {
        assert.match((await following.rejection()).message, /before it called complete/);
      },
    ));

  it('that throws breaks the link, and the message has no secret of the configuration', () =>
    run(
      () => Promise.reject(new Error('cannot open redis://me:s3cret@host/?p=s3cret at db1')),
      async (following) => {
        assert.equal(
          (await following.rejection()).message,
          'the extension failed: cannot open redis://***@host/?p=*** at db1',
        );
      },
      { password: 's3cret', hostname: 'db1' },
    ));

  it('that is no function, or throws at once, breaks the link and nothing else', () =>
    run('not a function' as unknown as RevocationExtension, async (following) => {
      assert.match((await following.rejection()).message, /^the extension failed: /);
    }));

  it('that returns after complete() is called again at the interval', () => {
    let calls = 0;
    return run(
      (sink) => {
        sink.add({ token: `call-${++calls}` });
        sink.complete();
        return Promise.resolve();
      },
      async (following) => {
        await following.until((sink) => sink.has('call-1', 'call-2', 'call-3'), 'three calls');
        assert.ok(!following.ended);
      },
      {},
      { reconcileIntervalMs: 20 },
    );
  });

  it('is called again when a new read is wanted, whether it follows or waits', async () => {
    let calls = 0;
    let ended = 0;
    await run(
      async (sink, { signal }) => {
        sink.add({ token: `call-${++calls}` });
        sink.complete();
        await untilAborted(signal);
        ended++;
      },
      async (following, { reread }) => {
        await following.complete();
        reread();
        await following.until((sink) => sink.completes.length === 2, 'a second call');
        assert.equal(ended, 1, 'the first call was ended before');
      },
    );
    await run(
      (sink) => {
        sink.complete();
        return Promise.resolve();
      },
      async (following, { reread }) => {
        await following.complete();
        reread();
        await following.until((sink) => sink.completes.length === 2, 'a second call');
      },
    );
  });

  it('that stays and does not complete again by itself is called again at the interval', async () => {
    let calls = 0;
    await run(
      async (sink, { signal }) => {
        sink.add({ token: `call-${++calls}` });
        sink.complete();
        await untilAborted(signal);
      },
      async (following) => {
        await following.until((sink) => sink.has('call-1', 'call-2', 'call-3'), 'three calls');
        const { provedAt } = following.sink;
        assert.deepEqual(
          [...provedAt].sort((a, b) => a - b),
          provedAt,
        );
        assert.ok(!following.ended);
      },
      {},
      { reconcileIntervalMs: 30 },
    );
  });

  it('that completes again and again by itself is left alone, and proves what was before', async () => {
    let calls = 0;
    const completedAt: number[] = [];
    await run(
      async (sink, { signal }) => {
        calls++;
        while (!signal.aborted && completedAt.length < 20) {
          completedAt.push(performance.now());
          sink.complete();
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        await untilAborted(signal);
      },
      async (following) => {
        await following.until(() => completedAt.length === 20, 'twenty reads');
        assert.equal(calls, 1);
        for (const [index, proved] of following.sink.provedAt.entries())
          assert.ok(
            index === 0 || proved < (completedAt[index] ?? 0) - 5,
            'the last read began no earlier than the one before was complete',
          );
      },
      {},
      { reconcileIntervalMs: 2_000 },
    );
  });

  it('that adds more than it may has failed, also where it swallows that', () =>
    run(
      async (sink, { signal }) => {
        for (const token of ['a', 'b', 'c', 'd'])
          try {
            sink.add({ token });
          } catch {
            // whoever swallows it adds nothing more
          }
        sink.complete();
        await untilAborted(signal);
      },
      async (following) => {
        assert.match((await following.rejection()).message, /more entries than maxEntries/);
        assert.deepEqual([...following.sink.tokens], ['a', 'b']);
        assert.equal(following.sink.completes.length, 0);
      },
      {},
      { maxEntries: 2 },
    ));

  it('that does not return when told to is left behind, and is not listened to', async () => {
    let leftover: (() => void) | undefined;
    const log = recordedLog();
    const source = createExtensionSource({
      name: 'mine',
      extension: (sink) =>
        new Promise(() => {
          sink.complete();
          leftover = () => {
            sink.add({ token: 'late' });
            sink.complete();
          };
        }),
      config: {},
      log,
      graceMs: 20,
    });
    const following = new Following({ source, close: () => Promise.resolve() });
    await following.complete();
    await following.stop();
    leftover?.();
    assert.ok(!following.sink.has('late'));
    assert.equal(following.sink.completes.length, 1);
    assert.match(log.lines.join('\n'), /WARN .* did not return when it was told to stop/);
  });
});
