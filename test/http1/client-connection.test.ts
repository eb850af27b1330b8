import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Answer, ClientStage, Pushed } from './client-stage.ts';
import { latin1 } from './fake-wire.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';

function chunked(...chunks: string[]): string {
  const body = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('');
  return `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}0\r\n\r\n`;
}

void describe('one exchange after the other', () => {
  void test('the answer comes, the connection is idle before its last event', () => {
    const stage = new ClientStage();
    const answer = stage.ask();
    assert.equal(stage.wire.take(), 'GET / HTTP/1.1\r\nhost: h\r\n\r\n');
    assert.equal(stage.wire.calls, 1);
    assert.equal(stage.connection.phase, 'head');
    answer.onEvent = (event) => {
      if (event === 'end') assert.deepEqual(stage.idle, [true]);
    };
    stage.receive(OK);
    assert.deepEqual(answer.log, ['head 200', 'data 5', 'end']);
    assert.equal(answer.body, 'hello');
    assert.equal(stage.connection.served, 1);
    const next = stage.ask();
    assert.equal(stage.connection.receivedAny, false);
    stage.receive(OK);
    assert.deepEqual(next.log, ['head 200', 'data 5', 'end']);
    assert.deepEqual(stage.idle, [true, true]);
    assert.equal(stage.wire.closed, 'no');
  });

  void test('the next request may be sent from within onIdle, and from within the end', () => {
    const stage = new ClientStage();
    const first = stage.ask();
    let second: Answer | undefined;
    stage.connection.onIdle = () => {
      if (second === undefined) second = stage.ask();
    };
    stage.receive(OK);
    assert.deepEqual(first.log, ['head 200', 'data 5', 'end']);
    assert.deepEqual(second?.log, []);
    stage.receive(OK);
    assert.deepEqual(second.log, ['head 200', 'data 5', 'end']);
    const third = stage.ask();
    let fourth: Answer | undefined;
    third.onEvent = (event) => {
      if (event === 'end') fourth = stage.ask();
    };
    stage.receive(OK);
    stage.receive(OK);
    assert.deepEqual(fourth?.log, ['head 200', 'data 5', 'end']);
  });

  void test('only one at a time', () => {
    const stage = new ClientStage();
    stage.ask();
    assert.throws(() => stage.ask());
  });

  void test('answers are the same however they are split, and no byte of a read is looked at later', () => {
    const large = 'x'.repeat(20_000);
    for (const [message, body, trailers] of [
      [OK, 'hello', ''],
      [chunked('he', 'llo', ' ', 'world'), 'hello world', ''],
      [
        'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n' + OK,
        'hello',
        '',
      ],
      [
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;e=1\r\na\r\n0\r\nT: v\r\n\r\n',
        'a',
        ' t v',
      ],
      ['HTTP/1.1 204 No Content\r\n\r\n', '', ''],
      [`HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n${large}`, large, ''],
    ] as const) {
      const step = message.length > 1_000 ? 997 : 1;
      for (let at = 1; at < message.length; at += step) {
        const stage = new ClientStage();
        const answer = stage.ask();
        stage.receive(message.slice(0, at));
        stage.receive(message.slice(at));
        assert.equal(answer.body, body, `split ${at}`);
        assert.equal(answer.log.at(-1), `end${trailers}`);
        assert.deepEqual(stage.idle, [true]);
      }
      const stage = new ClientStage();
      const answer = stage.ask();
      if (message.length < 1_000) for (const byte of message) stage.receive(byte);
      else stage.receive(message);
      assert.equal(answer.body, body);
      assert.deepEqual(stage.idle, [true]);
    }
  });

  void test('flush comes at the end of each read that handed something over, not behind the end', () => {
    const stage = new ClientStage();
    const answer = stage.ask();
    stage.receive('HTTP/1.1 200 OK\r\nTransfer-Enc');
    assert.deepEqual(answer.log, []);
    stage.receive('oding: chunked\r\n\r\n');
    assert.deepEqual(answer.log, ['head 200', 'flush']);
    stage.receive('1\r\na\r\n1\r\nb\r\n');
    stage.receive('1\r');
    stage.receive('\nc\r\n0\r\n\r\n');
    assert.deepEqual(answer.log.slice(2), ['data 1', 'data 1', 'flush', 'data 1', 'end']);
  });
});

