import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ok, plain, ServerStage, type Seen } from './server-stage.ts';

const GET = 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n';

function get(path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: h\r\n${more}\r\n`;
}

function post(body: string, more = ''): string {
  return `POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;
}

const CHUNKED = 'POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n';

void describe('pipelining', () => {
  void test('a request behind one that is not answered waits, and begins when the answer is written', () => {
    const stage = new ServerStage();
    stage.receive(get('/1') + get('/2') + get('/3'));
    assert.equal(stage.requests.length, 1);
    stage.request(0).answer('one');
    assert.equal(stage.requests.length, 2);
    assert.deepEqual(stage.request(0).log, ['close']);
    stage.request(1).answer('two');
    stage.request(2).answer('three');
    assert.equal(plain(stage.wire.take()), ok('one') + ok('two') + ok('three'));
    assert.equal(stage.connection.phase, 'idle');
    assert.deepEqual(
      stage.requests.map((seen) => seen.exchange.target),
      ['/1', '/2', '/3'],
    );
  });

  void test('a script of four requests gives the same events and answers however it is split', () => {
    const script =
      get('/1') +
      post('hello') +
      `${CHUNKED}5;x=y\r\nworld\r\n1\r\n!\r\n0\r\nT: v\r\n\r\n` +
      get('/4', 'Connection: close\r\n');
    const expected = [
      'GET /1 ',
      'POST /p hello',
      'POST /c world!',
      'GET /4 ',
      ok('/1') + ok('/p') + ok('/c') + ok('/4', true),
    ];
    const run = (pieces: string[], late: boolean): string[] => {
      const stage = new ServerStage();
      stage.react = (seen) => {
        seen.exchange.body?.start(seen);
        if (!late) answerWhenRead(seen);
      };
      for (const piece of pieces) stage.receive(piece);
      if (late) {
        for (let index = 0; index < 4; index++)
          stage.request(index).answer(stage.request(index).exchange.target);
      }
      assert.equal(stage.connection.phase, 'linger');
      assert.equal(stage.wire.ended, true);
      return [
        ...stage.requests.map(
          (seen) => `${seen.exchange.method} ${seen.exchange.target} ${seen.body}`,
        ),
        plain(stage.wire.take()),
      ];
    };
    const answerWhenRead = (seen: Seen): void => {
      const { exchange } = seen;
      if (exchange.bodyRead) seen.answer(exchange.target);
      else {
        const push = seen.log.push.bind(seen.log);
        seen.log.push = (...items) => {
          const length = push(...items);
          if (items[0]?.startsWith('end') === true) seen.answer(exchange.target);
          return length;
        };
      }
    };
    for (const late of [false, true]) {
      assert.deepEqual(run([script], late), expected);
      assert.deepEqual(run(script.split(''), late), expected);
      for (let at = 1; at < script.length; at++) {
        assert.deepEqual(
          run([script.slice(0, at), script.slice(at)], late),
          expected,
          `split ${at}`,
        );
      }
    }
  });

  void test('at most 64 KiB behind a request are taken, and reading goes on when they are read', () => {
    const stage = new ServerStage();
    stage.receive(GET);
    let sent = 0;
    while (!stage.wire.paused && sent < 200_000) {
      stage.receive(GET);
      sent += GET.length;
    }
    assert.ok(sent > 65_536 && sent < 65_536 + 2 * GET.length);
    stage.react = (seen) => seen.answer('');
    stage.request(0).answer('');
    assert.equal(stage.wire.paused, false);
    assert.equal(stage.requests.length, 1 + sent / GET.length);
  });

  void test('garbage behind a good request gets its own refusal, behind the good answer', () => {
    const stage = new ServerStage();
    stage.receive(`${GET}garbage\r\n\r\n`);
    assert.equal(stage.refusals.length, 0);
    stage.request(0).answer();
    assert.equal(plain(stage.wire.take()), ok() + stage.refusalAnswer);
    assert.equal(stage.wire.ended, true);
    assert.equal(stage.requests.length, 1);
  });

  void test('a client that does not take its answers gets no others', () => {
    const stage = new ServerStage();
    stage.receive(GET + GET);
    stage.wire.full = true;
    stage.request(0).answer();
    assert.deepEqual(stage.request(0).log, []);
    assert.equal(stage.connection.phase, 'answer');
    assert.equal(stage.connection.backlog > 0, true);
    assert.equal(stage.requests.length, 1);
    stage.drain();
    assert.deepEqual(stage.request(0).log, ['close']);
    assert.equal(stage.requests.length, 2);
  });

  void test('ten thousand pipelined requests that are answered at once need no stack', () => {
    const stage = new ServerStage();
    stage.react = (seen) => seen.answer('');
    stage.receive(GET.repeat(10_000));
    assert.equal(stage.requests.length, 10_000);
    assert.equal(stage.connection.phase, 'idle');
  });
});

