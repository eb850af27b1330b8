import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { test, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import { Admission, type Guest } from '../../src/gateway/admission.ts';
import { TrustedProxies } from '../../src/gateway/client-address.ts';
import { Observer, readTallies, COUNTER_BYTES } from '../../src/gateway/observe.ts';
import { DEFAULT_LIMITS } from '../../src/gateway/options.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';
import {
  api,
  ENGINE,
  localCertificate,
  openApi,
  rawUpstream,
  stage,
  statusOf,
  wire,
  Wire,
} from './stage.ts';

/** A connection whose silence the test decides. */
class Visitor implements Guest {
  evicted = false;
  silentMs: number | undefined;

  constructor(silentMs?: number) {
    this.silentMs = silentMs;
  }

  evict(): void {
    this.evicted = true;
  }
}

function house(maxConnections: number, maxConnectionsPerAddress: number, proxies: string[] = []) {
  const memory = new SharedArrayBuffer(COUNTER_BYTES);
  const log = recordedLog(false);
  const clock = { now: 0 };
  const rules = {
    limits: { ...DEFAULT_LIMITS, maxConnections, maxConnectionsPerAddress },
    trustedProxies: new TrustedProxies(proxies),
    observer: new Observer(memory),
    log,
  };
  const admission = new Admission(
    () => rules,
    () => clock.now,
  );
  return { admission, log, clock, tallies: () => readTallies([memory]) };
}

test('of an address with too many connections the one goes that has been silent for longest', () => {
  const { admission, tallies } = house(100, 3);
  const [busy, short, long] = [new Visitor(), new Visitor(10), new Visitor(20)];
  for (const one of [busy, short, long]) assert.ok(admission.enter('192.0.2.1', one));
  const other = new Visitor(1_000);
  assert.ok(admission.enter('192.0.2.2', other), 'another address has a bound of its own');
  assert.ok(admission.enter('192.0.2.1', new Visitor()));
  assert.deepEqual(
    [busy, short, long, other].map(({ evicted }) => evicted),
    [false, false, true, false],
  );
  assert.ok(admission.enter('192.0.2.1', new Visitor()));
  assert.ok(short.evicted);
  assert.equal(admission.enter('192.0.2.1', new Visitor()), false, 'something is under way on all');
  assert.ok(!busy.evicted && !other.evicted);
  assert.deepEqual(tallies(), { connectionsEvicted: 2, connectionsRefused: 1, requestsShed: 0 });
  assert.equal(admission.size, 4);
});

test('of those that have been silent for the same time the one goes that came last', () => {
  const { admission } = house(100, 3);
  const come = (): Visitor => {
    const one = new Visitor(0);
    assert.ok(admission.enter('192.0.2.1', one));
    return one;
  };
  const first = come();
  for (const sweep of [false, false, true, false]) {
    const others = [come(), come()];
    // Nothing has moved the clock since: those that came after the first look are silent for as long as those that it found.
    for (let count = 0; count < 5; count++) {
      others.push(come());
      assert.deepEqual(
        others.map(({ evicted }) => evicted),
        others.map((_, at) => at > 0 && at < others.length - 1),
      );
    }
    if (sweep) admission.sweep();
    for (const one of others) admission.leave(one);
  }
  assert.ok(!first.evicted);
});

test('when all together are too many the one goes that has been silent for longest, whose ever it is', () => {
  const { admission } = house(2, 2);
  const [old, young] = [new Visitor(20), new Visitor(10)];
  admission.enter('192.0.2.1', old);
  admission.enter('192.0.2.2', young);
  assert.ok(admission.enter('192.0.2.3', new Visitor(0)));
  assert.ok(old.evicted && !young.evicted);
});

test('an address is a /64 of IPv6, and one of IPv4 however it is written', () => {
  const { admission } = house(100, 1);
  const first = new Visitor();
  admission.enter('2001:db8:1:2::1', first);
  assert.equal(admission.enter('2001:db8:1:2:ffff::9', new Visitor()), false);
  assert.ok(admission.enter('2001:db8:1:3::1', new Visitor()));
  assert.ok(admission.enter('192.0.2.1', new Visitor()));
  assert.equal(admission.enter('::ffff:192.0.2.1', new Visitor()), false);
});

test('a trusted proxy has no bound of its own, but counts among all', () => {
  const { admission } = house(3, 1, ['192.0.2.0/24']);
  for (let count = 0; count < 3; count++) assert.ok(admission.enter('192.0.2.1', new Visitor()));
  assert.equal(admission.enter('192.0.2.1', new Visitor()), false);
  assert.equal(admission.enter('198.51.100.1', new Visitor()), false);
});

test('who has left leaves room, once, and whoever was found silent and is not any more stays', () => {
  const { admission } = house(100, 2);
  const [first, second] = [new Visitor(5), new Visitor(9)];
  admission.enter('192.0.2.1', first);
  admission.enter('192.0.2.1', second);
  admission.leave(first);
  admission.leave(first);
  assert.equal(admission.size, 1);
  assert.ok(admission.enter('192.0.2.1', first));
  assert.ok(admission.enter('192.0.2.1', new Visitor()));
  assert.ok(second.evicted && !first.evicted);
  first.silentMs = undefined; // a request has come
  assert.equal(admission.enter('192.0.2.1', new Visitor()), false);
  first.silentMs = 0; // and is answered
  assert.ok(admission.enter('192.0.2.1', new Visitor()));
  assert.ok(first.evicted);
});

test('whatever comes and goes: the bounds hold, and nobody goes who was silent for a shorter time than another', () => {
  const step = fc.record({
    what: fc.constantFrom('come', 'come', 'leave', 'ask', 'answered', 'sweep'),
    address: fc.integer({ min: 1, max: 4 }),
    whom: fc.nat(50),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const { admission } = house(12, 5);
      /** Who is here, from where, and since when silent; undefined: a request is under way. */
      const here = new Map<Visitor, { address: number; since: number | undefined }>();
      for (const [now, { what, address, whom }] of steps.entries()) {
        for (const [visitor, { since }] of here)
          visitor.silentMs = since === undefined ? undefined : now - since;
        const [known, state] = [...here][whom % Math.max(1, here.size)] ?? [];
        if (what === 'sweep') admission.sweep();
        else if (what === 'come') {
          const own = [...here].filter(([, one]) => one.address === address);
          const crowd = own.length >= 5 ? own : [...here];
          const full = own.length >= 5 || here.size >= 12;
          const longest = Math.max(-1, ...crowd.map(([{ silentMs }]) => silentMs ?? -1));
          const visitor = new Visitor(0);
          const entered = admission.enter(`192.0.2.${address}`, visitor);
          const gone = [...here.keys()].filter(({ evicted }) => evicted);
          assert.equal(entered, !full || longest >= 0);
          assert.deepEqual(
            gone.map(({ silentMs }) => silentMs),
            full && longest >= 0 ? [longest] : [],
          );
          for (const one of gone) here.delete(one);
          if (entered) here.set(visitor, { address, since: now });
        } else if (known !== undefined && state !== undefined) {
          if (what === 'leave') {
            admission.leave(known);
            here.delete(known);
          } else {
            state.since = what === 'ask' ? undefined : now;
            known.silentMs = what === 'ask' ? undefined : 0;
          }
        }
        assert.equal(admission.size, here.size);
      }
    }),
  );
});

