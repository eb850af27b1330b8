import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BodyReader } from '../../src/http1/body-reader.ts';
import { HeadScanner } from '../../src/http1/head-scanner.ts';
import { parseResponseHead } from '../../src/http1/response-parser.ts';
import { latin1, LIMITS } from './fake-wire.ts';
import { ServerStage, type Seen } from './server-stage.ts';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz';

/** One request of a client's script. */
interface Asked {
  readonly body: string;
  readonly chunk: number;
  readonly text: string;
}

function asked(index: number, kind: number, size: number): Asked {
  const head = `${kind === 0 ? 'GET' : 'POST'} /${index} HTTP/1.1\r\nHost: h\r\n`;
  if (kind === 0) return { body: '', chunk: 0, text: `${head}\r\n` };
  const body = ALPHABET.repeat(size / 26 + 2).slice(index, index + size);
  if (kind === 1) return { body, chunk: 0, text: `${head}Content-Length: ${size}\r\n\r\n${body}` };
  const chunk = 1 + (size % 7_000);
  let text = `${head}Transfer-Encoding: chunked\r\n\r\n`;
  for (let at = 0; at < size; at += chunk) {
    const piece = body.slice(at, at + chunk);
    text += `${piece.length.toString(16)}\r\n${piece}\r\n`;
  }
  return { body, chunk, text: `${text}0\r\n\r\n` };
}

/** What an answer should be, by what the test has called. */
interface Said {
  begun: boolean;
  body: string;
  ended: boolean;
  length: number;
  started: boolean;
  abandoned: boolean;
  resumes: boolean;
}

class Model {
  readonly stage = new ServerStage();
  readonly script: readonly Asked[];
  readonly said: Said[] = [];
  rest: string;
  /** The client has sent FIN, or is gone: nothing needs to be answered any more. */
  left = false;
  gone = false;
  closing = false;
  broken = false;
  /** Bytes taken since a pause; a read that was on its way may still come. */
  #late = 0;

  constructor(script: readonly Asked[]) {
    this.script = script;
    this.rest = script.map(({ text }) => text).join('');
    this.stage.react = (seen) => {
      assert.equal(seen.exchange.target, `/${this.stage.requests.length - 1}`);
      assert.equal(this.said.length, this.stage.requests.length - 1);
      const before = this.said.at(-1);
      assert.ok(before?.ended !== false, 'one exchange at a time');
      assert.equal(
        this.stage.wire.full && this.stage.wire.backlog > 0,
        false,
        'the answer before is taken',
      );
      const unsent = this.script.slice(this.stage.requests.length).map(({ text }) => text);
      assert.ok(
        !this.left || this.rest.length <= unsent.join('').length,
        'what FIN cut short never begins',
      );
      this.said.push({
        begun: false,
        body: '',
        ended: false,
        length: 0,
        started: false,
        abandoned: false,
        resumes: true,
      });
    };
  }

  get closed(): boolean {
    return this.stage.wire.closed !== 'no';
  }