void describe('refusals', () => {
  void test('a bad head gets the whole answer of the owner, FIN, and nothing behind it is read', () => {
    const stage = new ServerStage();
    stage.receive(`GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n${GET}`);
    stage.receive(GET);
    assert.equal(stage.requests.length, 0);
    assert.deepEqual(stage.refusals, ['framing']);
    assert.equal(stage.wire.take(), stage.refusalAnswer);
    assert.equal(stage.wire.ended, true);
    assert.equal(stage.over, 1);
    stage.pass(499);
    assert.equal(stage.wire.closed, 'no');
    stage.connection.receivedEnd(); // and this does not make it longer
    stage.pass(1);
    assert.equal(stage.wire.closed, 'destroyed');
  });

  void test('an empty answer just closes', () => {
    const stage = new ServerStage();
    stage.refusalAnswer = '';
    stage.receive('\0');
    assert.equal(stage.wire.calls, 0);
    assert.equal(stage.wire.ended, true);
  });

  void test('a deadline refuses what is no whole head, and nothing else', () => {
    const stage = new ServerStage();
    stage.receive('GET / HT');
    assert.equal(stage.connection.phase, 'head');
    stage.connection.refuse('cutShort');
    assert.deepEqual(stage.refusals, ['cutShort']);
    assert.equal(stage.connection.phase, 'linger');
    stage.connection.refuse('cutShort');
    assert.deepEqual(stage.refusals, ['cutShort']);

    const busy = new ServerStage();
    busy.receive(GET);
    busy.connection.refuse('cutShort');
    assert.deepEqual(busy.refusals, []);
    busy.request(0).answer();
    assert.equal(plain(busy.wire.take()), ok());
  });
});

