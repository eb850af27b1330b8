import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Answer, ClientStage, Pushed } from './client-stage.ts';
import { latin1 } from './fake-wire.ts';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz';

/** What the other side answers to one request. */
interface Reply {
  readonly body: string;
  readonly text: string;
  /** Nothing may follow it on the connection. */
  readonly last: boolean;
}

function reply(kind: number, size: number): Reply {
  const body = ALPHABET.repeat(size / 26 + 1).slice(0, size);
  const interim = size % 3 === 0 ? 'HTTP/1.1 103 Early Hints\r\n\r\n' : '';
  const head = `${interim}HTTP/1.1 200 OK\r\n`;
  switch (kind) {
    case 0:
      return { body: '', text: `${interim}HTTP/1.1 204 No Content\r\n\r\n`, last: false };
    case 1:
      return { body, text: `${head}Content-Length: ${size}\r\n\r\n${body}`, last: false };
    case 2:
      return {
        body,
        text: `${head}Connection: close\r\nContent-Length: ${size}\r\n\r\n${body}`,
        last: true,
      };
    default: {
      const chunk = 1 + (size % 9_000);
      let text = `${head}Transfer-Encoding: chunked\r\n\r\n`;
      for (let at = 0; at < size; at += chunk) {
        const piece = body.slice(at, at + chunk);
        text += `${piece.length.toString(16)}\r\n${piece}\r\n`;
      }
      return { body, text: `${text}0\r\n\r\n`, last: false };
    }
  }
}

interface Exchange {
  readonly answer: Answer;
  readonly reply: Reply;
  readonly body: Pushed | undefined;
  sent: string;
  sentWhole: boolean;
  aborted: boolean;
  surplus: boolean;
}

class Model {
  readonly stage = new ClientStage();
  readonly exchanges: Exchange[] = [];
  readonly replies: readonly Reply[];
  /** Of the reply to the last request, what has not come. */
  rest = '';
  fin = false;
  #late = 0;

  constructor(replies: readonly Reply[]) {
    this.replies = replies;
  }

  get current(): Exchange | undefined {
    return this.exchanges.at(-1);
  }

  ask(withBody: boolean): void {
    const next = this.replies[this.exchanges.length];
    if (this.stage.connection.phase !== 'idle' || next === undefined) return;
    assert.equal(this.rest, '');
    const body = withBody ? new Pushed(-1) : undefined;
    const answer = new Answer();
    this.exchanges.push({
      answer,
      reply: next,
      body,
      sent: '',
      sentWhole: !withBody,
      aborted: false,
      surplus: false,
    });
    this.rest = next.text;
    this.stage.connection.send('HEAD', 'POST', body, false, answer);
  }

