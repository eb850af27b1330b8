import { chunkStart, LAST_CHUNK, requestHead, responseHead } from '../../src/http1/head-writer.ts';
import { CHUNKED } from '../../src/http1/message-head.ts';
import type { Input } from './messages.ts';
import type { Read, Reading } from './reading.ts';

/** What the writer makes of messages that were read, and what has to be read of it again. */
export interface Rewritten {
  readonly input: Input;
  readonly expected: readonly Read[];
}

/** Fields that belong to one connection, or that the writer makes itself. */
const NOT_PASSED_ON: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'host',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
]);

/** The whole messages of a reading as the codec writes them on another connection; undefined when there is none. */
export function rewritten({ side, method }: Input, { messages }: Reading): Rewritten | undefined {
  const whole = messages.filter((message) => message.whole);
  if (side === 'request') {
    if (whole.length === 0) return undefined;
    const all = whole.map(requestAgain);
    return {
      input: { side, text: all.map(({ text }) => text).join(''), cuts: [] },
      expected: all.map(({ read }) => read),
    };
  }
  const answer = whole.find(({ first }) => Number(first.slice(0, 3)) >= 200);
  if (answer === undefined) return undefined;
  const { text, read } = responseAgain(answer, method ?? 'GET');
  const input: Input = { side, text, cuts: [] };
  return { input: method === undefined ? input : { ...input, method }, expected: [read] };
}

interface Again {
  readonly text: string;
  readonly read: Read;
}

function requestAgain(message: Read): Again {
  const [method = '', target = ''] = message.first.split(' ');
  const host = valueOf(message.fields, 'host') ?? 'a.example';
  const passed = passedOn(message.fields);
  const length = lengthOf(message);
  const head = requestHead(method, target, `Host: ${host}\r\n`, passed, length, '');
  const fields = ['host', host, ...passed, ...framingField(length)];
  return {
    text: head + bodyText(message.body, length),
    read: again(message, `${method} ${target} 1.1`, fields),
  };
}

function responseAgain(message: Read, method: string): Again {
  const status = Number(message.first.slice(0, 3));
  const passed = passedOn(message.fields);
  const length = lengthOf(message);
  const head = responseHead(status, 1, passed, length, length === undefined, '');
  const bodyless = method === 'HEAD' || status === 304;
  const fields = [
    ...passed,
    ...(status === 204 ? [] : framingField(length)),
    ...(status === 426 ? ['connection', 'Upgrade'] : []),
    ...(length === undefined ? ['connection', 'close'] : []),
  ];
  return {
    text: bodyless ? head : head + bodyText(message.body, length),
    read: again(message, `${status} 1.1`, fields),
  };
}

function again(message: Read, first: string, fields: readonly string[]): Read {
  return { ...message, first, fields, trailers: [], upgrade: false, waits: false };
}

function valueOf(fields: readonly string[], name: string): string | undefined {
  const at = fields.findIndex((text, index) => index % 2 === 0 && text === name);
  return at === -1 ? undefined : fields[at + 1];
}

function passedOn(fields: readonly string[]): string[] {
  return fields.filter((_text, index) => !NOT_PASSED_ON.has(fields[index & ~1] ?? ''));
}

/** What the writer is told of the body. */
function lengthOf({ fields }: Read): number | undefined {
  if (valueOf(fields, 'transfer-encoding') !== undefined) return CHUNKED;
  const length = valueOf(fields, 'content-length');
  return length === undefined ? undefined : Number(length);
}

function framingField(length: number | undefined): string[] {
  if (length === undefined) return [];
  return length === CHUNKED ? ['transfer-encoding', 'chunked'] : ['content-length', String(length)];
}

function bodyText(body: string, length: number | undefined): string {
  if (length !== CHUNKED) return body;
  return `${body === '' ? '' : `${chunkStart(body.length)}${body}\r\n`}${LAST_CHUNK}`;
}