void describe('early answers', () => {
  void test('an answer before a body of unknown length is whole says close, and FIN follows; the rest is dropped', () => {
    const stage = new ServerStage();
    stage.receive(`${CHUNKED}5\r\nhello\r\n`);
    stage.request(0).answer('no', 413);
    assert.match(stage.wire.take(), /^HTTP\/1.1 413 .*\r\nConnection: close\r\n\r\nno$/s);
    assert.deepEqual(stage.request(0).log, ['close']);
    assert.equal(stage.wire.ended, true);
    assert.equal(stage.connection.phase, 'linger');
    stage.receive('5\r\nhello\r\n');
    stage.pass(4_999);
    assert.equal(stage.wire.closed, 'no');
    stage.receive(`0\r\n\r\n${GET}`);
    stage.receive(GET);
    assert.equal(stage.requests.length, 1);
    stage.pass(499);
    assert.equal(stage.wire.closed, 'no');
    stage.pass(1);
    assert.equal(stage.wire.closed, 'destroyed');
  });

  void test('at most 256 KiB or five seconds of it are waited for', () => {
    for (const how of ['bytes', 'garbage', 'end', 'time'] as const) {
      const stage = new ServerStage();
      stage.receive(CHUNKED);
      stage.request(0).answer();
      stage.pass(3_000);
      if (how === 'bytes') {
        stage.receive(`100000\r\n${'x'.repeat(256 * 1024 - 10)}`);
        stage.pass(600);
        stage.receive('x'.repeat(20));
        assert.equal(stage.wire.paused, false);
      } else if (how === 'garbage') stage.receive('garbage');
      else if (how === 'end') stage.connection.receivedEnd();
      else stage.pass(1_500);
      assert.equal(stage.wire.closed, 'no');
      stage.pass(499);
      assert.equal(stage.wire.closed, 'no', how);
      stage.pass(1);
      assert.equal(stage.wire.closed, 'destroyed', how);
    }
  });

  void test('up to 64 KiB of a known length are read on, and the connection stays', () => {
    for (const [missing, stays] of [
      [65_536, true],
      [65_537, false],
    ] as const) {
      const stage = new ServerStage();
      stage.receive(post('x'.repeat(70_000)).slice(0, -missing));
      stage.request(0).answer();
      assert.equal(plain(stage.wire.take()), ok('ok', !stays));
      stage.receive('x'.repeat(missing) + GET);
      assert.equal(stage.wire.ended, !stays);
      assert.equal(stage.requests.length, stays ? 2 : 1);
    }
  });

  void test('the rest that is read on has five seconds', () => {
    const stage = new ServerStage();
    stage.receive(post('hello').slice(0, -1));
    stage.pass(10_000);
    stage.request(0).answer();
    assert.equal(stage.connection.phase, 'body');
    assert.deepEqual(stage.request(0).log, []);
    stage.pass(4_999);
    assert.equal(stage.wire.ended, false);
    stage.pass(1);
    assert.equal(stage.wire.ended, true);
    assert.deepEqual(stage.request(0).log, ['close']);
  });

  void test('a body that is still read while the answer flows reaches its sink to the end', () => {
    const stage = new ServerStage();
    stage.receive(CHUNKED);
    const seen = stage.request(0);
    seen.exchange.body?.start(seen);
    seen.exchange.writeHead(200, [], -1, false, true);
    seen.exchange.write(Buffer.from('a'));
    seen.exchange.flush();
    assert.match(stage.wire.take(), /Connection: close\r\n\r\n1\r\na\r\n$/);
    stage.receive('5\r\nhello\r\n0\r\n\r\n');
    assert.equal(seen.body, 'hello');
    assert.equal(stage.connection.phase, 'answer');
    seen.exchange.end();
    assert.equal(stage.wire.take(), '0\r\n\r\n');
    assert.equal(stage.wire.ended, true);
    assert.deepEqual(seen.log, ['data 5', 'end', 'close']);
  });

  void test('a sink that still waits when the answer ends is told', () => {
    const stage = new ServerStage();
    stage.receive(CHUNKED);
    const seen = stage.request(0);
    seen.exchange.body?.start(seen);
    seen.answer();
    assert.deepEqual(seen.log, ['error: cutShort', 'close']);
  });

  void test('more than 256 KiB that nobody wants are not read before there is an answer', () => {
    const stage = new ServerStage();
    stage.receive(`${CHUNKED}100000\r\n`);
    const seen = stage.request(0);
    seen.exchange.body?.start(seen);
    seen.exchange.body?.abandon();
    for (let sent = 0; sent <= 256 * 1024; sent += 32_768) {
      assert.equal(stage.wire.paused, false);
      stage.receive('x'.repeat(32_768));
    }
    assert.equal(stage.wire.paused, true);
    seen.answer();
    assert.equal(stage.wire.paused, false);
    assert.deepEqual(seen.log, ['close']);
  });
});