test('newcomers that alone are silent have a crowd looked over once in each sweep', () => {
  const { admission } = house(1_000, 1_000);
  let looks = 0;
  const busy = new Visitor();
  Object.defineProperty(busy, 'silentMs', { get: () => void looks++ });
  let last = new Visitor(0);
  for (const one of [busy, last]) assert.ok(admission.enter('192.0.2.1', one));
  for (let n = 2; n < 1_000; n++) assert.ok(admission.enter('192.0.2.1', new Visitor()));
  for (let sweeps = 1; sweeps <= 3; sweeps++) {
    for (let n = 0; n < 100; n++) {
      const next = new Visitor(0);
      assert.ok(admission.enter('192.0.2.1', next));
      assert.ok(last.evicted);
      last = next;
    }
    assert.equal(looks, sweeps);
    admission.sweep();
  }
  last.silentMs = undefined;
  assert.equal(admission.enter('192.0.2.1', new Visitor(0)), false);
});

test('it is said once a minute, with how many there were', () => {
  const { admission, log, clock } = house(1, 1);
  admission.enter('192.0.2.1', new Visitor());
  for (let count = 0; count < 5; count++) admission.enter('192.0.2.2', new Visitor());
  assert.equal(log.lines.length, 1);
  clock.now = 60_000;
  admission.enter('192.0.2.3', new Visitor());
  assert.equal(log.lines.length, 2);
  assert.match(log.lines[1] ?? '', /^WARN .* 5 connection\(s\) closed .* from 192\.0\.2\.3:/);
});

