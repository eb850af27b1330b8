import { BodyReader } from '../../src/http1/body-reader.ts';
import { HeadScanner } from '../../src/http1/head-scanner.ts';
import { checkFields } from '../../src/http1/head-writer.ts';
import type { HeadLimits } from '../../src/http1/limits.ts';
import { GrammarError } from '../../src/http1/refusal.ts';
import { parseRequestHead } from '../../src/http1/request-parser.ts';
import { parseResponseHead } from '../../src/http1/response-parser.ts';
import type { Read, Reading } from './reading.ts';

/** What a parser must never do, whatever it is given. */
class Violation extends Error {}

interface Head extends Omit<Read, 'body' | 'trailers' | 'whole'> {
  readonly length: number;
  /** Nothing is read behind this message. */
  readonly last: boolean;
  readonly keeps: boolean;
}

/** The messages that the codec finds in the reads of one connection; what a connection of the gateway would do with them, and no more. */
class OwnReading {
  readonly messages: Read[] = [];
  readonly #parse: (bytes: Buffer, start: number, end: number) => Head;
  readonly #scanner: HeadScanner;
  readonly #limits: HeadLimits;
  #kept: Buffer = Buffer.alloc(0);
  #head: Head | undefined;
  #reader: BodyReader | undefined;
  #body = '';
  #trailers: readonly string[] | undefined;
  #over = false;
  #surplus = false;

  constructor(side: 'request' | 'response', limits: HeadLimits, method: string) {
    this.#limits = limits;
    this.#scanner = new HeadScanner(side, limits);
    this.#parse =
      side === 'request'
        ? (bytes, start, end) => requestHead(bytes, start, end, limits)
        : (bytes, start, end) => responseHead(bytes, start, end, limits, method);
  }

  /** The last message is read, none but an interim one, and the connection goes on behind it. */
  get keeps(): boolean {
    const between = this.#reader === undefined && this.#kept.length === 0 && !this.#surplus;
    return between && (this.#head?.keeps ?? false);
  }

  receive(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && !this.#over) {
      at =
        this.#reader === undefined
          ? this.#readHead(bytes, at)
          : this.#readBody(this.#reader, bytes, at);
    }
    if (at < bytes.length) this.#surplus = true;
  }

  receivedEnd(): void {
    if (this.#over) return;
    if (this.#reader === undefined) {
      if (this.#kept.length > 0) throw new GrammarError('cutShort', 'head');
      return;
    }
    this.#reader.end();
    this.#finish();
  }

  /** What there is of a message that did not end. */
  rest(): void {
    if (this.#reader === undefined || this.#head === undefined) return;
    if (this.#reader.done) throw new Violation('a body that was refused says that it is whole');
    if (this.#trailers !== undefined)
      throw new Violation('trailers of a message that is not whole');
    this.#put(this.#head, false);
  }

  #readHead(bytes: Buffer, at: number): number {
    const end = this.#scanner.find(bytes, at);
    if (end === -1) {
      this.#kept = Buffer.concat([this.#kept, bytes.subarray(at)]);
      return bytes.length;
    }
    if (end <= at || end > bytes.length) throw new Violation(`the end of a head at ${end}`);
    if (this.#kept.length === 0) {
      this.#begin(this.#parse(bytes, at, end));
    } else {
      const whole = Buffer.concat([this.#kept, bytes.subarray(at, end)]);
      this.#kept = Buffer.alloc(0);
      this.#begin(this.#parse(whole, 0, whole.length));
      whole.fill(0xaa);
    }
    return end;
  }

  #begin(head: Head): void {
    checkHead(head);
    this.#head = head;
    this.#body = '';
    this.#trailers = undefined;
    this.#reader = new BodyReader(head.length, this.#limits, {
      onData: (chunk) => {
        if (chunk.length === 0) throw new Violation('a chunk of nothing');
        if (this.#trailers !== undefined) throw new Violation('body behind the trailers');
        this.#body += chunk.toString('latin1');
      },
      onTrailers: (fields) => {
        if (this.#trailers !== undefined) throw new Violation('trailers twice');
        this.#trailers = fields;
      },
    });
    if (this.#reader.done) this.#finish();
  }

  #readBody(reader: BodyReader, bytes: Buffer, at: number): number {
    const end = reader.read(bytes, at, bytes.length);
    if (end > bytes.length || end < at) throw new Violation(`the body was read up to ${end}`);
    if (end < bytes.length && !reader.done)
      throw new Violation('it left bytes of a body that goes on');
    if (end === at && !reader.done) throw new Violation('it does not go on');
    if (reader.done) this.#finish();
    return end;
  }

  #finish(): void {
    if (this.#head === undefined) return;
    this.#put(this.#head, true);
    this.#reader = undefined;
    this.#over = this.#head.last;
  }

  #put({ first, fields, upgrade, waits }: Head, whole: boolean): void {
    const trailers = this.#trailers ?? [];
    this.messages.push({ first, fields, body: this.#body, trailers, whole, upgrade, waits });
  }
}

function requestHead(bytes: Buffer, start: number, end: number, limits: HeadLimits): Head {
  const head = parseRequestHead(bytes, start, end, limits);
  return {
    first: `${head.method} ${head.target} 1.${head.minor}`,
    fields: head.fields,
    length: head.length,
    upgrade: head.upgrade,
    waits: head.expects === 'continue',
    last: !head.persistent,
    keeps: head.persistent,
  };
}

function responseHead(
  bytes: Buffer,
  start: number,
  end: number,
  limits: HeadLimits,
  method: string,
): Head {
  const head = parseResponseHead(bytes, start, end, limits, method);
  const interim = head.status < 200 && head.status !== 101;
  return {
    first: `${head.status} 1.${head.minor}`,
    fields: head.fields,
    length: head.length,
    upgrade: false, // whether it may be one is checked where it was asked for
    waits: false,
    // An interim answer that ends its connection has no other behind it.
    last: !interim || !head.persistent,
    keeps: head.persistent && !interim,
  };
}

/** Nothing that could be read in another way when it is written again. */
function checkHead({ first, fields }: Head): void {
  if (!/^[!-~]+ [!-~ ]+$/.test(first)) throw new Violation(`first line ${JSON.stringify(first)}`);
  if (fields.length % 2 !== 0) throw new Violation('a name without a value');
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] ?? '';
    const value = fields[at + 1] ?? '';
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name))
      throw new Violation(`name ${JSON.stringify(name)}`);
    // eslint-disable-next-line no-control-regex -- controls are what is looked for
    if (!/^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?$/.test(value))
      throw new Violation(`value ${JSON.stringify(value)}`);
  }
  checkFields(fields.filter((_text, at) => !ENGINE_FIELDS.has(fields[at & ~1] ?? '')));
}

/** What the gateway never passes on, and the writer therefore refuses. */
const ENGINE_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
]);

/**
 * What the codec makes of these reads and then FIN. Each buffer is overwritten once it was read, as a socket's is.
 *
 * @throws anything that is no refusal: it is a fault of the codec
 */
export function readOwn(
  side: 'request' | 'response',
  reads: readonly Buffer[],
  limits: HeadLimits,
  method = 'GET',
): Reading {
  const reading = new OwnReading(side, limits, method);
  let refused: string | undefined;
  let at: string | undefined;
  try {
    for (const read of reads) {
      reading.receive(read);
      read.fill(0xaa);
    }
    reading.receivedEnd();
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error;
    ({ refusal: refused, at } = error);
  }
  reading.rest();
  return {
    messages: reading.messages,
    refused,
    keeps: refused === undefined && reading.keeps,
    ...(at === undefined ? {} : { at }),
  };
}
