import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS, type Row, ROWS } from './grammar.ts';
import { readOwn } from './own-parser.ts';
import type { Reading } from './reading.ts';

function read(row: Row, reads: readonly Buffer[]): Reading {
  return readOwn(row.side, reads, LIMITS, row.method);
}

/** What must not depend on how the bytes were cut. */
function said({ messages, refused, keeps }: Reading): string {
  return JSON.stringify({ messages, refused, keeps });
}

/** A head without its end says so by FIN; the rows name only what the bytes themselves are refused for, and bodies that are cut short. */
function refusalOf({ refused, messages }: Reading): string | undefined {
  const inBody = messages.at(-1)?.whole === false;
  return refused === 'cutShort' && !inBody ? undefined : refused;
}

for (const row of ROWS) {
  test(`${row.side}, ${row.what}: ${row.refused ?? 'accepted'}`, () => {
    const bytes = Buffer.from(row.text, 'latin1');
    const reading = read(row, [Buffer.from(bytes)]);
    assert.equal(refusalOf(reading), row.refused, reading.at);
    assert.deepEqual(
      reading.messages.map(({ first, body, whole }) => `${first} ${body}${whole ? '' : '...'}`),
      row.messages,
    );
    const expected = said(reading);
    // All cuts of a message; of one that is long for the sake of a bound those at its ends and some between.
    const step = bytes.length > 4_096 ? 331 : 1;
    for (let cut = 1; cut < bytes.length; cut += cut < 64 ? 1 : step) {
      const pieces = [Buffer.from(bytes.subarray(0, cut)), Buffer.from(bytes.subarray(cut))];
      assert.equal(said(read(row, pieces)), expected, `cut at ${cut}`);
    }
    const each = Array.from(bytes, (byte) => Buffer.of(byte));
    assert.equal(said(read(row, each)), expected, 'byte by byte');
  });
}

test('a head in three pieces is the same wherever they end', () => {
  const row: Row = {
    what: '',
    side: 'request',
    text: '\r\nPOST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nb\r\n0\r\nX: y\r\n\r\n',
    messages: [],
  };
  const bytes = Buffer.from(row.text);
  const expected = said(read(row, [Buffer.from(bytes)]));
  assert.match(expected, /"body":"b","trailers":\["x","y"\],"whole":true/);
  for (let one = 1; one < bytes.length - 1; one++) {
    for (let two = one + 1; two < bytes.length; two++) {
      const pieces = [bytes.subarray(0, one), bytes.subarray(one, two), bytes.subarray(two)];
      assert.equal(
        said(
          read(
            row,
            pieces.map((piece) => Buffer.from(piece)),
          ),
        ),
        expected,
      );
    }
  }
});
