import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { latin1 } from './fake-wire.ts';
import { ok, plain, ServerStage, type Seen } from './server-stage.ts';

function asked(head: string): { stage: ServerStage; seen: Seen } {
  const stage = new ServerStage();
  stage.receive(head);
  return { stage, seen: stage.request(0) };
}

const GET = 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n';

void describe('one write', () => {
  void test('head and small body, framed either way, and the last chunk', () => {
    const known = asked(GET);
    known.seen.exchange.writeHead(200, ['x', 'y'], 5, false, true);
    known.seen.exchange.write(latin1('he'));
    known.seen.exchange.end(latin1('llo'));
    assert.equal(known.stage.wire.calls, 1);
    assert.equal(
      plain(known.stage.wire.take()),
      'HTTP/1.1 200 OK\r\nx: y\r\nContent-Length: 5\r\n\r\nhello',
    );

    const chunked = asked(GET);
    chunked.seen.exchange.writeHead(200, [], -1, false, true);
    chunked.seen.exchange.write(latin1('he'));
    chunked.seen.exchange.write(latin1(''));
    chunked.seen.exchange.write(latin1('llo'));
    chunked.seen.exchange.end();
    assert.equal(chunked.stage.wire.calls, 1);
    assert.equal(
      plain(chunked.stage.wire.take()),
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n',
    );
  });

  void test('a large chunk leaves at once, with what was kept before it', () => {
    const { stage, seen } = asked(GET);
    const large = 'x'.repeat(16_384);
    seen.exchange.writeHead(200, [], -1, false, true);
    seen.exchange.write(latin1('a'));
    assert.equal(stage.wire.calls, 0);
    seen.exchange.write(latin1(large));
    assert.equal(stage.wire.calls, 1);
    assert.ok(stage.wire.take().endsWith(`1\r\na\r\n4000\r\n${large}\r\n`));
    seen.exchange.end(latin1(large));
    assert.equal(stage.wire.calls, 2);
    assert.equal(stage.wire.take(), `4000\r\n${large}\r\n0\r\n\r\n`);
  });

  void test('at most 16 KiB are kept; flush sends them', () => {
    const { stage, seen } = asked(GET);
    seen.exchange.writeHead(200, [], -1, false, true);
    for (let index = 0; index < 16; index++) seen.exchange.write(latin1('x'.repeat(1_024)));
    assert.equal(stage.wire.calls, 1);
    assert.ok(stage.wire.written.length <= 16_384);
    seen.exchange.flush();
    assert.equal(stage.wire.calls, 2);
    seen.exchange.flush();
    assert.equal(stage.wire.calls, 2);
  });

  void test('small chunks are copied: their memory is used again', () => {
    const { stage, seen } = asked(GET);
    const lent = Buffer.from('hello');
    seen.exchange.writeHead(200, [], 5, false, true);
    seen.exchange.write(lent);
    lent.fill(0xaa);
    seen.exchange.end();
    assert.equal(plain(stage.wire.take()), ok('hello'));
  });

  void test('a view that is no Buffer, and text of all characters', () => {
    const bytes = asked(GET);
    bytes.seen.exchange.writeHead(200, [], 2, false, true);
    bytes.seen.exchange.end(new Uint8Array([0, 1, 0xff, 2]).subarray(1, 3));
    assert.ok(bytes.stage.wire.take().endsWith('\r\n\r\n\x01\xff'));

    const text = asked(GET);
    text.seen.exchange.writeHead(200, [], Buffer.byteLength('é€'), false, true);
    text.seen.exchange.end('é€');
    assert.ok(text.stage.wire.take().endsWith(`\r\n\r\n${Buffer.from('é€').toString('latin1')}`));
  });
});

