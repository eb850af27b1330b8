import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { HeadLimits } from '../../src/http1/limits.ts';
import { vectorsAt } from '../support/conformance.ts';
import { readOwn } from './own-parser.ts';
import type { Reading } from './reading.ts';

const LIMITS: HeadLimits = { maxTarget: 65_536, maxFieldBytes: 65_536, maxFields: 200 };

interface Case {
  /** `request/sample: Simple request`, numbered where a name comes twice. */
  readonly name: string;
  readonly side: 'request' | 'response';
  readonly skipBody: boolean;
  readonly input: Buffer;
  readonly trace: readonly string[];
}

/** The bytes that a block stands for: a line end is CRLF, one before the fence belongs to the fence, a backslash at a line's end joins it. */
function bytesOf(block: string): Buffer {
  const text = block
    .replace(/\n$/, '')
    .replace(/\\\n/g, '')
    .replace(/\n/g, '\r\n')
    .replace(/\\r/g, '\r')
    .replace(/\\n/g, '\n')
    .replace(/\\t/g, '\t')
    .replace(/\\f/g, '\f')
    .replace(/\\x([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replace(/\\([0-7]{1,3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
  return Buffer.from(text, 'utf8');
}

function casesOf(folder: string, side: Case['side']): Case[] {
  const names = new Map<string, number>();
  return readdirSync(`${folder}/${side}`)
    .filter((file) => file.endsWith('.md'))
    .sort()
    .flatMap((file) => {
      const text = readFileSync(`${folder}/${side}/${file}`, 'utf8');
      let heading = '';
      let meta = '';
      const cases: Case[] = [];
      const part =
        /^#+ (.+)$|<!-- meta=(.+?) -->|^```http\n([^]*?)^```\n(?:_.+_\n)?\s*```log\n([^]*?)^```/gm;
      for (const [, title, said, block, log] of text.matchAll(part)) {
        if (title !== undefined) heading = title;
        if (said !== undefined) meta = said;
        if (block === undefined || log === undefined) continue;
        const base = `${side}/${file.replace(/\.md$/, '')}: ${heading}`;
        const count = (names.get(base) ?? 0) + 1;
        names.set(base, count);
        cases.push({
          name: count === 1 ? base : `${base} (${count})`,
          side,
          skipBody: meta.includes('skipBody'),
          input: bytesOf(block),
          trace: log.split('\n').filter((line) => line !== ''),
        });
      }
      return cases;
    });
}

interface Traced {
  method: string;
  url: string;
  version: string;
  status: string;
  readonly names: string[];
  readonly values: string[];
  body: string;
  head: boolean;
  whole: boolean;
  /** Offset behind the first line. */
  firstLineEnd: number;
}

/** What llhttp made of an input. */
function traced({ input, trace }: Case): { messages: Traced[]; refused: boolean } {
  const messages: Traced[] = [];
  let refused = false;
  let open = ''; // the span that the next piece of the same kind belongs to
  for (const line of trace) {
    const [, off = '', len, kind, rest = ''] =
      /^off=(\d+|NULL) (?:len=(\d+) span\[(\w+)\]=)?(.*)$/.exec(line) ?? [];
    const last = messages.at(-1);
    if (kind === undefined) open = '';
    if (rest === 'message begin') {
      messages.push({
        method: '',
        url: '',
        version: '',
        status: '',
        names: [],
        values: [],
        body: '',
        head: false,
        whole: false,
        firstLineEnd: -1,
      });
    } else if (rest.startsWith('error code=')) {
      refused = !/code=2[123]\b/.test(rest); // a pause, as the bytes behind are of another protocol
    } else if (last === undefined) {
      continue;
    } else if (kind !== undefined) {
      const text = input.toString('latin1', Number(off), Number(off) + Number(len));
      if (kind === 'method') last.method += text;
      else if (kind === 'url') last.url += text;
      else if (kind === 'version') last.version += text;
      else if (kind === 'body') last.body += text;
      else if (kind === 'header_field') joined(last.names, text, open === kind);
      else if (kind === 'header_value') joined(last.values, text, open === kind);
      open = kind;
    } else if (rest === 'version complete') {
      last.firstLineEnd = Number(off) + 2;
    } else if (rest === 'header_field complete' && last.names.length === last.values.length) {
      last.names.push('');
    } else if (rest === 'header_value complete' && last.values.length < last.names.length) {
      last.values.push(''); // an empty value has no span
    } else if (rest.startsWith('headers complete')) {
      last.head = true;
      last.status = /status=(\d+)/.exec(rest)?.[1] ?? '';
    } else if (rest === 'message complete') {
      last.whole = true;
    }
  }
  return { messages, refused };
}

function joined(list: string[], text: string, more: boolean): void {
  if (more) list.push((list.pop() ?? '') + text);
  else list.push(text);
}

/** What {@link withHosts} inserts: in absolute-form the host of the target. */
function ownHost({ url }: Traced): string {
  return /^https?:\/\/([^/?]*)/i.exec(url)?.[1] ?? 'h';
}

/** The input with a Host where a request has none: most have none, and no case is about that. */
function withHosts(one: Case, messages: readonly Traced[]): Buffer {
  const pieces: Buffer[] = [];
  let from = 0;
  for (const message of one.side === 'request' ? messages : []) {
    const { firstLineEnd, names } = message;
    if (firstLineEnd === -1 || names.some((name) => /^host$/i.test(name))) continue;
    const line = Buffer.from(`Host: ${ownHost(message)}\r\n`);
    pieces.push(one.input.subarray(from, firstLineEnd), line);
    from = firstLineEnd;
  }
  return Buffer.concat([...pieces, one.input.subarray(from)]);
}

/** Header lines and the lines of trailers, as the codec says them. */
function linesOf(side: Case['side'], message: Traced): string[] {
  const lines = message.names.map((name, index) => {
    const value = (message.values[index] ?? '').replace(/^[ \t]+|[ \t]+$/g, '');
    return `${name.toLowerCase()}: ${value}`;
  });
  const host = lines.some((line) => line.startsWith('host: '));
  return side === 'request' && !host ? [`host: ${ownHost(message)}`, ...lines] : lines;
}

function pairs(fields: readonly string[]): string[] {
  return fields.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${fields[at + 1]}`] : []));
}

/** Each message of ours is theirs, and we have none that they have not. */
function sameMessages(one: Case, ours: Reading, theirs: readonly Traced[]): void {
  const heads = theirs.filter(({ head }) => head);
  assert.ok(ours.messages.length <= heads.length, `${one.name}: a message that llhttp has not`);
  for (const [index, own] of ours.messages.entries()) {
    const their = heads[index];
    assert.ok(their);
    const first =
      one.side === 'request'
        ? `${their.method} ${their.url} ${their.version}`
        : `${their.status} ${their.version}`;
    assert.equal(own.first, first, one.name);
    assert.deepEqual(
      pairs([...own.fields, ...own.trailers]),
      linesOf(one.side, their).slice(0, own.whole ? undefined : own.fields.length / 2),
      one.name,
    );
    if (one.skipBody) continue;
    if (own.whole) assert.equal(own.body, their.body, one.name);
    else assert.ok(their.body.startsWith(own.body), one.name);
  }
}

/** What llhttp takes and the codec refuses, by why. */
const STRICTER: Readonly<Record<string, readonly string[]>> = {
  'lenient flags, which the codec has none of': [
    'request/connection: Invalid whitespace token with `Connection` header field (lenient)',
    'request/content-length: Invalid whitespace token with `Content-Length` header field (lenient)',
    'request/content-length: Missing CRLF-CRLF before body (lenient)',
    'request/content-length: No error on simultaneous `Content-Length` and `Transfer-Encoding: identity` (lenient)',
    'request/invalid: Only LFs present (lenient)',
    'request/invalid: Spaces before headers (lenient)',
    'request/lenient-header-value-relaxed: Control char in header value (relaxed)',
    'request/lenient-headers: Empty headers separated by CR (lenient)',
    'request/lenient-headers: Header value (lenient)',
    'request/lenient-headers: Second request header value (lenient)',
    'request/lenient-version: Invalid HTTP version (lenient)',
    'request/sample: No LF after CR (lenient)',
    'request/transfer-encoding: Chunk data not terminated by CRLF (lenient)',
    'request/transfer-encoding: Chunk header not terminated by CRLF (lenient)',
    'request/transfer-encoding: POST with `Transfer-Encoding` and `Content-Length` (lenient)',
    'request/transfer-encoding: POST with `chunked` and duplicate transfer-encoding (lenient)',
    'request/transfer-encoding: POST with `chunked` before other transfer-coding (lenient)',
    'request/transfer-encoding: Space after chunk header (lenient)',
    'response/invalid: Bare CR after response line (lenient)',
    'response/invalid: Only LFs present (lenient)',
    'response/invalid: Only LFs present and no body (lenient)',
    'response/lenient-version: Invalid HTTP version (lenient)',
    'response/sample: No carriage ret (lenient)',
  ],
  'a folded line: obsolete, and read in two ways (RFC 9112 section 5.2)': [
    'request/connection: Multiple tokens with folding',
    'request/connection: Multiple tokens with folding, LWS, and CRLF',
    'request/sample: Line folding in header value with CRLF',
    'request/sample: X-SSL-Nonsense',
    'response/transfer-encoding: Invalid OBS fold after chunked value',
  ],
  'more than one empty line before a request, or any before a response': [
    'request/connection: CRLF between requests, implicit `keep-alive`',
    'request/connection: Emitting part of body and pausing',
    'response/connection: HTTP 100 first, then 400',
    'response/sample: Response starting with CRLF',
  ],
  'another protocol, or no version of it that is served': [
    'request/method: ANNOUNCE request with RTSP',
    'request/method: OPTIONS request with RTSP',
    'request/method: PRI request HTTP2',
    'request/method: SOURCE request with ICE',
    'request/sample: No HTTP version',
    'response/sample: HTTP version 0.9',
    'response/sample: ICE response',
    'response/sample: RTSP response',
  ],
  'CONNECT: no tunnel is opened for clients': [
    'request/method: CONNECT request',
    'request/method: CONNECT request with CAPS',
    'request/method: CONNECT with body',
    'request/uri: Underscore in hostname',
  ],
  'a target in asterisk-form, with a fragment, or with a user': [
    'request/method: M-SEARCH request',
    'request/transfer-encoding: POST with `chunked` as last transfer-encoding',
    'request/transfer-encoding: POST with `chunked` as last transfer-encoding (multiple headers)',
    'request/uri: Fragment in URI',
    'request/uri: `host:port` and basic auth',
  ],
  'transfer codings beside chunked, or any where no body is': [
    'response/connection: HTTP 101 response with Upgrade and Transfer-Encoding header',
    'response/connection: HTTP 304 with Transfer-Encoding',
    'response/transfer-encoding: `chunked` before other transfer-encoding',
    'response/transfer-encoding: `chunkedchunked` transfer-encoding does not enable chunked enconding',
    'response/transfer-encoding: multiple transfer-encoding where chunked is not the last one',
  ],
};

test("llhttp's cases: what it refuses is refused or never whole, what it accepts is accepted with the same meaning, or stricter for a reason", (t) => {
  const folder = vectorsAt('llhttp/test');
  if (folder === undefined) return t.skip('no vectors');
  const requests = casesOf(folder, 'request');
  const responses = casesOf(folder, 'response');
  assert.equal(requests.length, 166);
  assert.equal(responses.length, 85);
  const stricter: string[] = [];
  for (const one of [...requests, ...responses]) {
    const theirs = traced(one);
    const input = withHosts(one, theirs.messages);
    const ours = readOwn(one.side, [input], LIMITS, one.skipBody ? 'HEAD' : 'GET');
    sameMessages(one, ours, theirs.messages);
    if (ours.refused === undefined || ours.refused === 'cutShort') {
      const whole = ours.messages.filter((message) => message.whole).length;
      const theirWhole = theirs.messages.filter((message) => message.whole).length;
      assert.ok(
        whole <= theirWhole || !theirs.refused,
        `${one.name}: whole, but llhttp refuses it`,
      );
    } else if (!theirs.refused) {
      stricter.push(one.name);
    }
  }
  assert.deepEqual(stricter.sort(), Object.values(STRICTER).flat().sort());
});
