import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ClientConnection } from '../../src/http1/client-connection.ts';
import {
  ConnectionPool,
  type PoolError,
  type PoolLimits,
  type Waiting,
} from '../../src/http1/pool.ts';
import { Answer } from './client-stage.ts';
import { FakeClock, FakeWire, latin1, LIMITS } from './fake-wire.ts';

const OK = latin1('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');

interface Opened {
  readonly wire: FakeWire;
  readonly connection: ClientConnection;
  ready(): void;
  failed(): void;
  cancelled: boolean;
}

/** A pool whose connections a test opens by hand. */
class PoolStage {
  readonly clock = new FakeClock();
  readonly opened: Opened[] = [];
  readonly pool: ConnectionPool;
  /** Connections are ready inside of `open`. */
  atOnce = false;
  /** Or have failed. */
  failAtOnce = false;
  /** What takers got, in order: names of connections by their place in `opened`, or kinds of errors. */
  readonly given: string[] = [];

  constructor(limits: Partial<PoolLimits> = {}) {
    this.pool = new ConnectionPool(
      (ready, failed) => {
        const wire = new FakeWire();
        const connection = new ClientConnection(wire, LIMITS, this.clock, () => {});
        const opened: Opened = {
          wire,
          connection,
          ready: () => ready(connection),
          failed: () => failed(new Error('refused')),
          cancelled: false,
        };
        this.opened.push(opened);
        if (this.atOnce) opened.ready();
        if (this.failAtOnce) opened.failed();
        return () => {
          opened.cancelled = true;
        };
      },
      {
        maxConnections: 2,
        maxQueued: 3,
        queueMs: 5_000,
        connectMs: 3_000,
        idleMs: 4_000,
        ...limits,
      },
      this.clock,
    );
  }

  at(index: number): Opened {
    const opened = this.opened[index];
    if (opened === undefined) throw new Error(`connection ${index} was not opened`);
    return opened;
  }

  /** Takes one and asks on it. */
  take(name: string, fresh = false): Waiting {
    return this.pool.take(
      (connection) => {
        const index = this.opened.findIndex((opened) => opened.connection === connection);
        this.given.push(`${name} ${index}`);
        connection.send('HEAD', 'GET', undefined, false, new Answer());
      },
      (error: PoolError) => this.given.push(`${name} ${error.kind}`),
      fresh,
    );
  }

  answer(index: number, bytes = OK): void {
    this.at(index).connection.receive(bytes);
  }

  get counts(): string {
    return `${this.pool.busy} busy ${this.pool.idle} idle ${this.pool.queued} queued`;
  }
}

void describe('taking', () => {
  void test('a connection is opened, given, idle after its exchange, and given again', () => {
    const stage = new PoolStage();
    stage.take('a');
    assert.deepEqual(stage.given, []);
    assert.equal(stage.counts, '0 busy 0 idle 0 queued');
    stage.at(0).ready();
    assert.deepEqual(stage.given, ['a 0']);
    assert.equal(stage.counts, '1 busy 0 idle 0 queued');
    stage.answer(0);
    assert.equal(stage.counts, '0 busy 1 idle 0 queued');
    stage.take('b');
    assert.deepEqual(stage.given, ['a 0', 'b 0']);
    stage.answer(0);
    assert.equal(stage.pool.takeIdle(), stage.at(0).connection);
    assert.equal(stage.pool.takeIdle(), undefined);
    assert.equal(stage.opened.length, 1);
  });

  void test('the one that was used last is used next', () => {
    const stage = new PoolStage();
    stage.atOnce = true;
    stage.take('a');
    stage.take('b');
    stage.answer(1);
    stage.answer(0);
    stage.take('c');
    assert.deepEqual(stage.given, ['a 0', 'b 1', 'c 0']);
  });

  void test('no more connections than allowed; who waits is served in turn by those that come free', () => {
    const stage = new PoolStage();
    stage.atOnce = true;
    for (const name of ['a', 'b', 'c', 'd', 'e']) stage.take(name);
    assert.equal(stage.opened.length, 2);
    assert.equal(stage.counts, '2 busy 0 idle 3 queued');
    stage.take('f');
    assert.deepEqual(stage.given, ['a 0', 'b 1', 'f full']);
    stage.answer(1);
    stage.answer(0);
    stage.answer(0);
    assert.deepEqual(stage.given.slice(3), ['c 1', 'd 0', 'e 0']);
    assert.equal(stage.counts, '2 busy 0 idle 0 queued');
  });

  void test('a connection that comes free serves who waits for one that is being opened; that one becomes idle', () => {
    const stage = new PoolStage();
    stage.take('a');
    stage.at(0).ready();
    stage.take('b');
    assert.equal(stage.opened.length, 2);
    stage.answer(0);
    assert.deepEqual(stage.given, ['a 0', 'b 0']);
    stage.at(1).ready();
    assert.equal(stage.counts, '1 busy 1 idle 0 queued');
  });

  void test('a busy connection that dies makes room for who waits', () => {
    const stage = new PoolStage({ maxConnections: 1 });
    stage.atOnce = true;
    stage.take('a');
    stage.take('b');
    stage.at(0).connection.gone(new Error('reset'));
    assert.deepEqual(stage.given, ['a 0', 'b 1']);
    stage.answer(1, latin1('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'));
    assert.equal(stage.counts, '0 busy 0 idle 0 queued');
  });

  void test('an idle connection that the other side closes, or speaks on, is forgotten', () => {
    for (const how of ['end', 'bytes'] as const) {
      const stage = new PoolStage();
      stage.atOnce = true;
      stage.take('a');
      stage.answer(0);
      if (how === 'end') stage.at(0).connection.receivedEnd();
      else stage.answer(0);
      assert.equal(stage.counts, '0 busy 0 idle 0 queued');
      stage.take('b');
      assert.deepEqual(stage.given, ['a 0', 'b 1']);
    }
  });
});