  receive(size: number): void {
    const { wire } = this.stage;
    if (this.gone || this.closed || this.left || this.rest === '') return;
    if (wire.paused) {
      if (this.#late > 0) return;
      this.#late += 1;
    } else this.#late = 0;
    const piece = this.rest.slice(0, size);
    this.rest = this.rest.slice(piece.length);
    this.stage.receive(piece);
  }

  drain(): void {
    if (this.closed || this.gone) return;
    const { wire } = this.stage;
    const waits = wire.backlog > 0 && !wire.ended;
    wire.backlog = 0;
    wire.full = false;
    if (waits) this.stage.connection.drained();
  }

  /** One step of whoever answers. */
  answer(step: number): void {
    const index = this.stage.requests.length - 1;
    const seen = this.stage.requests[index];
    const said = this.said[index];
    if (seen === undefined || said === undefined) return;
    const { exchange } = seen;
    const dead = exchange.closed;
    switch (step % 9) {
      case 0:
        if (exchange.body !== undefined && !said.started && !said.abandoned) {
          said.started = true;
          exchange.body.start(seen);
        }
        break;
      case 1:
        seen.takes = step % 2 === 0;
        break;
      case 2:
        seen.takes = true;
        exchange.body?.resume();
        break;
      case 3:
        if (step % 4 === 0 && said.started) {
          said.abandoned ||= !seen.log.some(isEnd);
          exchange.body?.abandon();
        }
        break;
      case 4:
        if (!said.begun) {
          said.length = step % 2 === 0 ? -1 : 20_000;
          exchange.writeHead(200, [], said.length, false, true);
          said.begun = !dead;
        }
        break;
      case 5:
      case 6: {
        const size = step % 2 === 0 ? 10 : 17_000;
        if (
          !said.begun ||
          said.ended ||
          (said.length >= 0 && said.body.length + size > said.length)
        )
          break;
        const piece = 'y'.repeat(size);
        exchange.write(latin1(piece));
        if (!dead) said.body += piece;
        break;
      }
      case 7:
        exchange.flush();
        break;
      default:
        if (!said.begun || said.ended) break;
        if (said.length >= 0) {
          const piece = 'z'.repeat(said.length - said.body.length);
          said.body += piece;
          said.ended = !dead;
          exchange.end(latin1(piece));
        } else {
          said.ended = !dead;
          exchange.end();
        }
        break;
    }
  }

  /** Everybody does what is left to do. */
  settle(): void {
    for (let round = 0; round < 2_000; round++) {
      if (this.closed || this.gone) return;
      this.receive(30_000);
      this.drain();
      const index = this.stage.requests.length - 1;
      for (const step of [0, 2, 4, 8]) this.answer(step);
      if (
        this.rest === '' &&
        index === this.script.length - 1 &&
        this.said[index]?.ended === true
      ) {
        if (this.stage.connection.phase === 'idle') return;
      }
    }
    if (this.stage.wire.ended) return;
    assert.fail(`it stands still: ${this.stage.connection.phase}, ${this.rest.length} bytes left`);
  }

  /** What a client can tell. */
  check(): void {
    const { wire, requests } = this.stage;
    for (const [index, seen] of requests.entries())
      checkEvents(seen, this.script[index]?.body ?? '', this.said[index]);
    const bytes = latin1(wire.written);
    let at = 0;
    for (const [index, said] of this.said.entries()) {
      if (at === bytes.length) {
        assert.ok(!said.ended || this.broken || this.gone, `answer ${index} is lost`);
        break;
      }
      const end = new HeadScanner('response', LIMITS).find(bytes, at);
      assert.notEqual(end, -1);
      const head = parseResponseHead(bytes, at, end, LIMITS, 'GET');
      let body = '';
      const reader = new BodyReader(head.length, LIMITS, {
        onData: (chunk) => {
          body += chunk.toString('latin1');
        },
        onTrailers: () => assert.fail('trailers'),
      });
      at = reader.read(bytes, end, bytes.length);
      assert.ok(said.body.startsWith(body), `answer ${index} has other bytes`);
      assert.equal(
        reader.done,
        said.ended,
        `answer ${index} looks ${reader.done ? 'whole' : 'cut'}`,
      );
      if (said.ended) assert.equal(body, said.body);
      else assert.equal(at, bytes.length);
    }
    assert.equal(at, bytes.length, 'nothing behind the answers');
  }
}

function isEnd(event: string): boolean {
  return event === 'end' || event.startsWith('error');
}

function checkEvents(seen: Seen, body: string, said: Said | undefined): void {
  assert.ok(body.startsWith(seen.body), 'the body has other bytes, or in another order');
  const ends = seen.log.filter(isEnd);
  assert.ok(ends.length <= 1);
  if (ends[0] === 'end') assert.equal(seen.body, body);
  if (said?.abandoned === true) assert.deepEqual(ends, [], 'abandoned before its end');
  const close = seen.log.indexOf('close');
  assert.equal(close, seen.log.lastIndexOf('close'));
  if (close !== -1) {
    const behind = seen.log.slice(close + 1);
    assert.ok(
      behind.every((event) => event.startsWith('error')),
      'closed is the last event',
    );
  }
}

const OPERATION = fc.tuple(
  fc.constantFrom(
    ...([
      'receive',
      'receive',
      'receive',
      'answer',
      'answer',
      'answer',
      'answer',
      'full',
      'drain',
    ] as const),
    'fin' as const,
    'gone' as const,
    'breakOff' as const,
    'close' as const,
    'sweep' as const,
  ),
  fc.nat({ max: 100_000 }),
);

const SCRIPT = fc
  .array(
    fc.tuple(
      fc.nat({ max: 2 }),
      fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 90_000 })),
    ),
    {
      minLength: 1,
      maxLength: 5,
    },
  )
  .map((requests) => requests.map(([kind, size], index) => asked(index, kind, size)));