/** A connection from another address of this machine. */
async function from(t: TestContext, localAddress: string, port: number): Promise<Wire> {
  const socket = connectTcp({ port, host: '127.0.0.1', localAddress });
  t.after(() => socket.destroy());
  const made = new Wire(socket);
  await once(socket, 'connect');
  return made;
}

const ASK = 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n';

test(`a connection on which a request is under way outlives those that are silent: ${ENGINE}`, async (t) => {
  const waiting: (() => void)[] = [];
  const upstream = await rawUpstream(t, (socket) => {
    socket.once('data', () => {
      waiting.push(() => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
    });
  });
  const { port } = await stage(t, {
    apis: [openApi(upstream.url)],
    limits: { maxConnectionsPerAddress: 3 },
  });
  const asking = (await wire(t, port)).send(ASK);
  await until(() => waiting.length === 1, 'the first call');
  const inHead = (await wire(t, port)).send('GET /a HTTP/1.1\r\nHos');
  const silent = await wire(t, port);
  const other = await from(t, '127.0.0.2', port);
  const fourth = (await wire(t, port)).send(ASK);
  await until(() => waiting.length === 2, 'the second call');
  const over = (): boolean[] => [inHead, silent].map(({ socket }) => socket.closed);
  await until(() => over().includes(true), 'one that was silent is closed');
  assert.ok(over().includes(false));
  const fifth = (await wire(t, port)).send(ASK);
  await until(() => waiting.length === 3, 'the third call');
  await silent.closed();
  const refused = await wire(t, port);
  assert.equal(await refused.closed(), '');
  other.send(ASK);
  await until(() => waiting.length === 4, 'the fourth call');
  for (const answer of waiting) answer();
  for (const one of [asking, fourth, fifth, other])
    assert.equal(statusOf(await one.until(/ok$/)), 200);
});

test(`connections in TLS count from their first byte, and sessions of HTTP/2 with them: ${ENGINE}`, async (t) => {
  const waiting: (() => void)[] = [];
  const upstream = await rawUpstream(t, (socket) => {
    socket.once('data', () => {
      waiting.push(() => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
    });
  });
  const tls = await localCertificate();
  const { port } = await stage(t, {
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls }],
    apis: [api('', ['GET /a', { production: [upstream.url] }])],
    limits: { maxConnectionsPerAddress: 2 },
  });
  const session = connectHttp2(`https://127.0.0.1:${port}`, { ca: tls.cert });
  t.after(() => session.destroy());
  const stream = session.request({ ':path': '/a' });
  await until(() => waiting.length === 1, 'the first call');
  const mute = await wire(t, port); // never says hello
  const secure = connectTls({ port, host: '127.0.0.1', ca: tls.cert, ALPNProtocols: ['http/1.1'] });
  t.after(() => secure.destroy());
  const speaking = new Wire(secure);
  await once(secure, 'secureConnect');
  await mute.closed();
  speaking.send(ASK);
  await until(() => waiting.length === 2, 'the second call');
  assert.equal(await (await wire(t, port)).closed(), '', 'both are at work');
  waiting[0]?.();
  const [head] = (await once(stream, 'response')) as [Record<string, unknown>];
  assert.equal(head[':status'], 200);
  stream.resume();
  await once(stream, 'close');
  waiting[1]?.();
  assert.equal(statusOf(await speaking.until(/ok$/)), 200);
  // Both are silent now, the session for longer.
  const next = await wire(t, port);
  await until(() => session.closed, 'the session is closed');
  assert.equal(next.ending, 'open');
});