void describe('framing', () => {
  void test('answers that have no body write none, whatever is given', () => {
    for (const [method, status, length, said] of [
      ['HEAD', 200, 5, 'Content-Length: 5\r\n'],
      ['HEAD', 200, -1, ''],
      ['GET', 204, 5, ''],
      ['GET', 204, -1, ''],
      ['GET', 304, 5, 'Content-Length: 5\r\n'],
      ['GET', 304, -1, ''],
    ] as const) {
      const { stage, seen } = asked(`${method} / HTTP/1.1\r\nHost: h\r\n\r\n`);
      seen.exchange.writeHead(status, [], length, false, true);
      assert.equal(seen.exchange.write(latin1('hello')), true);
      seen.exchange.end(latin1('more'));
      const name = `${method} ${status} ${length}`;
      assert.match(plain(stage.wire.written), /^HTTP\/1.1 \d{3} [A-Za-z ]+\r\n/, name);
      assert.equal(plain(stage.wire.take()).replace(/^[^\n]*\n/, ''), `${said}\r\n`, name);
      assert.equal(stage.connection.phase, 'idle', name);
    }
  });

  void test('HTTP/1.0 gets no chunks: a body of unknown length ends with the connection', () => {
    const { stage, seen } = asked('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    assert.equal(seen.exchange.version, '1.0');
    seen.exchange.writeHead(200, [], -1, false, true);
    seen.exchange.write(latin1('hello'));
    seen.exchange.end();
    assert.equal(plain(stage.wire.take()), 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello');
    assert.equal(stage.wire.ended, true);
  });

  void test('close is what the caller, or the request, says', () => {
    const byCaller = asked(GET);
    byCaller.seen.exchange.writeHead(200, [], 2, true, true);
    byCaller.seen.exchange.end(latin1('ok'));
    assert.equal(plain(byCaller.stage.wire.take()), ok('ok', true));
    assert.equal(byCaller.stage.wire.ended, true);

    const byRequest = asked('GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
    byRequest.seen.answer();
    assert.equal(plain(byRequest.stage.wire.take()), ok('ok', true));
  });

  void test('an answer shorter or longer than its head says is broken off, never ended', () => {
    for (const pieces of [['hell'], ['hello', '!'], ['hello!'], []]) {
      const { stage, seen } = asked(GET);
      seen.exchange.writeHead(200, [], 5, false, true);
      for (const piece of pieces.slice(0, -1)) seen.exchange.write(latin1(piece));
      seen.exchange.end(latin1(pieces.at(-1) ?? ''));
      assert.equal(stage.wire.closed, 'reset');
      assert.deepEqual(seen.log, ['close']);
      assert.ok(!stage.wire.written.endsWith('hello!'));
    }
    const { stage, seen } = asked(GET);
    seen.exchange.writeHead(200, [], 5, false, true);
    seen.exchange.write(latin1('hello!'));
    assert.equal(stage.wire.closed, 'reset');
  });

  void test('there is one Date, of the second', () => {
    const { stage, seen } = asked(GET);
    seen.answer();
    const date = /\r\nDate: ([^\r]+)\r\n/.exec(stage.wire.take())?.[1] ?? '';
    assert.ok(Math.abs(Date.parse(date) - Date.now()) < 5_000);
    assert.equal(new Date(date).toUTCString(), date);
  });
});

void describe('calls out of order', () => {
  void test('fields that HTTP does not allow: TypeError, nothing was sent, and there may be another answer', () => {
    for (const bad of [
      ['a b', 'c'],
      ['a', 'b\r\nc: d'],
      ['Content-Length', '3'],
      ['a', '€'],
    ]) {
      const { stage, seen } = asked(GET);
      assert.throws(() => seen.exchange.writeHead(200, bad, 2, true, false), TypeError);
      seen.exchange.flush();
      seen.exchange.end();
      assert.equal(stage.wire.calls, 0);
      seen.answer();
      assert.equal(plain(stage.wire.take()), ok());
    }
  });

  void test('the first head counts; nothing follows the end', () => {
    const { stage, seen } = asked(GET);
    seen.exchange.write(latin1('early'));
    seen.exchange.end(latin1('early'));
    seen.exchange.writeHead(200, [], 2, false, true);
    seen.exchange.writeHead(500, [], 3, false, true);
    seen.exchange.end(latin1('ok'));
    seen.exchange.end(latin1('ok'));
    seen.exchange.write(latin1('late'));
    seen.exchange.writeHead(500, [], 3, false, true);
    seen.exchange.breakOff();
    assert.equal(plain(stage.wire.take()), ok());
    assert.equal(stage.wire.closed, 'no');
    assert.deepEqual(seen.log, ['close']);
  });

  void test('what an exchange does after its end does not reach the next one', () => {
    const { stage, seen } = asked(GET + GET);
    seen.answer();
    const next = stage.request(1);
    seen.exchange.breakOff();
    seen.exchange.end();
    seen.exchange.flush();
    next.answer('two');
    assert.equal(plain(stage.wire.take()), ok() + ok('two'));
    assert.equal(stage.wire.closed, 'no');
  });

  void test('breakOff resets, also behind an end that the client does not take', () => {
    const { stage, seen } = asked(GET);
    stage.wire.full = true;
    seen.answer();
    seen.exchange.breakOff();
    assert.equal(stage.wire.closed, 'reset');
    assert.deepEqual(seen.log, ['close']);
  });
});

void describe('back-pressure', () => {
  void test('write says false from the moment the wire does, until it has drained', () => {
    const { stage, seen } = asked(GET);
    const large = latin1('x'.repeat(16_384));
    seen.exchange.writeHead(200, [], -1, false, true);
    assert.equal(seen.exchange.write(large), true);
    stage.wire.full = true;
    assert.equal(seen.exchange.write(large), false);
    assert.equal(seen.exchange.write(latin1('small')), false);
    assert.deepEqual(seen.log, []);
    stage.drain();
    assert.deepEqual(seen.log, ['drain']);
    assert.equal(seen.exchange.write(large), true);
    seen.exchange.end();
    assert.deepEqual(seen.log, ['drain', 'close']);
  });

  void test('a flush that fills the wire is known by the next write', () => {
    const { stage, seen } = asked(GET);
    seen.exchange.writeHead(200, [], -1, false, true);
    stage.wire.full = true;
    seen.exchange.flush();
    assert.equal(seen.exchange.write(latin1('x')), false);
    stage.drain();
    assert.deepEqual(seen.log, ['drain']);
  });

  void test('a sink that says false stops the reading; resume goes on', () => {
    const { stage, seen } = asked('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n');
    seen.exchange.body?.start(seen);
    seen.takes = false;
    stage.receive('he');
    assert.equal(stage.wire.paused, true);
    assert.equal(stage.connection.paused, true);
    stage.receive('llo'); // was on its way
    assert.equal(seen.body, 'hello');
    seen.takes = true;
    seen.exchange.body?.resume();
    assert.equal(stage.wire.paused, false);
    seen.takes = false;
    stage.receive('world');
    assert.equal(stage.wire.paused, false, 'it is whole: nothing more can come to hold');
    assert.deepEqual(seen.log, ['data 2', 'data 3', 'data 5', 'end']);
    seen.exchange.body?.resume();
    seen.answer();
  });

  void test('a body that is whole, or that nobody wants, holds nothing up', () => {
    for (const how of ['whole', 'abandoned'] as const) {
      const { stage, seen } = asked('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n');
      seen.exchange.body?.start(seen);
      seen.takes = false;
      stage.receive('hello');
      assert.equal(stage.wire.paused, true);
      if (how === 'whole') stage.receive('world');
      else seen.exchange.body?.abandon();
      assert.equal(stage.wire.paused, false, how);
    }
  });

  void test('without a sink 64 KiB are kept, then no more is read', () => {
    const { stage, seen } = asked('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n');
    stage.receive('a'.repeat(40_000));
    assert.equal(stage.wire.paused, false);
    stage.receive('b'.repeat(40_000));
    assert.equal(stage.wire.paused, true);
    seen.exchange.body?.start(seen);
    assert.equal(stage.wire.paused, false);
    assert.deepEqual(seen.log, ['data 40000', 'data 40000']);
  });

  void test('single bytes are kept to as much memory', () => {
    const { stage } = asked('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n');
    let sent = 0;
    while (!stage.wire.paused && sent < 10_000) {
      stage.receive('x');
      sent += 1;
    }
    assert.ok(sent < 300);
  });

  void test('a sink that does not take what was kept holds from the start', () => {
    const { stage, seen } = asked('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello');
    seen.takes = false;
    seen.exchange.body?.start(seen);
    assert.equal(stage.wire.paused, true);
    seen.exchange.body?.resume();
    assert.equal(stage.wire.paused, false);
  });
});

void describe('body', () => {
  const chunked = 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n';

  void test('one that came with the head is read before it is asked for', () => {
    const { seen } = asked('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello');
    assert.equal(seen.exchange.bodyRead, true);
    assert.equal(seen.exchange.body?.length, 5);
    seen.exchange.body?.start(seen);
    assert.deepEqual(seen.log, ['data 5', 'end']);
  });

  void test('one that is asked for when all is over is not kept', () => {
    const { seen } = asked('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello');
    seen.answer();
    seen.exchange.body?.start(seen);
    assert.deepEqual(seen.log, ['close']);
  });

  void test('the small chunks of one read come in one piece; trailers come with the end', () => {
    const { seen } = asked(`${chunked}1\r\na\r\n1\r\nb\r\n2;x\r\ncd\r\n0\r\nT: v\r\n\r\n`);
    assert.equal(seen.exchange.body?.length, -1);
    seen.exchange.body?.start(seen);
    assert.equal(seen.body, 'abcd');
    assert.deepEqual(seen.log, ['data 4', 'end t v']);
  });

  void test('large chunks keep their place among small ones', () => {
    const large = 'x'.repeat(16_384);
    const { stage, seen } = asked(chunked);
    seen.exchange.body?.start(seen);
    stage.receive(`1\r\na\r\n1\r\nb\r\n4000\r\n${large}\r\n1\r\nc\r\n0\r\n\r\n`);
    assert.equal(seen.body, `ab${large}c`);
    assert.deepEqual(seen.log, ['data 2', 'data 16384', 'data 1', 'end']);
  });

  void test('one that breaks the grammar is told to the sink, or to the listener where there is none', () => {
    const bad = `${chunked}5\r\nhello\r\nnonsense\r\n`;
    const told = asked(chunked);
    told.seen.exchange.body?.start(told.seen);
    told.stage.receive(bad.slice(chunked.length));
    assert.deepEqual(told.seen.log, ['error: chunk']);
    told.seen.answer('no', 400);
    assert.match(told.stage.wire.take(), /^HTTP\/1.1 400 .*Connection: close/s);
    assert.equal(told.stage.wire.ended, true);
    assert.deepEqual(told.seen.log, ['error: chunk', 'close']);

    const { stage, seen } = asked(bad);
    assert.equal(seen.log.length, 1);
    assert.match(seen.log[0] ?? '', /^bad body: /);
    stage.receive('x'.repeat(100_000));
    assert.equal(stage.wire.paused, false, 'what is behind it is not kept');
    stage.connection.receivedEnd();
    seen.answer('no', 400);
    assert.match(stage.wire.take(), /^HTTP\/1.1 400 .*Connection: close/s);
    assert.equal(stage.wire.ended, true);
    assert.equal(stage.requests.length, 1);
  });

  void test('abandoned: the sink hears nothing more, what comes is dropped, the next request is found', () => {
    const { stage, seen } = asked('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello');
    seen.exchange.body?.start(seen);
    seen.exchange.body?.abandon();
    seen.answer();
    stage.receive(`world${GET}`);
    assert.deepEqual(seen.log, ['data 5', 'close']);
    assert.equal(stage.requests.length, 2);
  });

  void test('abandoned inside of its own data', () => {
    const { stage, seen } = asked('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n');
    seen.onBody = () => seen.exchange.body?.abandon();
    seen.takes = false;
    seen.exchange.body?.start(seen);
    stage.receive('helloworld');
    assert.deepEqual(seen.log, ['data 10']);
    seen.answer();
    assert.equal(stage.connection.phase, 'idle');
  });
});

void describe('Expect: 100-continue', () => {
  const expects = 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n';

  void test('100 is written when the body is started, once', () => {
    const { stage, seen } = asked(expects);
    assert.equal(seen.exchange.expectsContinue, true);
    assert.equal(stage.wire.calls, 0);
    seen.exchange.body?.start(seen);
    assert.equal(stage.wire.take(), 'HTTP/1.1 100 Continue\r\n\r\n');
    seen.exchange.writeContinue();
    assert.equal(stage.wire.calls, 1);
    stage.receive('hello');
    seen.answer();
    assert.equal(plain(stage.wire.take()), ok());
    assert.equal(stage.connection.phase, 'idle');
  });

  void test('not behind an answer, not when the client sends already, not when nobody waits for it', () => {
    const answered = asked(expects);
    answered.seen.exchange.writeHead(200, [], 2, false, true);
    answered.seen.exchange.body?.start(answered.seen);
    answered.seen.exchange.end(latin1('ok'));
    assert.equal(plain(answered.stage.wire.take()), ok('ok', true));

    for (const script of [`${expects}h`, `${expects}hello`, expects.replace('Expect', 'X')]) {
      const { stage, seen } = asked(script);
      seen.exchange.body?.start(seen);
      seen.exchange.writeContinue();
      assert.equal(stage.wire.calls, 0);
    }
  });

  void test('a final answer instead closes the connection: what follows may be the body or not', () => {
    const { stage, seen } = asked(expects);
    seen.answer('no', 401);
    assert.match(stage.wire.take(), /Connection: close/);
    assert.equal(stage.wire.ended, true);
    stage.receive(`hello${GET}`);
    assert.equal(stage.requests.length, 1);
    stage.pass(500);
    assert.equal(stage.wire.closed, 'destroyed', 'nobody waits for a body that will not come');
  });
});

void describe('another protocol', () => {
  const upgrade =
    'GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

  void test('101, then the socket with what came early, in one piece and unread', () => {
    const { stage, seen } = asked(`${upgrade}GET`);
    stage.receive(' bytes');
    assert.equal(seen.exchange.canSwitch, true);
    const { socket, early } = seen.exchange.switchProtocols(['upgrade', 'websocket']);
    assert.equal(socket, 'the socket');
    assert.equal(Buffer.concat(early).toString(), 'GET bytes');
    assert.equal(
      plain(stage.wire.take()),
      'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    );
    assert.equal(stage.connection.phase, 'switched');
    assert.equal(stage.over, 1);
    stage.receive('x');
    stage.connection.receivedEnd();
    stage.connection.drained();
    stage.connection.closeWhenIdle();
    stage.pass(100_000);
    assert.deepEqual(seen.log, []);
    assert.equal(stage.wire.closed, 'no');
    stage.connection.gone();
    assert.deepEqual(seen.log, ['close']);
    assert.equal(stage.over, 1);
  });

  void test('inside of the request itself', () => {
    const stage = new ServerStage();
    let early: readonly Buffer[] = [];
    stage.react = (seen) => {
      ({ early } = seen.exchange.switchProtocols(['upgrade', 'websocket']));
    };
    stage.receive(`${upgrade}early`);
    assert.equal(Buffer.concat(early).toString(), 'early');
  });

  void test('a request that is answered instead is a request like any other', () => {
    const { stage, seen } = asked(upgrade + GET);
    seen.answer();
    assert.equal(stage.requests.length, 2);
    stage.request(1).answer();
    const again = new ServerStage();
    again.react = (seen) => seen.answer();
    again.receive(upgrade + GET + upgrade + GET);
    assert.equal(again.requests.length, 4);
    assert.equal(plain(again.wire.take()), ok().repeat(4));
  });

  void test('not where it was not asked for, has a body, or has an answer', () => {
    for (const script of [
      GET,
      upgrade.replace('\r\n\r\n', '\r\nContent-Length: 1\r\n\r\n'),
      upgrade.replace('1.1', '1.0'),
    ]) {
      const { seen } = asked(script);
      assert.equal(seen.exchange.canSwitch, false);
      assert.throws(() => seen.exchange.switchProtocols([]));
    }
    const { seen } = asked(upgrade);
    seen.answer();
    assert.equal(seen.exchange.canSwitch, false);
    const gone = asked(upgrade);
    gone.stage.connection.gone();
    assert.equal(gone.seen.exchange.canSwitch, false);
  });

  void test('what comes behind a head with a body is the body, and what comes behind that the next request', () => {
    const framed = [
      'Content-Length: 5\r\n\r\nhello',
      'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    ];
    for (const script of framed.map(
      (rest) => upgrade.replace('GET', 'POST').replace('\r\n\r\n', `\r\n${rest}`) + GET,
    )) {
      for (let at = 0; at < script.length; at++) {
        const stage = new ServerStage();
        stage.react = (seen) => seen.exchange.body?.start(seen);
        stage.receive(script.slice(0, at));
        stage.receive(script.slice(at));
        assert.deepEqual(stage.request(0).log.at(-1), 'end', `split ${at}`);
        assert.equal(stage.request(0).body, 'hello');
        stage.request(0).answer();
        assert.equal(stage.requests.length, 2);
        assert.equal(stage.request(1).exchange.target, '/a');
      }
    }
  });

  void test('fields that HTTP does not allow: TypeError, and nothing has changed', () => {
    const { stage, seen } = asked(upgrade);
    assert.throws(() => seen.exchange.switchProtocols(['a', 'b\n']), TypeError);
    seen.answer();
    assert.equal(plain(stage.wire.take()), ok());
  });
});