void test('however reads, answers, back-pressure and ends are interleaved, nothing is lost, reordered, doubled or sent behind the end', () => {
  fc.assert(
    fc.property(SCRIPT, fc.array(OPERATION, { maxLength: 120 }), (script, operations) => {
      const model = new Model(script);
      const { stage } = model;
      for (const [what, number] of operations) {
        if (model.gone) break;
        switch (what) {
          case 'receive':
            model.receive(1 + (number % 3 === 0 ? number % 60_000 : number % 100));
            break;
          case 'answer':
            model.answer(number);
            break;
          case 'full':
            stage.wire.full = true;
            break;
          case 'drain':
            model.drain();
            break;
          case 'fin':
            if (number % 10 > 0 || model.left || model.closed) break;
            model.left = true;
            stage.connection.receivedEnd();
            break;
          case 'gone':
            if (number % 20 > 0) break;
            model.gone = true;
            stage.connection.gone();
            break;
          case 'breakOff':
            if (number % 20 > 0) break;
            if (stage.connection.current !== undefined) model.broken = true;
            stage.connection.current?.breakOff();
            break;
          case 'close':
            if (number % 10 > 0) break;
            model.closing = true;
            stage.connection.closeWhenIdle();
            break;
          case 'sweep':
            if (!model.closed) stage.pass(number % 300);
            break;
        }
      }
      const undisturbed = !model.left && !model.gone && !model.broken && !model.closing;
      if (!model.gone) model.settle();
      model.check();
      const { connection, wire } = stage;
      if (model.left && !model.gone) assert.ok(wire.ended || model.closed, 'FIN is answered');
      if (undisturbed && !wire.ended && !model.closed) {
        assert.equal(connection.phase, 'idle');
        assert.equal(stage.requests.length, script.length);
        assert.equal(wire.paused, false);
        for (const seen of stage.requests) assert.equal(seen.log.includes('close'), true);
      }
      if (!model.closed) {
        // In the end every connection is closed, whatever is under way.
        connection.gone();
      }
      for (const seen of stage.requests) assert.equal(seen.log.includes('close'), true);
      assert.equal(stage.over, 1);
      const { calls } = wire;
      for (const seen of stage.requests) {
        seen.exchange.end();
        seen.exchange.flush();
        seen.exchange.breakOff();
      }
      assert.equal(wire.calls, calls, 'nothing is written behind the end');
    }),
    { numRuns: 300 },
  );
});

void test('whatever bytes come, in whatever pieces: nothing is thrown, one refusal at most, and nothing is read behind it', () => {
  const seed = latin1(asked(0, 0, 0).text + asked(1, 1, 5).text + asked(2, 2, 9).text);
  const nasty = fc.constantFrom(
    '\r',
    '\n',
    '\r\n\r\n',
    '\0',
    ' ',
    ':',
    ';',
    '0',
    'x',
    '\xff',
    'Content-Length: 3\r\n',
  );
  const mutation = fc.tuple(fc.nat({ max: seed.length }), fc.nat({ max: 12 }), nasty);
  fc.assert(
    fc.property(
      fc.array(mutation, { maxLength: 3 }),
      fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 20 }),
      (mutations, cuts) => {
        let text = seed.toString('latin1');
        for (const [at, cut, put] of mutations)
          text = text.slice(0, at) + put + text.slice(at + cut);
        const stage = new ServerStage();
        let refused = false;
        stage.react = (seen) => {
          assert.equal(refused, false);
          seen.exchange.body?.start(seen);
          seen.answer();
        };
        for (const size of [...cuts, text.length]) {
          stage.receive(text.slice(0, size));
          text = text.slice(size);
          refused = stage.refusals.length > 0;
        }
        assert.ok(stage.refusals.length <= 1);
        if (refused) assert.equal(stage.wire.ended, true);
        stage.connection.receivedEnd();
        stage.pass(10_000);
        stage.pass(10_000);
        assert.equal(stage.wire.closed === 'destroyed' || stage.wire.ended, true);
        assert.equal(stage.over, 1);
      },
    ),
    { numRuns: 300 },
  );
});
