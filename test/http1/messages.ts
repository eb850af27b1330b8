import fc from 'fast-check';
import { METHODS } from 'node:http';
import { mutate, MUTATIONS, type Mutation } from './mutation.ts';
import { MESSAGE, NASTY, NASTY_LINES } from './nasty.ts';

/** Bytes that one side of a connection sends. Text is latin1. */
export interface Input {
  readonly side: 'request' | 'response';
  /** Of a response: the method that it answers. */
  readonly method?: string;
  readonly text: string;
  /** Where the reads end, ascending; what is not within the text has no effect. `every`: behind every byte. */
  readonly cuts: readonly number[] | 'every';
}

const oneOf = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);

/** `name: value` with the blanks that are allowed. */
function line(name: fc.Arbitrary<string>, value: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const blank = fc.oneof(
    { weight: 6, arbitrary: fc.constant(' ') },
    { weight: 2, arbitrary: oneOf('', '\t', ' \t ') },
  );
  const after = fc.oneof(
    { weight: 6, arbitrary: fc.constant('') },
    { weight: 1, arbitrary: oneOf(' ', '\t', ' \t') },
  );
  return fc
    .tuple(name, blank, value, after)
    .map(([name, before, value, after]) => `${name}:${before}${value}${after}\r\n`);
}

const tokenText = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}$/);
const TEXT_CHARACTERS = 'aZ09!"(),/:;<=>?@[\\]{}\x80\xff \t'.split('');
const valueText = fc
  .array(fc.oneof(fc.constantFrom(...TEXT_CHARACTERS), tokenText), {
    maxLength: 8,
  })
  .map((parts) => parts.join('').replace(/^[ \t]+|[ \t]+$/g, ''));

const otherField = fc.oneof(
  line(
    tokenText.filter((name) => !/^(?:content-length|transfer-encoding|host)$/i.test(name)),
    valueText,
  ),
  line(
    oneOf(
      'Accept',
      'User-Agent',
      'Cookie',
      'Authorization',
      'X_Under_Score',
      'via',
      'SET-COOKIE',
      'Date',
      'TE',
    ),
    oneOf('*/*', 'a=b; c=d', 'Bearer abc.def.ghi', 'trailers', '', 'Mon, 01 Jan 2024 00:00:00 GMT'),
  ),
  line(
    oneOf('Connection', 'connection'),
    oneOf('close', 'keep-alive', 'Upgrade', 'X-A, keep-alive', 'TE', 'Close , x', ''),
  ),
  line(oneOf('Upgrade'), oneOf('websocket', 'h2c', 'a/1, b')),
  line(oneOf('Expect', 'expect'), oneOf('100-continue', '100-Continue')),
  line(oneOf('Trailer', 'Keep-Alive', 'Proxy-Connection'), oneOf('X', 'timeout=5', 'close')),
);

const payload = fc.oneof(
  oneOf(
    '',
    'abc',
    'x',
    '0\r\n\r\n',
    '\r\n',
    '3\r\nabc\r\n0\r\n\r\n',
    MESSAGE,
    `0\r\n\r\n${MESSAGE}`,
  ),
  fc.string({ unit: 'binary-ascii', maxLength: 40 }),
  fc.integer({ min: 1, max: 700 }).map((size) => 'y'.repeat(size)),
);

const extension = fc.oneof(
  { weight: 6, arbitrary: fc.constant('') },
  { weight: 2, arbitrary: oneOf(';a', ';a=b', ';a="b c"', ';a="\\"";b', ';a="";c=d;e') },
);
const chunk = fc
  .tuple(
    payload.filter((text) => text !== ''),
    oneOf('', '', '', '0', '000'),
    fc.boolean(),
    extension,
  )
  .map(([text, zeros, upper, extension]) => {
    const size = text.length.toString(16);
    return `${zeros}${upper ? size.toUpperCase() : size}${extension}\r\n${text}\r\n`;
  });
const trailers = fc.array(line(oneOf('X-Sum', 'ETag', 'Server-Timing'), valueText), {
  maxLength: 2,
});

interface Body {
  readonly field: string;
  readonly text: string;
}

const NO_BODY: Body = { field: '', text: '' };
const noBody = fc.constant(NO_BODY);
const lengthBody = fc
  .tuple(
    oneOf('Content-Length', 'content-length', 'CONTENT-LENGTH'),
    payload,
    oneOf('', '', '0', '00'),
  )
  .map(([name, text, zeros]): Body => ({ field: `${name}: ${zeros}${text.length}\r\n`, text }));
const chunkedBody = fc
  .tuple(
    oneOf('Transfer-Encoding: chunked', 'transfer-encoding:Chunked', 'Transfer-Encoding: chunked '),
    fc.array(chunk, { maxLength: 3 }),
    oneOf('0', '0', '000'),
    extension,
    trailers,
  )
  .map(([field, chunks, zero, extension, trailers]): Body => ({
    field: `${field}\r\n`,
    text: `${chunks.join('')}${zero}${extension}\r\n${trailers.join('')}\r\n`,
  }));