void describe('FIN and the end', () => {
  void test('between requests: FIN back', () => {
    for (const before of ['', GET]) {
      const stage = new ServerStage();
      stage.react = (seen) => seen.answer();
      stage.receive(before);
      stage.connection.receivedEnd();
      assert.equal(stage.wire.ended, true);
      assert.equal(stage.over, 1);
      stage.connection.gone();
      assert.equal(stage.over, 1);
    }
  });

  void test('within a head: no answer', () => {
    const stage = new ServerStage();
    stage.receive('GET / HTTP/1.1\r\nHo');
    stage.connection.receivedEnd();
    assert.equal(stage.wire.calls, 0);
    assert.equal(stage.wire.ended, true);
    assert.deepEqual(stage.refusals, []);
  });

  void test('within a body: the sink hears that it is cut short, there is no answer, the connection is closed', () => {
    for (const started of [true, false]) {
      const stage = new ServerStage();
      stage.receive(post('hello').slice(0, -1));
      const seen = stage.request(0);
      if (started) seen.exchange.body?.start(seen);
      stage.connection.receivedEnd();
      assert.deepEqual(seen.log, started ? ['data 4', 'close', 'error: cutShort'] : ['close']);
      seen.answer();
      assert.equal(stage.wire.calls, 0);
      assert.equal(stage.wire.closed, 'destroyed');
      if (!started) {
        seen.exchange.body?.start(seen);
        assert.deepEqual(seen.log, ['close', 'error: cutShort']);
      }
    }
  });

  void test('within a body under an answer that has begun: a reset, so that it does not look whole', () => {
    const stage = new ServerStage();
    stage.receive(post('hello').slice(0, -1));
    stage.request(0).exchange.writeHead(200, [], -1, false, true);
    stage.connection.receivedEnd();
    assert.equal(stage.wire.closed, 'reset');
  });

  void test('behind a last request: the answer is still written', () => {
    for (const script of [
      get('/', 'Connection: close\r\n'),
      'GET / HTTP/1.0\r\n\r\n',
      post('hello', 'Connection: close\r\n'),
    ]) {
      const stage = new ServerStage();
      stage.receive(script);
      stage.connection.receivedEnd();
      assert.deepEqual(stage.request(0).log, []);
      stage.request(0).answer();
      assert.equal(plain(stage.wire.take()), ok('ok', true));
      assert.equal(stage.wire.ended, true);
    }
  });

  void test('behind a request that was not the last, with nothing else there: the client has left', () => {
    const stage = new ServerStage();
    stage.receive(GET);
    stage.connection.receivedEnd();
    assert.deepEqual(stage.request(0).log, ['close']);
    assert.equal(stage.wire.closed, 'destroyed');
    stage.request(0).answer();
    assert.equal(stage.wire.calls, 0);
  });

  void test('with pipelined requests there: they are answered, the last one says close', () => {
    const stage = new ServerStage();
    stage.receive(get('/1') + get('/2') + get('/3').slice(0, -1));
    stage.connection.receivedEnd();
    stage.request(0).answer('one');
    stage.request(1).answer('two');
    assert.equal(stage.requests.length, 2);
    assert.equal(plain(stage.wire.take()), ok('one') + ok('two', false));
    assert.equal(stage.wire.ended, true);

    const whole = new ServerStage();
    whole.receive(get('/1') + get('/2'));
    whole.connection.receivedEnd();
    whole.request(0).answer('one');
    whole.request(1).answer('two');
    assert.equal(plain(whole.wire.take()), ok('one') + ok('two', true));
    assert.equal(whole.wire.ended, true);
  });

  void test('a pipelined request whose body FIN cuts short never begins', () => {
    const whole = [post('hello'), `${CHUNKED}5\r\nhello\r\n0\r\n\r\n`];
    for (const kind of [...whole, post('hello', 'Expect: 100-continue\r\n')]) {
      for (let cut = 1; cut < kind.length; cut++) {
        for (const late of [true, false]) {
          const stage = new ServerStage();
          if (!late) {
            stage.react = (seen) => {
              if (stage.requests.length === 1) return;
              seen.exchange.body?.start({
                onData: () => true,
                onEnd: () => seen.answer('two'),
                onError: () => assert.fail(),
              });
            };
          }
          stage.receive(GET + post('hi') + kind.slice(0, cut));
          stage.connection.receivedEnd();
          stage.request(0).answer('one');
          if (late) stage.request(1).answer('two');
          assert.equal(stage.requests.length, 2, kind.slice(0, cut));
          assert.equal(stage.connection.requests, 2);
          assert.equal(plain(stage.wire.take()), ok('one') + ok('two'));
          assert.equal(stage.wire.ended, true);
          assert.equal(stage.over, 1);
        }
      }
      const stage = new ServerStage();
      stage.receive(GET + kind);
      stage.connection.receivedEnd();
      stage.request(0).answer('one');
      stage.request(1).exchange.body?.start(stage.request(1));
      assert.equal(stage.request(1).body, 'hello');
      stage.request(1).answer('two');
      assert.equal(plain(stage.wire.take()), ok('one') + ok('two', true));
    }
  });

  void test('a pipelined body that breaks the grammar before FIN is refused as ever', () => {
    const stage = new ServerStage();
    stage.receive(`${GET}${CHUNKED}zz`);
    stage.connection.receivedEnd();
    stage.request(0).answer('one');
    assert.deepEqual(stage.request(1).log, ['bad body: chunk size that is no number']);
  });

  void test('the same where each is answered at once, with and without bodies', () => {
    for (const kind of [get('/'), post('hello'), `${CHUNKED}5\r\nhello\r\n0\r\n\r\n`]) {
      for (const how of ['fin', 'closing'] as const) {
        const stage = new ServerStage();
        stage.receive(GET);
        stage.react = (seen) => {
          const { body } = seen.exchange;
          if (body === undefined) seen.answer();
          else {
            body.start({
              onData: () => true,
              onEnd: () => seen.answer(),
              onError: () => assert.fail(),
            });
          }
        };
        stage.receive(kind.repeat(3));
        assert.equal(stage.connection.waiting, true);
        if (how === 'fin') stage.connection.receivedEnd();
        else stage.connection.closeWhenIdle();
        stage.request(0).answer();
        assert.equal(plain(stage.wire.take()), ok().repeat(3) + ok('ok', true));
        assert.equal(stage.wire.ended, true);
      }
    }
  });

  void test('under an answer that is written but not taken: the rest is waited for', () => {
    const stage = new ServerStage();
    stage.receive(GET);
    stage.wire.full = true;
    stage.request(0).answer();
    stage.connection.receivedEnd();
    assert.equal(stage.wire.ended, false);
    stage.drain();
    assert.equal(stage.wire.ended, true);
    assert.deepEqual(stage.request(0).log, ['close']);
  });

  void test('gone: in the same turn the listener hears it, then a sink that is left; later calls do nothing', () => {
    const stage = new ServerStage();
    stage.receive(CHUNKED);
    const seen = stage.request(0);
    seen.exchange.body?.start(seen);
    stage.connection.gone();
    assert.deepEqual(seen.log, ['close', 'error: cutShort']);
    assert.equal(stage.over, 1);
    seen.exchange.writeHead(200, [], 2, false, true);
    assert.equal(seen.exchange.write(Buffer.from('ok')), true);
    seen.exchange.flush();
    seen.exchange.end();
    seen.exchange.breakOff();
    seen.exchange.body?.resume();
    stage.receive('x');
    stage.connection.receivedEnd();
    stage.connection.drained();
    stage.connection.closeWhenIdle();
    stage.connection.gone();
    stage.pass(10_000);
    assert.equal(stage.wire.calls, 0);
    assert.deepEqual(seen.log, ['close', 'error: cutShort']);
  });

  void test('a listener that abandons the body when the client is gone is not told twice', () => {
    const stage = new ServerStage();
    stage.receive(CHUNKED);
    const seen = stage.request(0);
    seen.exchange.body?.start(seen);
    seen.onClose = () => seen.exchange.body?.abandon();
    stage.connection.gone();
    assert.deepEqual(seen.log, []);
  });

  void test('the time to linger begins when the network has taken the answer', () => {
    const stage = new ServerStage();
    stage.receive(get('/', 'Connection: close\r\n'));
    stage.wire.backlog = 10; // written, and below what the network wants to be waited for
    stage.request(0).answer();
    assert.equal(stage.wire.ended, true);
    assert.equal(stage.connection.phase, 'answer');
    stage.pass(60_000);
    assert.equal(stage.wire.closed, 'no');
    stage.wire.backlog = 0;
    stage.pass(100);
    assert.equal(stage.connection.phase, 'linger');
    stage.pass(400);
    assert.equal(stage.wire.closed, 'destroyed');
  });
});