  receive(size: number): void {
    const { wire } = this.stage;
    if (this.rest === '' || wire.closed !== 'no' || this.fin) return;
    if (wire.paused) {
      if (this.#late > 0) return;
      this.#late += 1;
    } else this.#late = 0;
    const piece = this.rest.slice(0, Math.min(size, 65_536));
    this.rest = this.rest.slice(piece.length);
    this.stage.receive(piece);
  }

  push(number: number): void {
    const exchange = this.current;
    const sink = exchange?.body?.sink;
    if (exchange === undefined || sink === undefined || exchange.sentWhole) return;
    if (exchange.body?.log.includes('abandon') === true) return;
    if (number % 4 === 0) {
      exchange.sentWhole = true;
      sink.onEnd([]);
      return;
    }
    const piece = 'p'.repeat(number % 3 === 0 ? 17_000 : 10);
    exchange.sent += `${piece.length.toString(16)}\r\n${piece}\r\n`;
    const lent = latin1(piece);
    sink.onData(lent);
    if (lent.length < 16_384) lent.fill(0xaa);
  }

  check(): void {
    const { connection, idle, wire } = this.stage;
    let written = '';
    for (const [index, exchange] of this.exchanges.entries()) {
      const { answer, reply } = exchange;
      written += `HEAD${exchange.sent}${exchange.body !== undefined && exchange.sentWhole ? '0\r\n\r\n' : ''}`;
      assert.ok(reply.body.startsWith(answer.body), `answer ${index} has other bytes`);
      const last = answer.log.filter((event) => /^(?:end|broken|malformed|request)/.test(event));
      assert.ok(last.length <= 1);
      if (last.length === 1) assert.equal(answer.log.at(-1), last[0], 'the last event is last');
      if (last[0] === 'end') assert.equal(answer.body, reply.body);
      assert.ok(answer.log.filter((event) => event.startsWith('head')).length <= 1);
      if (index < this.exchanges.length - 1) assert.equal(last[0], 'end');
      if (connection.phase === 'over' && !exchange.aborted)
        assert.equal(last.length, 1, 'somebody waits for ever');
      if (exchange.body !== undefined && (last.length === 1 || exchange.aborted)) {
        const abandoned = exchange.body.log.includes('abandon');
        assert.equal(abandoned, !exchange.sentWhole, 'the source is let go, or was read whole');
      }
    }
    assert.equal(wire.written, written);
    const over = idle.indexOf(false);
    assert.equal(over === -1 ? connection.phase !== 'over' : connection.phase === 'over', true);
    assert.ok(over === -1 || over === idle.length - 1, 'nothing comes behind its end');
    assert.equal(connection.phase === 'over', wire.closed !== 'no');
  }
}

const OPERATION = fc.tuple(
  fc.constantFrom(
    ...([
      'ask',
      'receive',
      'receive',
      'receive',
      'receive',
      'push',
      'push',
      'takes',
      'resume',
      'full',
      'drain',
    ] as const),
    'fin' as const,
    'gone' as const,
    'abort' as const,
    'surplus' as const,
  ),
  fc.nat({ max: 100_000 }),
);

const REPLIES = fc.array(
  fc
    .tuple(
      fc.constantFrom(0, 1, 3, 1, 3, 2),
      fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 90_000 })),
    )
    .map(([kind, size]) => reply(kind, size)),
  { minLength: 1, maxLength: 4 },
);

void test('however reads, bodies, back-pressure and ends are interleaved: each answer ends once, whole or failed, out of lent memory', () => {
  fc.assert(
    fc.property(REPLIES, fc.array(OPERATION, { maxLength: 120 }), (replies, operations) => {
      const model = new Model(replies);
      const { stage } = model;
      const { connection, wire } = stage;
      let disturbed = false;
      for (const [what, number] of operations) {
        if (wire.closed !== 'no') break;
        const { current } = model;
        switch (what) {
          case 'ask':
            model.ask(number % 3 === 0);
            break;
          case 'receive':
            model.receive(1 + (number % 2 === 0 ? number % 65_000 : number % 50));
            break;
          case 'push':
            model.push(number);
            break;
          case 'takes':
            if (current === undefined) break;
            current.answer.takesHead = number % 2 === 0;
            current.answer.takesData = number % 3 === 0;
            break;
          case 'resume':
            connection.resume();
            break;
          case 'full':
            wire.full = true;
            break;
          case 'drain':
            if (wire.backlog > 0) stage.drain();
            break;
          case 'fin':
            if (number % 10 > 0 || model.fin) break;
            model.fin = disturbed = true;
            connection.receivedEnd();
            break;
          case 'gone':
            if (number % 20 > 0) break;
            model.fin = disturbed = true;
            connection.gone(new Error('reset'));
            break;
          case 'abort':
            if (number % 20 > 0) break;
            disturbed = true;
            if (current !== undefined && connection.phase !== 'idle') current.aborted = true;
            connection.abort();
            break;
          case 'surplus':
            if (number % 20 > 0 || model.rest !== '' || model.fin || wire.paused) break;
            disturbed = true;
            stage.receive('HTTP/1.1 200 OK\r\n\r\n');
            break;
        }
      }
      // Everybody does what is left to do.
      for (let round = 0; round < 100 && wire.closed === 'no'; round++) {
        model.ask(false);
        const { current } = model;
        if (current !== undefined) current.answer.takesHead = current.answer.takesData = true;
        connection.resume();
        if (wire.backlog > 0) stage.drain();
        if (current?.sentWhole === false) model.push(0);
        model.receive(65_536);
      }
      model.check();
      if (!disturbed && wire.closed === 'no') {
        assert.equal(model.exchanges.length, replies.length);
        assert.equal(connection.phase, 'idle');
        assert.equal(connection.served, replies.length);
        assert.equal(wire.paused, false);
      }
      connection.gone();
      model.check();
    }),
    { numRuns: 300 },
  );
});
