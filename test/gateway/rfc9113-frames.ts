import {
  ACK,
  block,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  GOAWAY,
  HEADERS,
  PADDED,
  PING,
  PREFACE,
  PRIORITY,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  settings,
  uint32,
  WINDOW_UPDATE,
  WITH_PRIORITY,
} from './http2-frames.ts';
import { type Case, data, get, malformed, post, requestFields, rule } from './rfc9113-case.ts';

const MAX_FRAME = 16_384;
const UNKNOWN = 0x16;
const EIGHT = [1, 2, 3, 4, 5, 6, 7, 8];
const NO_PRIORITY = [0, 0, 0, 0, 15];

const PROTOCOL = 'connection PROTOCOL_ERROR';
const SIZE = 'connection FRAME_SIZE_ERROR';
const COMPRESSION = 'connection COMPRESSION_ERROR';
const FLOW = 'connection FLOW_CONTROL_ERROR';
/** A stream that was closed may be forgotten: then its number is too low (section 5.1.1). */
const CLOSED = ['stream STREAM_CLOSED', PROTOCOL] as const;

const head = (path: string): Buffer => block(requestFields(path));
const start = (path: string, flags = END_STREAM): Buffer => frame(HEADERS, flags, 1, head(path));
const ping = (flags = 0, stream = 0, payload = EIGHT): Buffer =>
  frame(PING, flags, stream, payload);
const window = (stream: number, increment: number): Buffer =>
  frame(WINDOW_UPDATE, 0, stream, uint32(increment));
const reset = (stream: number, code = 8): Buffer => frame(RST_STREAM, 0, stream, uint32(code));
const encoded = (...bytes: number[]): Buffer => frame(HEADERS, END_HEADERS | END_STREAM, 1, bytes);
/** A request, and after it bytes of a field block that are wrong. */
const spoilt = (path: string, ...bytes: number[]): Buffer =>
  frame(HEADERS, END_HEADERS | END_STREAM, 1, [...head(path), ...bytes]);