void describe('closing when idle', () => {
  void test('an idle connection ends at once, a busy one with its answer, a half-read head with its own', () => {
    const idle = new ServerStage();
    idle.connection.closeWhenIdle();
    assert.equal(idle.wire.ended, true);

    const busy = new ServerStage();
    busy.receive(GET);
    busy.connection.closeWhenIdle();
    assert.equal(busy.wire.ended, false);
    busy.request(0).answer();
    assert.equal(plain(busy.wire.take()), ok('ok', true));
    assert.equal(busy.wire.ended, true);

    const half = new ServerStage();
    half.receive(GET.slice(0, 9));
    half.connection.closeWhenIdle();
    half.receive(GET.slice(9));
    half.request(0).answer();
    assert.equal(plain(half.wire.take()), ok('ok', true));
    assert.equal(half.wire.ended, true);
  });

  void test('behind an answer whose head was written before: when it ends; what is pipelined is answered with close', () => {
    for (const pipelined of ['', GET]) {
      const stage = new ServerStage();
      stage.receive(GET + pipelined);
      stage.request(0).exchange.writeHead(200, [], 2, false, true);
      stage.connection.closeWhenIdle();
      stage.request(0).exchange.end(Buffer.from('ok'));
      if (pipelined !== '') {
        assert.equal(stage.wire.ended, false);
        stage.request(1).answer();
      }
      assert.equal(plain(stage.wire.take()), pipelined === '' ? ok() : ok() + ok('ok', true));
      assert.equal(stage.wire.ended, true);
    }
  });

  void test('inside of the request itself', () => {
    const stage = new ServerStage();
    stage.react = (seen) => {
      stage.connection.closeWhenIdle();
      seen.answer();
      stage.connection.closeWhenIdle();
    };
    stage.receive(GET + GET);
    assert.equal(plain(stage.wire.take()), ok() + ok('ok', true));
    assert.equal(stage.wire.ended, true);
  });
});

