import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, type Channel } from 'amqplib';
import { createAmqpSource, type AmqpSourceOptions } from '../../src/sources/amqp.ts';
import { startRabbitmq, type Rabbitmq } from '../support/rabbitmq.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { startTcpRelay } from '../support/tcp-relay.ts';
import { until } from '../support/until.ts';
import { CollectingSink, Following } from './conformance.ts';

describe('acknowledgements and proofs of a subscription', { timeout: 180_000 }, () => {
  let broker: Rabbitmq;
  const running = new Set<Following>();
  let log = recordedLog();

  before(async () => {
    broker = await startRabbitmq();
  });
  after(async () => {
    await broker?.stop();
  });

  const urlOf = (port = broker.port): string =>
    `amqp://guest:guest@gw/?brokerlist='tcp://127.0.0.1:${port}'`;

  function follow(
    topic: string,
    options: Partial<AmqpSourceOptions> = {},
    sink = new CollectingSink(),
  ): Following {
    const source = createAmqpSource({ name: 'amqp', topic, providerUrl: urlOf(), ...options }, log);
    const following = new Following({ source, close: () => Promise.resolve() }, sink);
    running.add(following);
    return following;
  }

  function behaves(title: string, body: (name: string) => Promise<void>): void {
    it(title, { timeout: 60_000 }, async () => {
      log = recordedLog();
      try {
        await body(`n-${randomUUID()}`);
      } finally {
        for (const following of running) await following.stop();
        running.clear();
      }
    });
  }

  async function withChannel(body: (channel: Channel) => Promise<void>): Promise<void> {
    const connection = await connect({ hostname: '127.0.0.1', port: broker.port });
    connection.on('error', () => undefined);
    try {
      const channel = await connection.createConfirmChannel();
      await body(channel);
      await channel.waitForConfirms();
    } finally {
      await connection.close();
    }
  }

  const publish = (topic: string, ...tokens: readonly string[]): Promise<void> =>
    withChannel((channel) => {
      for (const token of tokens)
        channel.publish('amq.topic', topic, Buffer.from(JSON.stringify({ revokedToken: token })), {
          persistent: true,
        });
      return Promise.resolve();
    });

  /** Messages that the broker has delivered and not seen acknowledged, and those that wait. */
  async function counts(): Promise<{ unacknowledged: number; ready: number }> {
    const table = await broker.ctl('list_queues', 'messages_unacknowledged', 'messages_ready');
    const rows = [...table.matchAll(/^(\d+)\s+(\d+)$/gm)];
    const sum = (column: number): number =>
      rows.reduce((total, row) => total + Number(row[column]), 0);
    return { unacknowledged: sum(1), ready: sum(2) };
  }

  behaves('a durable subscription keeps what comes while the gateway is away', async (name) => {
    const options = { durableSubscription: name, proofIntervalMs: 50 };
    const sink = new CollectingSink();
    const first = follow(name, options, sink);
    await first.complete();
    await publish(name, 'heard');
    await first.until((seen) => seen.has('heard'), 'a message');
    await first.stop();
    const missed = Array.from({ length: 30 }, (_, index) => `missed-${index}`);
    await publish(name, ...missed);
    const second = follow(name, options, sink);
    await second.until(({ completes }) => completes.length === 2, 'it stands again');
    assert.deepEqual(sink.gapless, [false, true], 'a new queue closes no gap, a kept one does');
    assert.equal(sink.completes[1], 31, 'everything that was kept came before it counts as whole');
    const { proofs } = sink;
    await second.until((seen) => seen.proofs > proofs, 'a proof');
  });

  behaves('a queue that is gone, or was never bound, closes no gap', async (name) => {
    const queue = `portcullis.${name}`;
    const sink = new CollectingSink();
    const stands = async (): Promise<boolean | undefined> => {
      const { length } = sink.completes;
      const following = follow(name, { durableSubscription: name }, sink);
      await following.until(({ completes }) => completes.length > length, 'it stands');
      await following.stop();
      return sink.gapless.at(-1);
    };
    // As after a crash between declaring and binding.
    await withChannel(async (channel) => {
      await channel.assertQueue(queue, { durable: true });
    });
    assert.equal(await stands(), false);
    assert.equal(await stands(), true);
    await withChannel(async (channel) => {
      await channel.deleteQueue(queue);
    });
    assert.equal(await stands(), false);
    assert.equal(await stands(), true);
  });

  behaves('a queue that was bound to something else closes no gap', async (name) => {
    const [queue, exchange] = [`portcullis.${name}`, `exchange-${name}`];
    const sink = new CollectingSink();
    const stands = async (topic: string, providerUrl = urlOf()): Promise<boolean | undefined> => {
      const { length } = sink.completes;
      const following = follow(topic, { durableSubscription: name, providerUrl }, sink);
      await following.until(({ completes }) => completes.length > length, 'it stands');
      await following.stop();
      return sink.gapless.at(-1);
    };
    const marks = async (): Promise<number> =>
      (await broker.ctl('list_exchanges', 'name')).split(`${queue}.bound`).length - 1;
    await withChannel(async (channel) => {
      await channel.assertExchange(exchange, 'topic', { durable: true });
    });
    const elsewhere = `${urlOf()}&defaulttopicexchange='${exchange}'`;

    assert.equal(await stands('one'), false);
    await publish('two', 'missed');
    assert.equal(await stands('two'), false, 'nothing was kept of this topic');
    assert.ok(!sink.has('missed'));
    await publish('two', 'kept');
    assert.equal(await stands('two'), true);
    assert.ok(sink.has('kept'));
    assert.equal(await stands('two', elsewhere), false, 'nor of this exchange');
    assert.equal(await stands('two', elsewhere), true);
    await publish('one', 'kept too');
    assert.equal(await stands('one'), true, 'it is still bound to what it was bound to before');
    assert.ok(sink.has('kept too'));

    assert.equal(await marks(), 3);
    await withChannel(async (channel) => {
      await channel.deleteQueue(queue);
    });
    assert.equal(await marks(), 0, 'marks go with their queue');
    assert.equal(await stands('one'), false);
    assert.equal(await stands('two'), false, 'a new queue was not bound to it');
  });

  behaves('queue and mark outlive a crash of the broker', async (name) => {
    const options = { durableSubscription: name };
    await follow(name, options).complete();
    for (const following of running) await following.stop();
    await broker.kill();
    await broker.start();
    await publish(name, 'kept');
    const again = follow(name, options);
    await again.complete();
    assert.deepEqual(again.sink.gapless, [true]);
    assert.ok(again.sink.has('kept'));
  });

  behaves('a durable subscription is for one gateway', async (name) => {
    const first = follow(name, { durableSubscription: name });
    await first.complete();
    const second = follow(name, { durableSubscription: name });
    const { message } = await second.rejection();
    assert.match(message, /another gateway has the durable subscription/);
    assert.equal(second.sink.completes.length, 0);
    await publish(name, 'heard');
    await first.until((sink) => sink.has('heard'), 'the first one still hears');
    assert.ok(!first.ended);
  });

  behaves('the name of a durable subscription is checked', () => {
    for (const durableSubscription of ['', 'a b', 'a/b', '.x', 'x'.repeat(101), 'a\n'])
      assert.throws(() => follow('t', { durableSubscription }), {
        code: 'ERR_DURABLE_SUBSCRIPTION',
      });
    return Promise.resolve();
  });

  for (const durable of [true, false])
    behaves(
      `${durable ? 'a durable' : 'any other'} subscription acknowledges only what is on disk`,
      async (name) => {
        const sink = new CollectingSink();
        let written = Promise.withResolvers<void>();
        sink.durable = () => written.promise;
        const following = follow(name, durable ? { durableSubscription: name } : {}, sink);
        await following.complete();
        await publish(name, 'a', 'b', 'c');
        await following.until((seen) => seen.has('a', 'b', 'c'), 'they act at once');
        assert.deepEqual(await counts(), { unacknowledged: 3, ready: 0 });
        const before = written;
        written = Promise.withResolvers<void>();
        before.resolve();
        await until(async () => (await counts()).unacknowledged < 3, 'some are acknowledged');
        written.resolve();
        await until(async () => (await counts()).unacknowledged === 0, 'all are acknowledged');
      },
    );

  behaves('while the disk fails events act, unacknowledged, and come again', async (name) => {
    const sink = new CollectingSink();
    let asked = 0;
    let failing = true;
    sink.durable = () => {
      asked++;
      return failing ? Promise.reject(new Error('ENOSPC')) : Promise.resolve();
    };
    const options = { durableSubscription: name, proofIntervalMs: 50 };
    const first = follow(name, options, sink);
    await first.complete();
    await publish(name, 'a', 'b');
    await first.until((seen) => seen.has('a', 'b'), 'they act');
    const { proofs } = sink;
    await first.until((seen) => seen.proofs > proofs + 3, 'nothing waits: that is proved');
    await until(() => asked >= 2, 'the disk is asked again');
    assert.ok(asked < 5, `not in a tight loop: ${asked}`);
    assert.equal((await counts()).unacknowledged, 2);
    assert.equal(log.lines.filter((line) => /WARN .*not acknowledged/.test(line)).length, 1);
    await first.stop();

    // The gateway was killed before its disk was well: the broker has both still.
    failing = false;
    const again = new CollectingSink();
    const second = follow(name, options, again);
    await second.complete();
    assert.deepEqual(again.gapless, [true]);
    assert.ok(again.has('a', 'b'));
    await until(async () => (await counts()).unacknowledged === 0, 'acknowledged now');
  });

  behaves('what waits behind a full window is not proved, until it was heard', async (name) => {
    const sink = new CollectingSink();
    let failing = true;
    sink.durable = () => (failing ? Promise.reject(new Error('ENOSPC')) : Promise.resolve());
    const following = follow(name, { prefetch: 3, proofIntervalMs: 50 }, sink);
    await following.complete();
    await publish(name, 'a', 'b', 'c', 'd', 'e');
    await following.until((seen) => seen.has('a', 'b', 'c'), 'the window');
    const fullAt = performance.now();
    assert.deepEqual(await counts(), { unacknowledged: 3, ready: 2 });
    assert.ok(!sink.has('d'));
    const { provedAt } = sink;
    assert.ok(!provedAt.some((ms) => ms > fullAt), 'nothing is proved with messages waiting');
    failing = false;
    await following.until((seen) => seen.has('d', 'e'), 'the rest');
    await following.until(() => (provedAt.at(-1) ?? 0) > fullAt, 'a proof again');
    assert.ok(!following.ended);
  });

  behaves('a queue that never runs empty is proved up to what was heard of it', async (name) => {
    const sink = new CollectingSink();
    sink.durable = () => pause(25);
    const following = follow(name, { prefetch: 2, proofIntervalMs: 20 }, sink);
    await following.complete();
    const tokens: string[] = [];
    // Faster than they are acknowledged, until there is a proof of the first ones.
    const more = async (): Promise<void> => {
      const next = Array.from({ length: 40 }, (_, index) => `t${tokens.length + index}`);
      tokens.push(...next);
      await publish(name, ...next);
    };
    await more();
    const publishedAt = performance.now();
    const isProved = (): boolean => (sink.provedAt.at(-1) ?? 0) > publishedAt;
    const given = AbortSignal.timeout(60_000);
    while (!isProved()) {
      given.throwIfAborted();
      await more();
    }
    assert.ok(sink.has(...tokens.slice(0, 40)));
    assert.ok(!sink.has(...tokens), 'it was not waited for an empty queue');
  });

  behaves('a link that is half-open proves nothing, and is given up', async (name) => {
    const relay = await startTcpRelay(broker.port);
    try {
      const sink = new CollectingSink();
      const providerUrl = urlOf(relay.port);
      const following = follow(name, { providerUrl, proofIntervalMs: 50 }, sink);
      await following.until(({ proofs }) => proofs > 2, 'proofs');
      relay.freeze();
      const frozenAt = performance.now();
      const { message } = await following.rejection();
      assert.match(message, /did not answer within|heartbeat/i);
      // One question may have been answered before.
      assert.ok(sink.provedAt.every((ms) => ms <= frozenAt));
    } finally {
      for (const following of running) await following.stop();
      running.clear();
      await relay.close();
    }
  });
});