/** Sections 3 to 5: connections, frames, streams. */
export const CONNECTION_CASES: readonly Case[] = [
  rule('3.4', 'a connection on which only PING is sent', 'ignored', () => [ping()], {
    check: ({ frames }) => frames[0]?.type === SETTINGS,
  }),
  rule('3.4', 'another preface', PROTOCOL, () => [], {
    greeting: [Buffer.from('PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n'), settings()],
  }),
  rule('3.4', 'HTTP/1.1 where HTTP/2 was chosen', PROTOCOL, () => [], {
    greeting: [Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
  }),
  rule('3.4', 'PING before SETTINGS', PROTOCOL, () => [], { greeting: [PREFACE, ping()] }),
  rule('4.1', 'a frame of an unknown type', 'ignored', () => [frame(UNKNOWN, 0xff, 0, EIGHT)]),
  rule('4.1', 'an unknown frame on a stream that is open', '200', (path) => [
    post(path),
    frame(UNKNOWN, 0, 1, EIGHT),
    data('x', END_STREAM),
  ]),
  rule('4.1', 'flags that PING does not have', 'ignored', () => [ping(0xfe)], {
    check: ({ frames }) => frames.some(({ type, flags }) => type === PING && flags === ACK),
  }),
  rule('4.1', 'the reserved bit of a stream number', 'ignored', () => [ping(0, 0x80000000)]),
  rule('4.2', 'DATA of 16,384 bytes', '200', (path) => [
    post(path),
    data(Buffer.alloc(MAX_FRAME), END_STREAM),
  ]),
  rule('4.2', 'DATA of 16,385 bytes', 'stream FRAME_SIZE_ERROR', (path) => [
    post(path),
    data(Buffer.alloc(MAX_FRAME + 1), END_STREAM),
  ]),
  rule('4.2', 'HEADERS of 16,385 bytes', SIZE, () => [encoded(...Buffer.alloc(MAX_FRAME + 1))]),
  rule('4.2', 'SETTINGS of more than 16,384 bytes', SIZE, () => [
    frame(SETTINGS, 0, 0, Buffer.alloc(6 * 2_731)),
  ]),
  rule('4.3', 'a field block with index 0', COMPRESSION, (path) => [spoilt(path, 0x80)]),
  rule('4.3', 'an index beyond both tables', COMPRESSION, (path) => [spoilt(path, 0xff, 0x7f)]),
  rule('4.3', 'an index without end', COMPRESSION, (path) => [
    spoilt(path, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
  ]),
  rule('4.3', 'a literal that is cut short', COMPRESSION, (path) => [spoilt(path, 0, 5, 0x61)]),
  rule('4.3', 'a table larger than was allowed', COMPRESSION, (path) => [
    frame(HEADERS, END_HEADERS | END_STREAM, 1, [0x3f, 0xe2, 0x1f, ...head(path)]), // 4,097
  ]),
  rule('4.3', 'a new table size at the end', COMPRESSION, (path) => [spoilt(path, 0x20)]),
  rule('4.3', 'Huffman with a byte of padding', COMPRESSION, (path) => [
    spoilt(path, 0, 1, 0x61, 0x82, 0x1f, 0xff),
  ]),
  rule('4.3', 'Huffman padded with zeros', COMPRESSION, (path) => [
    spoilt(path, 0, 1, 0x61, 0x81, 0x18),
  ]),
  rule('4.3', 'Huffman with the end of string', COMPRESSION, (path) => [
    spoilt(path, 0, 1, 0x61, 0x84, 0xff, 0xff, 0xff, 0xff),
  ]),
  rule('5.1', 'DATA on an idle stream', PROTOCOL, () => [data('x', END_STREAM)]),
  rule('5.1', 'RST_STREAM on an idle stream', PROTOCOL, () => [reset(1)]),
  rule('5.1', 'WINDOW_UPDATE on an idle stream', PROTOCOL, () => [window(1, 100)]),
  rule('5.1', 'CONTINUATION on an idle stream', PROTOCOL, (path) => [
    frame(CONTINUATION, END_HEADERS, 1, head(path)),
  ]),
  rule('5.1', 'PRIORITY on an idle stream', 'ignored', () => [frame(PRIORITY, 0, 1, NO_PRIORITY)]),
  rule('5.1', 'DATA after the end of a request', CLOSED, (path) => [get(path), data('x')]),
  rule('5.1', 'HEADERS after the end of a request', CLOSED, (path) => [get(path), get(path)]),
  rule('5.1', 'CONTINUATION after the end of a request', [...CLOSED], (path) => [
    get(path),
    frame(CONTINUATION, END_HEADERS, 1, head(path)),
  ]),
  rule('5.1', 'PRIORITY after the end of a request', '200', (path) => [
    get(path),
    frame(PRIORITY, 0, 1, NO_PRIORITY),
  ]),
  rule('5.1', 'WINDOW_UPDATE after the end of a request', '200', (path) => [
    get(path),
    window(1, 100),
  ]),
  rule('5.1', 'DATA after a reset', [...CLOSED, 'ignored'], (path) => [
    post(path),
    reset(1),
    data('x', END_STREAM),
  ]),
  rule('5.1', 'HEADERS after a reset', [...CLOSED], (path) => [post(path), reset(1), get(path)]),
  rule('5.1', 'WINDOW_UPDATE after a reset', 'ignored', (path) => [
    post(path),
    reset(1),
    window(1, 100),
  ]),
  rule('5.1', 'DATA on a stream that is over', CLOSED, (path) => [get(path)], {
    afterwards: () => [data('x', END_STREAM)],
  }),
  rule('5.1', 'HEADERS on a stream that is over', CLOSED, (path) => [get(path)], {
    afterwards: (path) => [get(path)],
  }),
  rule('5.1', 'RST_STREAM on a stream that is over', '200', (path) => [get(path)], {
    afterwards: () => [reset(1)],
  }),
  rule('5.1.1', 'an even stream number', PROTOCOL, (path) => [get(path, 2)]),
  rule('5.1.1', 'a lower stream number than before', [...CLOSED], (path) => [
    get(path, 5),
    get(path, 1),
  ]),
  rule('5.1.1', 'HEADERS on stream 0', PROTOCOL, (path) => [get(path, 0)]),
  rule(
    '5.1.2',
    'more streams than allowed',
    ['stream REFUSED_STREAM', 'stream PROTOCOL_ERROR'],
    (path) => [
      ...Array.from({ length: 10 }, (_, at) => post(path, 101 + 2 * at)),
      get(path, 121),
      reset(101), // room for the stream that is looked at
    ],
    { stream: 121 },
  ),
  rule('5.3.2', 'a stream that depends on itself', ['200', 'stream PROTOCOL_ERROR'], (path) => [
    get(path),
    frame(PRIORITY, 0, 1, [0, 0, 0, 1, 15]),
  ]),
  rule('5.5', 'an unknown frame inside a field block', PROTOCOL, (path) => [
    start(path),
    frame(UNKNOWN, 0, 0, EIGHT),
    frame(CONTINUATION, END_HEADERS, 1),
  ]),
];

/** Section 6: each type of frame. */
export const FRAME_CASES: readonly Case[] = [
  rule('6.1', 'DATA on stream 0', PROTOCOL, () => [data('x', 0, 0)]),
  rule('6.1', 'DATA with padding', '200', (path) => [
    post(path, 1, [['content-length', '2']]),
    frame(DATA, PADDED | END_STREAM, 1, [3, 0x61, 0x62, 0, 0, 0]),
  ]),
  rule('6.1', 'DATA that is all padding', '200', (path) => [
    post(path),
    frame(DATA, PADDED | END_STREAM, 1, [3, 0, 0, 0]),
  ]),
  rule('6.1', 'more padding than DATA', PROTOCOL, (path) => [
    post(path),
    frame(DATA, PADDED | END_STREAM, 1, [4, 0, 0, 0]),
  ]),
  rule('6.1', 'padding without a length', [SIZE, PROTOCOL], (path) => [
    post(path),
    frame(DATA, PADDED | END_STREAM, 1),
  ]),
  rule('6.1', 'DATA without content', '200', (path) => [
    post(path),
    data('x'),
    data(''),
    data('', END_STREAM),
  ]),
  rule('6.2', 'HEADERS with padding and priority', '200', (path) => [
    frame(HEADERS, END_HEADERS | END_STREAM | PADDED | WITH_PRIORITY, 1, [
      2,
      ...NO_PRIORITY,
      ...head(path),
      0,
      0,
    ]),
  ]),
  rule('6.2', 'more padding than HEADERS', PROTOCOL, (path) => [
    frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, [255, ...head(path)]),
  ]),
  rule('6.2', 'HEADERS too short for their priority', [SIZE, PROTOCOL], () => [
    frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, [0, 0, 0]),
  ]),
  rule('6.2', 'PRIORITY inside a field block', PROTOCOL, (path) => [
    start(path),
    frame(PRIORITY, 0, 1, NO_PRIORITY),
    frame(CONTINUATION, END_HEADERS, 1),
  ]),
  rule('6.2', 'HEADERS of another stream inside a field block', PROTOCOL, (path) => [
    start(path),
    get(path, 3),
  ]),
  rule('6.2', 'DATA inside a field block', PROTOCOL, (path) => [start(path, 0), data('x')]),
  rule('6.3', 'PRIORITY on stream 0', PROTOCOL, () => [frame(PRIORITY, 0, 0, NO_PRIORITY)]),
  rule('6.3', 'PRIORITY of 4 bytes', 'stream FRAME_SIZE_ERROR', (path) => [
    post(path),
    frame(PRIORITY, 0, 1, [0, 0, 0, 0]),
  ]),
  rule('6.4', 'RST_STREAM on stream 0', PROTOCOL, () => [reset(0)]),
  rule('6.4', 'RST_STREAM of 3 bytes', SIZE, (path) => [
    post(path),
    frame(RST_STREAM, 0, 1, [0, 0, 0]),
  ]),
  ...[0, 1, 8].map((code) =>
    rule(
      '6.4',
      `a request that is reset in the middle with ${code}`,
      'ignored',
      (path) => [post(path), data('x'), reset(1, code)],
      { refused: true },
    ),
  ),
  rule('6.5', 'SETTINGS that confirm with content', SIZE, () => [frame(SETTINGS, ACK, 0, EIGHT)]),
  rule('6.5', 'SETTINGS on a stream', PROTOCOL, (path) => [post(path), frame(SETTINGS, 0, 1)]),
  rule('6.5', 'SETTINGS of 5 bytes', SIZE, () => [frame(SETTINGS, 0, 0, [0, 3, 0, 0, 0])]),
  rule('6.5', 'SETTINGS are confirmed, each', 'ignored', () => [settings(), settings([3, 5])], {
    check: ({ frames }) =>
      frames.filter(({ type, flags }) => type === SETTINGS && flags === ACK).length === 3,
  }),
  rule('6.5.2', 'ENABLE_PUSH of 2', PROTOCOL, () => [settings([2, 2])]),
  rule('6.5.2', 'INITIAL_WINDOW_SIZE of 2^31', FLOW, () => [settings([4, 2 ** 31])]),
  rule('6.5.2', 'MAX_FRAME_SIZE of 16,383', PROTOCOL, () => [settings([5, MAX_FRAME - 1])]),
  rule('6.5.2', 'MAX_FRAME_SIZE of 2^24', PROTOCOL, () => [settings([5, 2 ** 24])]),
  rule('6.5.2', 'an unknown setting', 'ignored', () => [settings([0xff, 7])]),
  rule('6.5.2', 'ENABLE_CONNECT_PROTOCOL of 2 (RFC 8441 section 3)', [PROTOCOL, 'ignored'], () => [
    settings([8, 2]),
  ]),
  rule('6.5.3', 'the last of equal settings counts', '200', (path) => [
    settings([4, 0], [4, 100]),
    get(path),
  ]),
  rule('6.6', 'PUSH_PROMISE of a client', PROTOCOL, (path) => [
    post(path),
    frame(PUSH_PROMISE, END_HEADERS, 1, [0, 0, 0, 2, ...head(path)]),
  ]),
  rule('6.7', 'PING is answered with the same bytes', 'ignored', () => [ping()], {
    check: ({ frames }) =>
      frames.some(
        ({ type, flags, payload }) =>
          type === PING && flags === ACK && payload.equals(Buffer.from(EIGHT)),
      ),
  }),
  rule('6.7', 'an answer to no PING is not answered', 'ignored', () => [ping(ACK)], {
    check: ({ frames }) => !frames.some(({ type }) => type === PING),
  }),
  rule('6.7', 'PING on a stream', PROTOCOL, (path) => [post(path), ping(0, 1)]),
  rule('6.7', 'PING of 7 bytes', SIZE, () => [ping(0, 0, EIGHT.slice(1))]),
  rule('6.8', 'GOAWAY on a stream', PROTOCOL, (path) => [
    post(path),
    frame(GOAWAY, 0, 1, Buffer.alloc(8)),
  ]),
  rule('6.8', 'GOAWAY of 7 bytes', SIZE, () => [frame(GOAWAY, 0, 0, Buffer.alloc(7))]),
  rule('6.9', 'a WINDOW_UPDATE of 0 for the connection', PROTOCOL, () => [window(0, 0)]),
  rule('6.9', 'a WINDOW_UPDATE of 0 for a stream', 'stream PROTOCOL_ERROR', (path) => [
    post(path),
    window(1, 0),
  ]),
  rule('6.9', 'a WINDOW_UPDATE of 3 bytes', SIZE, () => [frame(WINDOW_UPDATE, 0, 0, [0, 0, 1])]),
  rule('6.9.1', 'a window of the connection beyond 2^31 - 1', FLOW, () => [
    window(0, 2 ** 31 - 1),
    window(0, 1),
  ]),
  rule('6.9.1', 'a window of a stream beyond 2^31 - 1', 'stream FLOW_CONTROL_ERROR', (path) => [
    post(path),
    window(1, 2 ** 31 - 1),
    window(1, 1),
  ]),
  rule('6.9.1', 'an answer waits for its window', '200', (path) => [settings([4, 1]), get(path)], {
    check: (peer) => {
      const held = peer.answer(1);
      return held.bytes === 1 && !held.ended;
    },
  }),
  rule('6.9.2', 'new settings that take a window beyond 2^31 - 1', FLOW, (path) => [
    post(path),
    window(1, 2 ** 31 - 1 - 65_535),
    settings([4, 65_536]),
  ]),
  rule('6.10', 'a field block in three frames', '200', (path) => [
    frame(HEADERS, END_STREAM, 1, head(path).subarray(0, 9)),
    frame(CONTINUATION, 0, 1, head(path).subarray(9, 20)),
    frame(CONTINUATION, END_HEADERS, 1, head(path).subarray(20)),
  ]),
  rule('6.10', 'CONTINUATION on stream 0', PROTOCOL, (path) => [
    start(path),
    frame(CONTINUATION, END_HEADERS, 0),
  ]),
  rule('6.10', 'CONTINUATION of another stream', PROTOCOL, (path) => [
    start(path),
    frame(CONTINUATION, END_HEADERS, 3),
  ]),
  rule('6.10', 'CONTINUATION after the last CONTINUATION', CLOSED, (path) => [
    frame(HEADERS, 0, 1, block(requestFields(path, 'POST'))),
    frame(CONTINUATION, END_HEADERS, 1),
    frame(CONTINUATION, END_HEADERS, 1),
  ]),
  rule('6.10', 'CONTINUATION after DATA', PROTOCOL, (path) => [
    post(path),
    data('x'),
    frame(CONTINUATION, END_HEADERS, 1, head(path)),
  ]),
  malformed('6.10', 'a block whose second frame is malformed', (path) => [
    start(path),
    frame(CONTINUATION, END_HEADERS, 1, block([['X-Upper', '1']])),
  ]),
];