void describe('closing within a request', () => {
  void test('after its head was written: what is pipelined is answered with close, and then it ends', () => {
    for (const pipelined of ['', GET]) {
      const stage = new ServerStage();
      stage.react = (seen) => {
        seen.exchange.writeHead(200, [], 2, false, true);
        stage.connection.closeWhenIdle();
        seen.exchange.end(Buffer.from('ok'));
      };
      stage.receive(GET + pipelined);
      assert.equal(plain(stage.wire.take()), pipelined === '' ? ok() : ok() + ok('ok', true));
      assert.equal(stage.wire.ended, true);
    }
  });

  void test('a connection that had stopped reading reads on behind its last answer', () => {
    const stage = new ServerStage();
    stage.receive(get('/', 'Connection: close\r\n'));
    stage.receive('x'.repeat(70_000));
    assert.equal(stage.wire.paused, true);
    stage.request(0).answer();
    assert.equal(stage.wire.paused, false);
  });
});

void describe('phases', () => {
  void test('each is said with the time it began', () => {
    const stage = new ServerStage();
    const { connection, clock } = stage;
    const since = connection.phaseSinceMs;
    assert.deepEqual([connection.phase, since], ['idle', clock.nowMs]);
    clock.nowMs += 5;
    stage.receive('POST');
    assert.deepEqual([connection.phase, connection.phaseSinceMs], ['head', since + 5]);
    clock.nowMs += 5;
    stage.receive(post('hello').slice(4, -1));
    assert.deepEqual([connection.phase, connection.phaseSinceMs], ['body', since + 10]);
    clock.nowMs += 5;
    stage.receive('o');
    assert.deepEqual([connection.phase, connection.phaseSinceMs], ['answer', since + 15]);
    clock.nowMs += 5;
    stage.request(0).answer();
    assert.deepEqual([connection.phase, connection.phaseSinceMs], ['idle', since + 20]);
    assert.equal(connection.bytesIn, post('hello').length);
    assert.equal(connection.bytesOut, stage.wire.written.length);
    assert.equal(connection.requests, 1);
  });
});