const target = fc.oneof(
  oneOf(
    '/',
    '/a',
    '/a/b?c=d&e',
    '/%2e%2E/a;b=c',
    '/a//b',
    '/\\',
    '/{a}|^`"<>',
    '/?',
    `/${'p'.repeat(300)}`,
  ),
  fc.stringMatching(/^\/[!-"$-~]{0,30}$/),
);

const method = fc.oneof(
  {
    weight: 6,
    arbitrary: oneOf('GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH', 'TRACE'),
  },
  { weight: 1, arbitrary: fc.constantFrom(...METHODS.filter((name) => name !== 'CONNECT')) },
);

const version = oneOf('1.1', '1.1', '1.1', '1.1', '1.1', '1.0');

function withFields(first: string, fields: readonly string[], body: Body, where: number): string {
  const lines = [...fields];
  lines.splice(where % (lines.length + 1), 0, body.field);
  return `${first}\r\n${lines.join('')}\r\n${body.text}`;
}

const aRequest = fc
  .record({
    method,
    target,
    scheme: oneOf('', '', '', '', 'http://', 'https://'),
    version,
    host: oneOf('a.example', 'a.example:8443', '[::1]:80', '127.0.0.1', 'a-b_c.example.'),
    hostName: oneOf('Host', 'host', 'HOST'),
    fields: fc.array(otherField, { maxLength: 4 }),
    body: fc.oneof(
      { weight: 3, arbitrary: noBody },
      { weight: 3, arbitrary: lengthBody },
      chunkedBody,
    ),
    where: fc.nat(7),
  })
  .map(({ method, target, scheme, version, host, hostName, fields, body, where }) => {
    const framing = version === '1.0' && /^t/i.test(body.field) ? NO_BODY : body;
    const first = `${method} ${scheme === '' ? '' : scheme + host}${target} HTTP/${version}`;
    return withFields(first, [`${hostName}: ${host}\r\n`, ...fields], framing, where);
  });

/** One to three valid requests, one after the other. */
const requests = fc
  .tuple(fc.boolean(), fc.array(aRequest, { minLength: 1, maxLength: 3 }))
  .map(([blank, list]) => `${blank ? '\r\n' : ''}${list.join('')}`);

const reason = oneOf(' OK', ' OK', ' ', '', ' Not  Found', ' \xe9t\xe9\t');
const aResponse = fc
  .record({
    early: fc.array(
      oneOf('HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'),
      { maxLength: 2 },
    ),
    status: oneOf(
      '200',
      '200',
      '200',
      '204',
      '304',
      '404',
      '500',
      '599',
      '205',
      '101',
      '302',
      '401',
    ),
    reason,
    version,
    fields: fc.array(otherField, { maxLength: 4 }),
    body: fc.oneof(
      lengthBody,
      chunkedBody,
      payload.map((text): Body => ({ field: '', text })),
    ),
    where: fc.nat(7),
    surplus: oneOf('', '', '', 'x', 'HTTP/1.1 200 OK\r\n\r\n'),
  })
  .map(({ early, status, reason, version, fields, body, where, surplus }) => {
    const coded = /^t/i.test(body.field);
    const framing =
      coded && (version === '1.0' || /^(?:101|204|304)$/.test(status)) ? NO_BODY : body;
    const head = withFields(`HTTP/${version} ${status}${reason}`, fields, framing, where);
    return `${early.join('')}${head}${surplus}`;
  });

/** Reads of any size. */
const cuts: fc.Arbitrary<Input['cuts']> = fc.oneof(
  fc.constant([]),
  fc.array(fc.nat(900), { maxLength: 4 }).map((list) => list.toSorted((a, b) => a - b)),
  fc.constant('every' as const),
);

/** Valid messages of one side of a connection. */
export const validInput: fc.Arbitrary<Input> = fc.oneof(
  fc.record({ side: fc.constant('request' as const), text: requests, cuts }),
  fc.record({
    side: fc.constant('response' as const),
    method: oneOf('GET', 'GET', 'GET', 'POST', 'HEAD'),
    text: aResponse,
    cuts,
  }),
);

const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom(...MUTATIONS),
  at: fc.nat(0xffff),
  other: fc.nat(0xffff),
  text: fc.constantFrom(...NASTY, ...NASTY_LINES),
});

/** One to four changes of a valid message. */
export const brokenInput: fc.Arbitrary<Input> = fc
  .tuple(validInput, fc.array(mutation, { minLength: 1, maxLength: 4 }))
  .map(([input, mutations]) => ({ ...input, text: mutations.reduce(mutate, input.text) }));

/** The reads in which the bytes of this input come. */
export function pieces({ text, cuts }: Input): Buffer[] {
  const bytes = Buffer.from(text, 'latin1');
  const wanted = cuts === 'every' ? bytes.keys() : cuts;
  const ends = [...new Set(wanted)].filter((cut) => cut > 0 && cut < bytes.length);
  return [...ends, bytes.length].map((end, index) =>
    Buffer.from(bytes.subarray(ends[index - 1] ?? 0, end)),
  );
}