void describe('answers without a body', () => {
  void test('HEAD, 204 and 304 end with their head whatever it says, and the connection stays', () => {
    for (const [method, head] of [
      ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
      ['HEAD', 'HTTP/1.1 200 OK\r\n\r\n'],
      ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n'],
      ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ] as const) {
      const stage = new ClientStage();
      const answer = stage.ask(method);
      stage.receive(head);
      assert.deepEqual(answer.log.slice(1), ['end'], head);
      assert.deepEqual(stage.idle, [true]);
    }
  });

  void test('an answer to HEAD, or a 204, that speaks of a body is taken without one, and the connection is closed: it may come', () => {
    for (const [method, head] of [
      ['GET', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n'],
      ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'],
      ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ] as const) {
      const stage = new ClientStage();
      const answer = stage.ask(method);
      stage.receive(head);
      assert.deepEqual(answer.log.slice(1), ['end'], head);
      assert.deepEqual(stage.idle, [false], head);
      assert.equal(stage.wire.closed, 'destroyed');
    }
  });

  void test('bytes behind one end the connection', () => {
    for (const [method, head] of [
      ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'],
      ['GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
      ['GET', 'HTTP/1.1 304 Not Modified\r\n\r\n'],
    ] as const) {
      const stage = new ClientStage();
      const answer = stage.ask(method);
      stage.receive(`${head}hello`);
      assert.equal(answer.log.at(-1), 'end');
      assert.deepEqual(stage.idle, [false]);
      assert.equal(stage.wire.closed, 'destroyed');
    }
  });
});

void describe('poison: the connection is closed, never idle again', () => {
  void test('a byte too much, in the same read, or later', () => {
    for (const answers of [[`${OK}H`], [OK, 'H'], [`${OK}${OK}`], [`${chunked('a')}\r\n`]]) {
      const stage = new ClientStage();
      const answer = stage.ask();
      for (const text of answers) stage.receive(text);
      assert.equal(answer.log.at(-1), 'end');
      assert.equal(stage.idle.at(-1), false);
      assert.equal(stage.wire.closed, 'destroyed');
      assert.throws(() => stage.ask());
    }
  });

  void test('a byte that comes in the turn of the last one: nobody has got the connection yet', () => {
    const stage = new ClientStage();
    stage.wire.turning = true;
    const answer = stage.ask();
    stage.receive(OK);
    assert.equal(answer.log.at(-1), 'end');
    assert.deepEqual(stage.idle, []);
    stage.receive(OK);
    assert.deepEqual(stage.idle, [false]);
    assert.equal(stage.wire.closed, 'destroyed');
    stage.wire.endTurn();
    assert.deepEqual(stage.idle, [false]);
  });

  void test('bytes before anything was asked', () => {
    const stage = new ClientStage();
    stage.receive('H');
    assert.deepEqual(stage.idle, [false]);
    assert.equal(stage.wire.closed, 'destroyed');
  });

  void test('what is no HTTP/1.1: malformed, whenever it comes', () => {
    for (const text of [
      'HTTP/2.0 200 OK\r\n\r\n',
      'HTTP/1.1 200 OK\n\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n',
    ]) {
      const stage = new ClientStage();
      const answer = stage.ask();
      stage.receive(text);
      assert.equal(answer.log.at(-1), 'malformed', text);
      assert.deepEqual(stage.idle, [false]);
      assert.equal(stage.wire.closed, 'destroyed');
    }
  });

  void test('an answer that says close, is of HTTP/1.0, or ends with the connection', () => {
    for (const text of [
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello',
      'HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello',
    ]) {
      const stage = new ClientStage();
      const answer = stage.ask();
      stage.receive(text);
      assert.equal(answer.log.at(-1), 'end');
      assert.deepEqual(stage.idle, [false]);
    }
    const stage = new ClientStage();
    const answer = stage.ask();
    stage.receive('HTTP/1.1 200 OK\r\n\r\nhe');
    stage.receive('llo');
    assert.deepEqual(answer.log, ['head 200', 'data 2', 'flush', 'data 3', 'flush']);
    stage.connection.receivedEnd();
    assert.equal(answer.log.at(-1), 'end');
    assert.deepEqual(stage.idle, [false]);
    stage.connection.gone();
    assert.deepEqual(stage.idle, [false]);
  });

  void test('an abort: the answer hears nothing more, the body is let go', () => {
    const stage = new ClientStage();
    const answer = new Answer();
    const body = new Pushed(10);
    stage.connection.send('POST', 'POST', body, false, answer);
    stage.receive('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe');
    stage.connection.abort();
    assert.deepEqual(body.log, ['start', 'abandon']);
    assert.equal(stage.wire.closed, 'destroyed');
    stage.receive('llo');
    stage.connection.receivedEnd();
    stage.connection.gone();
    stage.connection.resume();
    stage.connection.abort();
    body.sink?.onData(latin1('x'));
    body.sink?.onEnd([]);
    assert.deepEqual(answer.log, ['head 200', 'data 2', 'flush']);
    assert.deepEqual(stage.idle, [false]);
  });

  void test('an abort inside of each event', () => {
    for (const when of ['head 200', 'data 1', 'flush']) {
      const stage = new ClientStage();
      const answer = stage.ask();
      answer.onEvent = (event) => {
        if (event === when) stage.connection.abort();
      };
      stage.receive(chunked('a', 'bc').slice(0, -5));
      assert.equal(answer.log.at(-1), when);
      assert.deepEqual(stage.idle, [false]);
    }
  });

  void test('an answer before the request was sent: it is whole, the connection is not kept', () => {
    const stage = new ClientStage();
    const answer = new Answer();
    const body = new Pushed(-1);
    stage.connection.send('POST', 'POST', body, false, answer);
    body.sink?.onData(latin1('abc'));
    stage.receive(OK);
    assert.equal(answer.log.at(-1), 'end');
    assert.deepEqual(body.log, ['start', 'abandon']);
    assert.deepEqual(stage.idle, [false]);
  });
});

void describe('interim answers', () => {
  void test('ten are swallowed, the eleventh is too many', () => {
    const stage = new ClientStage();
    const answer = stage.ask();
    stage.receive('HTTP/1.1 100 Continue\r\n\r\n'.repeat(10));
    assert.deepEqual(answer.log, []);
    stage.receive(OK);
    assert.equal(answer.log.at(-1), 'end');
    const next = stage.ask();
    stage.receive('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(11));
    assert.deepEqual(next.log, ['malformed']);
  });

  void test('one that says close: the final answer is taken all the same, and the connection not kept', () => {
    for (const [interim, kept] of [
      ['HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n', false],
      ['HTTP/1.0 100 Continue\r\n\r\n', false],
      ['HTTP/1.1 103 Early Hints\r\nConnection: keep-alive\r\n\r\n', true],
    ] as const) {
      const stage = new ClientStage();
      const answer = stage.ask();
      stage.receive(interim);
      assert.deepEqual([answer.log, stage.idle], [[], []], interim);
      stage.receive(OK);
      assert.equal(answer.log.at(-1), 'end');
      assert.deepEqual(stage.idle, [kept], interim);
    }
  });

  void test('101 is an answer only where it was asked for; what is behind it is handed over, copied', () => {
    const text =
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly';
    const unasked = new ClientStage();
    const refused = unasked.ask();
    unasked.receive(text);
    assert.deepEqual(refused.log, ['malformed']);

    const stage = new ClientStage();
    const answer = stage.ask('GET', true);
    stage.receive(text);
    assert.deepEqual(answer.log, ['switch']);
    assert.equal(answer.body, 'early');
    assert.deepEqual(stage.idle, [false]);
    assert.equal(stage.wire.closed, 'no', 'the wire is the other protocol’s');
    stage.receive('frames');
    stage.connection.receivedEnd();
    stage.connection.gone();
    stage.connection.abort();
    assert.equal(stage.wire.closed, 'no');
    assert.deepEqual(answer.log, ['switch']);
  });

  void test('a handshake that is answered otherwise is an exchange like any other', () => {
    const stage = new ClientStage();
    const answer = stage.ask('GET', true);
    stage.receive(OK);
    assert.equal(answer.log.at(-1), 'end');
    assert.deepEqual(stage.idle, [true]);
  });
});

void describe('broken', () => {
  void test('replayable only when nothing came, on a connection that has served, without a body, of an idempotent method', () => {
    const cases: [
      served: boolean,
      method: string,
      received: string,
      body: boolean,
      expected: string,
    ][] = [
      [true, 'GET', '', false, 'broken replayable'],
      [true, 'HEAD', '', false, 'broken replayable'],
      [true, 'PUT', '', false, 'broken replayable'],
      [true, 'DELETE', '', false, 'broken replayable'],
      [true, 'OPTIONS', '', false, 'broken replayable'],
      [true, 'POST', '', false, 'broken'],
      [true, 'PATCH', '', false, 'broken'],
      [true, 'PUT', '', true, 'broken'],
      [true, 'GET', 'H', false, 'broken'],
      [true, 'GET', 'HTTP/1.1 100 Continue\r\n\r\n', false, 'broken'],
      [false, 'GET', '', false, 'broken'],
    ];
    for (const [served, method, received, withBody, expected] of cases) {
      for (const how of ['fin', 'rst'] as const) {
        const stage = new ClientStage();
        if (served) {
          stage.ask();
          stage.receive(OK);
        }
        const answer = new Answer();
        const body = withBody ? new Pushed(0) : undefined;
        if (body !== undefined) body.onStart = (sink) => sink.onEnd([]);
        stage.connection.send('HEAD', method, body, false, answer);
        if (received !== '') stage.receive(received);
        assert.equal(stage.connection.receivedAny, received !== '');
        assert.equal(stage.connection.served, served ? 1 : 0);
        if (how === 'fin') stage.connection.receivedEnd();
        else stage.connection.gone(new Error('reset'));
        assert.deepEqual(
          answer.log,
          [expected],
          JSON.stringify([served, method, received, withBody]),
        );
        assert.equal(stage.idle.at(-1), false);
      }
    }
  });

  void test('an answer cut short is never whole', () => {
    for (const text of [
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n',
      'HTTP/1.1 200 OK\r\nContent-Le',
      '',
    ]) {
      const stage = new ClientStage();
      const answer = stage.ask();
      if (text !== '') stage.receive(text);
      stage.connection.receivedEnd();
      assert.equal(answer.log.at(-1), 'broken', text);
      assert.equal(answer.log.includes('end'), false);
    }
    const stage = new ClientStage();
    const answer = stage.ask();
    stage.receive('HTTP/1.1 200 OK\r\n\r\nhello');
    stage.connection.gone(new Error('ECONNRESET'));
    assert.equal(answer.log.at(-1), 'broken', 'only FIN ends such a body');
    assert.deepEqual(answer.error?.cause, new Error('ECONNRESET'));
  });

  void test('an idle connection that the other side closes is over', () => {
    for (const how of ['receivedEnd', 'gone'] as const) {
      const stage = new ClientStage();
      stage.ask();
      stage.receive(OK);
      stage.connection[how]();
      assert.deepEqual(stage.idle, [true, false]);
    }
  });
});

void describe('back-pressure', () => {
  void test('onHead false: the rest of the read is copied and kept, and comes with resume', () => {
    for (const text of [OK, chunked('he', 'llo'), 'HTTP/1.1 204 No Content\r\n\r\n']) {
      const stage = new ClientStage();
      const answer = stage.ask();
      answer.takesHead = false;
      stage.receive(text.slice(0, -3));
      if (!text.includes(' 204 ')) assert.equal(stage.wire.paused, true);
      stage.receive(text.slice(-3)); // was on its way
      assert.equal(stage.wire.paused, true);
      assert.equal(answer.log[0]?.startsWith('head'), true);
      assert.equal(answer.body, '');
      assert.deepEqual(stage.idle, []);
      stage.connection.resume();
      assert.equal(answer.log.at(-1), 'end');
      assert.equal(answer.body, text.includes(' 204 ') ? '' : 'hello');
      assert.deepEqual(stage.idle, [true]);
      assert.equal(stage.wire.paused, false);
    }
  });

  void test('held, whole, and closed by the other side: still whole', () => {
    for (const [text, end] of [
      [OK, 'end'],
      ['HTTP/1.1 200 OK\r\n\r\nhello', 'end'],
      ['HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello', 'broken'],
    ] as const) {
      const stage = new ClientStage();
      const answer = stage.ask();
      answer.takesHead = false;
      stage.receive(text);
      stage.connection.receivedEnd();
      stage.connection.gone();
      assert.deepEqual(answer.log.slice(1), ['flush']);
      stage.connection.resume();
      assert.equal(answer.body, 'hello');
      assert.equal(answer.log.at(-1), end);
      assert.deepEqual(stage.idle, [false]);
    }
    const stage = new ClientStage();
    const answer = stage.ask();
    answer.takesHead = false;
    stage.receive(OK);
    stage.connection.gone(new Error('reset'));
    assert.equal(answer.log.at(-1), 'broken');
  });

  void test('onData false: no further read, but the read in hand comes whole', () => {
    const stage = new ClientStage();
    const answer = stage.ask();
    answer.takesData = false;
    stage.receive(chunked('a', 'b').slice(0, -5));
    assert.equal(stage.wire.paused, true);
    assert.equal(stage.connection.paused, true);
    assert.deepEqual(answer.log, ['head 200', 'data 1', 'data 1', 'flush']);
    stage.connection.resume();
    assert.equal(stage.wire.paused, false);
    stage.receive('0\r\n\r\n');
    assert.equal(answer.log.at(-1), 'end');
  });

  void test('a connection that ends its exchange while it is held reads on when idle', () => {
    const stage = new ClientStage();
    const answer = stage.ask();
    answer.takesData = false;
    stage.receive(OK);
    assert.equal(answer.log.at(-1), 'end');
    assert.equal(stage.wire.paused, false);
  });
});

void describe('request bodies', () => {
  void test('head and a body that is there leave in one write, framed as the source says', () => {
    for (const [length, expected] of [
      [5, 'HEADhello'],
      [-1, 'HEAD2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n'],
    ] as const) {
      const stage = new ClientStage();
      const body = new Pushed(length);
      body.onStart = (sink) => {
        const lent = Buffer.from('he');
        sink.onData(lent);
        lent.fill(0xaa);
        sink.onData(latin1('llo'));
        sink.onEnd(['t', 'v']);
      };
      const answer = new Answer();
      stage.connection.send('HEAD', 'POST', body, false, answer);
      assert.equal(stage.wire.take(), expected);
      assert.equal(stage.wire.calls, 1);
      assert.equal(stage.connection.sent, true);
      stage.receive(OK);
      assert.deepEqual(stage.idle, [true]);
    }
  });

  void test('what comes later leaves as it comes, no faster than the wire takes it', () => {
    const stage = new ClientStage();
    const body = new Pushed(-1);
    stage.connection.send('HEAD', 'POST', body, false, new Answer());
    assert.equal(stage.wire.take(), 'HEAD');
    assert.equal(body.sink?.onData(latin1('a')), true);
    assert.equal(stage.wire.take(), '1\r\na\r\n');
    stage.wire.full = true;
    assert.equal(body.sink?.onData(latin1('b')), false);
    assert.equal(body.sink?.onData(latin1('c')), false);
    stage.drain();
    assert.deepEqual(body.log, ['start', 'resume']);
    body.sink?.onEnd([]);
    assert.equal(stage.wire.take(), '1\r\nb\r\n1\r\nc\r\n0\r\n\r\n');
  });

  void test('one that breaks, or is not as long as it said, ends the connection and fails the exchange', () => {
    const spoil: ((sink: Pushed) => void)[] = [
      (body) => body.sink?.onError(new Error('cut short')),
      (body) => body.sink?.onData(latin1('hello!')),
      (body) => {
        body.sink?.onData(latin1('hell'));
        body.sink?.onEnd([]);
      },
    ];
    for (const how of spoil) {
      for (const atOnce of [true, false]) {
        const stage = new ClientStage();
        const body = new Pushed(5);
        const answer = new Answer();
        if (atOnce) body.onStart = () => how(body);
        stage.connection.send('HEAD', 'PUT', body, false, answer);
        if (!atOnce) how(body);
        assert.deepEqual(answer.log, ['request']);
        assert.deepEqual(stage.idle, [false]);
        assert.equal(stage.wire.closed, 'destroyed');
        assert.ok(!stage.wire.written.includes('hello!'));
      }
    }
  });
});

void describe('time', () => {
  void test('movedMs is when something came or went; Keep-Alive names how long it stays', () => {
    const stage = new ClientStage();
    const body = new Pushed(2);
    stage.clock.nowMs += 1;
    stage.connection.send('HEAD', 'POST', body, false, new Answer());
    const at = stage.clock.nowMs;
    assert.equal(stage.connection.movedMs, at);
    stage.clock.nowMs += 5;
    body.sink?.onData(latin1('a'));
    assert.equal(stage.connection.movedMs, at + 5);
    stage.clock.nowMs += 5;
    body.sink?.onData(latin1('b'));
    body.sink?.onEnd([]);
    stage.clock.nowMs += 5;
    stage.receive('H');
    assert.equal(stage.connection.movedMs, at + 15);
    assert.equal(stage.connection.keepAliveMs, Infinity);
    stage.receive(OK.slice(1).replace('\r\n', '\r\nKeep-Alive: max=5, timeout=7\r\n'));
    assert.equal(stage.connection.keepAliveMs, 7_000);
  });
});