void describe('a fresh connection', () => {
  void test('is one that has served nothing, though others are idle', () => {
    const stage = new PoolStage();
    stage.atOnce = true;
    stage.take('a');
    stage.answer(0);
    stage.take('b', true);
    assert.deepEqual(stage.given, ['a 0', 'b 1']);
    assert.equal(stage.counts, '1 busy 1 idle 0 queued');
  });

  void test('takes the place of an idle one where there is no room', () => {
    const stage = new PoolStage({ maxConnections: 1 });
    stage.atOnce = true;
    stage.take('a');
    stage.answer(0);
    stage.take('b', true);
    assert.equal(stage.at(0).wire.closed, 'destroyed');
    assert.deepEqual(stage.given, ['a 0', 'b 1']);
  });

  void test('leaves the idle ones to others while it is opened, and those that come free', () => {
    const stage = new PoolStage();
    stage.take('a');
    stage.at(0).ready();
    stage.answer(0);
    stage.take('b', true);
    stage.take('c');
    assert.deepEqual(stage.given, ['a 0', 'c 0']);
    stage.answer(0);
    assert.equal(stage.pool.idle, 1);
    stage.at(1).ready();
    assert.deepEqual(stage.given, ['a 0', 'c 0', 'b 1']);
  });

  void test('waits for a place; one that comes free is closed for it, unless another may have that', () => {
    const stage = new PoolStage({ maxConnections: 1 });
    stage.atOnce = true;
    stage.take('a');
    stage.take('b', true);
    stage.take('c');
    stage.answer(0);
    assert.deepEqual(stage.given, ['a 0', 'c 0']);
    stage.answer(0);
    assert.equal(stage.at(0).wire.closed, 'destroyed');
    assert.deepEqual(stage.given, ['a 0', 'c 0', 'b 1']);
  });
});

void describe('failures', () => {
  void test('who waits longest hears of a connection that could not be opened; the others get their own', () => {
    const stage = new PoolStage();
    stage.take('a');
    stage.take('b');
    stage.take('c');
    stage.at(1).failed();
    assert.deepEqual(stage.given, ['a connect']);
    assert.equal(stage.opened.length, 3);
    stage.at(0).ready();
    stage.at(2).ready();
    assert.deepEqual(stage.given, ['a connect', 'b 0', 'c 2']);
  });

  void test('a whole queue of connections that fail at once needs no stack and spares nobody', () => {
    const stage = new PoolStage({ maxConnections: 1, maxQueued: 20_000 });
    stage.take('a');
    for (let index = 0; index < 10_000; index++) stage.take('x');
    stage.failAtOnce = true;
    stage.at(0).failed();
    assert.equal(stage.given.length, 10_001);
    assert.equal(stage.counts, '0 busy 0 idle 0 queued');
  });

  void test('one that is not ready in time is cancelled; if it comes nevertheless it is closed', () => {
    const stage = new PoolStage();
    stage.take('a');
    stage.clock.nowMs += 2_999;
    stage.pool.sweep(stage.clock.nowMs);
    assert.deepEqual(stage.given, []);
    stage.clock.nowMs += 1;
    stage.pool.sweep(stage.clock.nowMs);
    assert.deepEqual(stage.given, ['a connectTimeout']);
    assert.equal(stage.at(0).cancelled, true);
    stage.at(0).ready();
    assert.equal(stage.at(0).wire.closed, 'destroyed');
    stage.at(0).failed();
    assert.deepEqual(stage.given, ['a connectTimeout']);
  });

  void test('one that was opened for somebody else, and is not ready in time, is no failure of who came later', () => {
    const stage = new PoolStage({ maxConnections: 1 });
    const first = stage.take('a');
    stage.clock.nowMs += 2_900;
    first.cancel();
    stage.take('b');
    assert.equal(stage.opened.length, 1, 'it may still become ready');
    stage.clock.nowMs += 100;
    stage.pool.sweep(stage.clock.nowMs);
    assert.deepEqual(stage.given, []);
    stage.at(1).ready();
    assert.deepEqual(stage.given, ['b 1']);
  });

  void test('who waits for too long is given up; who has a connection on its way is not', () => {
    const stage = new PoolStage({ connectMs: 60_000 });
    stage.take('a');
    stage.take('b');
    stage.take('c');
    stage.clock.nowMs += 1;
    stage.take('d');
    stage.clock.nowMs += 4_999;
    stage.pool.sweep(stage.clock.nowMs);
    assert.deepEqual(stage.given, ['c waited']);
    stage.clock.nowMs += 1;
    stage.pool.sweep(stage.clock.nowMs);
    assert.deepEqual(stage.given, ['c waited', 'd waited']);
    stage.at(0).ready();
    assert.deepEqual(stage.given, ['c waited', 'd waited', 'a 0']);
  });

  void test('who cancels hears nothing; its connection is the next one’s', () => {
    const stage = new PoolStage({ maxConnections: 1 });
    const first = stage.take('a');
    const second = stage.take('b');
    first.cancel();
    first.cancel();
    stage.at(0).ready();
    assert.deepEqual(stage.given, ['b 0']);
    second.cancel();
    stage.answer(0);
    assert.equal(stage.counts, '0 busy 1 idle 0 queued');

    const alone = new PoolStage();
    alone.take('a').cancel();
    alone.at(0).ready();
    assert.equal(alone.counts, '0 busy 1 idle 0 queued');
  });
});

