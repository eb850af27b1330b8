import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { BodyReader } from '../../src/http1/body-reader.ts';
import { CHUNKED, UNTIL_CLOSE } from '../../src/http1/message-head.ts';
import { GrammarError } from '../../src/http1/refusal.ts';
import { LIMITS } from './grammar.ts';

class Heard {
  readonly chunks: Buffer[] = [];
  readonly trailers: (readonly string[])[] = [];

  onData(chunk: Buffer): void {
    this.chunks.push(chunk);
  }

  onTrailers(fields: readonly string[]): void {
    this.trailers.push(fields);
  }
}

function cutShort(error: unknown): boolean {
  return error instanceof GrammarError && error.refusal === 'cutShort';
}

test('a body of a length is handed over as it stands in the read, and nothing behind it', () => {
  const heard = new Heard();
  const reader = new BodyReader(5, LIMITS, heard);
  assert.deepEqual([reader.done, reader.missing], [false, 5]);
  const first = Buffer.from('ab');
  assert.equal(reader.read(first, 0, 2), 2);
  assert.equal(heard.chunks[0], first);
  assert.deepEqual([reader.done, reader.missing], [false, 3]);
  assert.throws(() => reader.end(), cutShort);
  const second = Buffer.from('--cdeNEXT');
  assert.equal(reader.read(second, 2, second.length), 5);
  assert.deepEqual([reader.done, reader.missing], [true, 0]);
  assert.equal(reader.read(second, 5, second.length), 5);
  assert.equal(Buffer.concat(heard.chunks).toString(), 'abcde');
  reader.end();
});

test('a body without bytes is whole from the start', () => {
  const reader = new BodyReader(0, LIMITS, new Heard());
  assert.ok(reader.done);
  assert.equal(reader.read(Buffer.from('NEXT'), 0, 4), 0);
  reader.end();
});

test('a body until the end takes everything, and is whole at the end only', () => {
  const heard = new Heard();
  const reader = new BodyReader(UNTIL_CLOSE, LIMITS, heard);
  assert.equal(reader.read(Buffer.from('0\r\n\r\n'), 0, 5), 5);
  assert.ok(!reader.done);
  reader.end();
  assert.ok(reader.done);
  assert.equal(Buffer.concat(heard.chunks).toString(), '0\r\n\r\n');
});

test('what may not be read yet is not read, also in trailers', () => {
  const heard = new Heard();
  const reader = new BodyReader(CHUNKED, LIMITS, heard);
  const bytes = Buffer.from('2;x="y"\r\nab\r\n0\r\nA: 1\r\nb: 2\r\n\r\nNEXT');
  for (let at = 0; !reader.done; at++) assert.equal(reader.read(bytes, at, at + 1), at + 1);
  assert.equal(Buffer.concat(heard.chunks).toString(), 'ab');
  assert.deepEqual(heard.trailers, [['a', '1', 'b', '2']]);
  reader.end();
});

test('kept pieces of trailers do not change with the buffer that they came in', () => {
  const heard = new Heard();
  const reader = new BodyReader(CHUNKED, LIMITS, heard);
  const first = Buffer.from('0\r\nA: se');
  reader.read(first, 0, first.length);
  first.fill(0xaa);
  const second = Buffer.from('cret\r\n\r\n');
  assert.equal(reader.read(second, 0, second.length), second.length);
  assert.deepEqual(heard.trailers, [['a', 'secret']]);
});

test('any data in any chunks and any reads is the same data', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 30 }), { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 10 }),
      fc.boolean(),
      (data, sizes, trailers) => {
        const framed = data.flatMap((part) => [
          Buffer.from(`${part.length.toString(16)}\r\n`),
          Buffer.from(part),
          Buffer.from('\r\n'),
        ]);
        const end = Buffer.from(trailers ? '0\r\nx: y\r\n\r\nNEXT' : '0\r\n\r\nNEXT');
        const bytes = Buffer.concat([...framed, end]);
        const heard = new Heard();
        const reader = new BodyReader(CHUNKED, LIMITS, heard);
        let at = 0;
        for (let turn = 0; at < bytes.length && !reader.done; turn++) {
          const to = Math.min(bytes.length, at + (sizes[turn % sizes.length] ?? 1));
          at = reader.read(bytes, at, to);
          assert.ok(at === to || reader.done);
        }
        assert.equal(bytes.toString('latin1', at), 'NEXT');
        assert.deepEqual(Buffer.concat(heard.chunks), Buffer.concat(data));
        assert.equal(heard.trailers.length, trailers ? 1 : 0);
        assert.ok(heard.chunks.every((chunk) => chunk.length > 0));
      },
    ),
  );
});

test('trailers that come byte by byte cost little more memory than their bytes', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const used = (): number => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const sent = 2 * LIMITS.maxFieldBytes - 100;
  const before = used();
  const readers = Array.from({ length: 5 }, () => {
    const reader = new BodyReader(CHUNKED, LIMITS, new Heard());
    reader.read(Buffer.from('0\r\nX: '), 0, 6);
    for (let count = 0; count < sent; count++) reader.read(Buffer.from('a'), 0, 1);
    return reader;
  });
  const each = (used() - before) / readers.length;
  assert.ok(each < 20 * sent, `${each} bytes for ${sent}`);
  assert.ok(readers.every(({ done }) => !done));
});