void describe('idle connections', () => {
  void test('are closed when they were idle for too long, and not given before that is seen', () => {
    const stage = new PoolStage();
    stage.atOnce = true;
    stage.take('a');
    stage.take('b');
    stage.answer(0);
    stage.clock.nowMs += 1_000;
    stage.answer(1);
    stage.clock.nowMs += 2_999;
    stage.pool.sweep(stage.clock.nowMs);
    assert.equal(stage.pool.idle, 2);
    stage.clock.nowMs += 1;
    stage.pool.sweep(stage.clock.nowMs);
    assert.equal(stage.pool.idle, 1);
    assert.equal(stage.at(0).wire.closed, 'destroyed');
    stage.clock.nowMs += 1_000;
    stage.take('c');
    assert.equal(stage.at(1).wire.closed, 'destroyed');
    assert.deepEqual(stage.given, ['a 0', 'b 1', 'c 2']);
  });

  void test('are closed a second before the other side would', () => {
    const stage = new PoolStage();
    stage.atOnce = true;
    const says = (seconds: number): Buffer =>
      latin1(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=${seconds}\r\n\r\n`);
    stage.take('a');
    stage.answer(0, says(3));
    stage.clock.nowMs += 1_999;
    stage.pool.sweep(stage.clock.nowMs);
    assert.equal(stage.pool.idle, 1);
    stage.clock.nowMs += 1;
    stage.pool.sweep(stage.clock.nowMs);
    assert.equal(stage.pool.idle, 0);
    stage.take('b');
    stage.answer(1, says(1));
    assert.equal(stage.pool.idle, 0, 'no time is left at all');
    stage.take('c');
    stage.answer(2, says(60));
    stage.clock.nowMs += 4_000;
    stage.pool.sweep(stage.clock.nowMs);
    assert.equal(stage.pool.idle, 0, 'never longer than we keep them');
  });

  void test('are kept up to a number', () => {
    const stage = new PoolStage({ maxConnections: 3, maxIdle: 1 });
    stage.atOnce = true;
    for (const name of ['a', 'b']) stage.take(name);
    stage.answer(0);
    stage.answer(1);
    assert.equal(stage.counts, '0 busy 1 idle 0 queued');
    assert.equal(stage.at(1).wire.closed, 'destroyed');
  });
});

void describe('closing', () => {
  void test('idle connections are closed, who waits is told, busy ones end with their exchange', () => {
    const stage = new PoolStage({ maxConnections: 3 });
    stage.take('a');
    stage.take('b');
    stage.at(0).ready();
    stage.at(1).ready();
    stage.answer(1);
    stage.take('c');
    stage.answer(1);
    stage.take('d');
    stage.take('e');
    stage.take('f');
    assert.equal(stage.counts, '2 busy 0 idle 1 queued');
    stage.pool.close();
    assert.deepEqual(stage.given.slice(-2), ['e closed', 'f closed']);
    assert.equal(stage.at(2).cancelled, true);
    stage.at(2).ready();
    assert.equal(stage.at(2).wire.closed, 'destroyed');
    assert.equal(stage.at(0).wire.closed, 'no');
    stage.answer(0);
    assert.equal(stage.at(0).wire.closed, 'destroyed');
    stage.take('g');
    assert.equal(stage.given.at(-1), 'g closed');
    stage.answer(1);
    assert.equal(stage.counts, '0 busy 0 idle 0 queued');
    stage.pool.close();
    stage.pool.sweep(stage.clock.nowMs);

    const idle = new PoolStage();
    idle.atOnce = true;
    idle.take('a');
    idle.answer(0);
    idle.pool.close();
    assert.equal(idle.at(0).wire.closed, 'destroyed');
    assert.equal(idle.counts, '0 busy 0 idle 0 queued');
  });
});
