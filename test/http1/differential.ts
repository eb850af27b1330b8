import type { HeadLimits } from '../../src/http1/limits.ts';
import { pieces, type Input } from './messages.ts';
import { readResponses, type NodeRequests } from './node-parser.ts';
import { readOwn } from './own-parser.ts';
import type { Read, Reading } from './reading.ts';
import { rewritten } from './rewriting.ts';

/** The gateway's own defaults. */
const LIMITS: HeadLimits = { maxTarget: 4096, maxFieldBytes: 8192, maxFields: 100 };

/** So small that valid messages are over them. */
const SMALL: HeadLimits = { maxTarget: 24, maxFieldBytes: 160, maxFields: 5 };

/** What is wrong with what was read of an input. */
export interface Finding {
  readonly input: Input;
  readonly what: string;
}

/** What the codec alone makes of an input. */
export interface OwnResult {
  readonly reading: Reading;
  /** Undefined when nothing is wrong so far. */
  readonly wrong: string | undefined;
}

/** All of it in one read. */
function oneRead({ text }: Input): Buffer[] {
  return [Buffer.from(text, 'latin1')];
}

/** Reads an input whole, in its pieces and under small bounds: the same must come of it, and under the bounds nothing else. */
export function readAlone(input: Input): OwnResult {
  const read = (reads: readonly Buffer[], limits: HeadLimits): Reading =>
    readOwn(input.side, reads, limits, input.method);
  let reading: Reading = { messages: [], refused: undefined };
  try {
    reading = read(oneRead(input), LIMITS);
    const bounded = read(oneRead(input), SMALL);
    const wrong =
      otherInPieces(reading, read(pieces(input), LIMITS)) ??
      otherInPieces(bounded, read(pieces(input), SMALL)) ??
      beyond(bounded, reading, 'without bounds');
    return { reading, wrong };
  } catch (error) {
    return {
      reading,
      wrong: `it throws ${error instanceof Error ? (error.stack ?? error.message) : 'something'}`,
    };
  }
}

function otherInPieces(whole: Reading, split: Reading): string | undefined {
  if (said(split) === said(whole) && split.keeps === whole.keeps) return undefined;
  return `other in pieces: ${said(whole)} whole, ${said(split)} in pieces`;
}

function said({ messages, refused }: Reading): string {
  return JSON.stringify({ messages, refused });
}

/** Where a reading has what the wider one has not; undefined when it is a beginning of it. */
function beyond(narrow: Reading, wide: Reading, name: string): string | undefined {
  for (const [index, one] of narrow.messages.entries()) {
    const other = wide.messages[index];
    if (other === undefined)
      return `message ${index + 1}, ${one.first}, is none ${name}${wide.refused === undefined ? '' : ` (${wide.refused})`}`;
    const what = differs(one, other);
    if (what !== undefined)
      return `${what} of message ${index + 1}: ${said(narrow)}; ${name} ${said(wide)}`;
  }
  return undefined;
}

function differs(one: Read, other: Read): string | undefined {
  if (one.first !== other.first) return 'first line';
  if (JSON.stringify(one.fields) !== JSON.stringify(other.fields)) return 'fields';
  if (one.upgrade && !other.upgrade) return 'upgrade';
  if (one.waits && !other.waits) return 'expectation';
  if (!one.whole) return other.body.startsWith(one.body) ? undefined : 'body so far';
  if (!other.whole) return 'end';
  if (one.body !== other.body) return 'body';
  return JSON.stringify(one.trailers) === JSON.stringify(other.trailers) ? undefined : 'trailers';
}

async function readByNode(node: NodeRequests, inputs: readonly Input[]): Promise<Reading[]> {
  const readings: Reading[] = [];
  const indices = (side: Input['side']): number[] =>
    inputs.flatMap((input, index) => (input.side === side ? [index] : []));
  const of = (index: number): { bytes: Buffer; method: string } => {
    const { text, method = 'GET' } = inputs[index] as Input;
    return { bytes: Buffer.from(text, 'latin1'), method };
  };
  const [requests, responses] = [indices('request'), indices('response')];
  const [requestReadings, responseReadings] = await Promise.all([
    node.read(requests.map((index) => of(index).bytes)),
    readResponses(responses.map(of)),
  ]);
  for (const [at, index] of requests.entries()) readings[index] = requestReadings[at] as Reading;
  for (const [at, index] of responses.entries()) readings[index] = responseReadings[at] as Reading;
  return readings;
}

/** What the codec accepts that node's parser does not, or reads as something else: words for each input, undefined where all is well. */
export async function compare(
  node: NodeRequests,
  inputs: readonly Input[],
  own: readonly OwnResult[],
): Promise<{ readonly wrong: (string | undefined)[]; readonly node: Reading[] }> {
  const theirs = await readByNode(node, inputs);
  const wrong = own.map(({ reading, wrong }, index) => {
    const their = theirs[index] as Reading;
    return wrong ?? beyond(reading, their, 'in node') ?? keptTooLong(inputs[index], reading, their);
  });
  const again = own.flatMap(({ reading }, index) => {
    const made =
      wrong[index] === undefined ? rewritten(inputs[index] as Input, reading) : undefined;
    return made === undefined ? [] : [{ ...made, index }];
  });
  const readAgain = await readByNode(
    node,
    again.map(({ input }) => input),
  );
  for (const [at, { index, input, expected }] of again.entries()) {
    const what = otherAgain(expected, readAgain[at] as Reading);
    if (what !== undefined) wrong[index] = `${what}; written as ${JSON.stringify(input.text)}`;
  }
  return { wrong, node: theirs };
}

/** What the codec has written must be those messages to node, and no others. */
function otherAgain(expected: readonly Read[], their: Reading): string | undefined {
  if (their.messages.length > expected.length)
    return `more messages when written again: ${said(their)}`;
  return beyond({ messages: expected, refused: undefined }, their, 'in node, when written again,');
}

function keptTooLong(input: Input | undefined, own: Reading, their: Reading): string | undefined {
  if (input?.side !== 'response' || own.keeps !== true || their.keeps === true) return undefined;
  const fields = own.messages.at(-1)?.fields ?? [];
  // Node decides before it considers that an answer to HEAD ends with its head, whatever its fields say.
  const unframed = !fields.includes('content-length') && !fields.includes('transfer-encoding');
  if (input.method === 'HEAD' && unframed) return undefined;
  return 'the connection is kept, not so in node';
}

/** Reads all of them and compares. */
export async function examine(node: NodeRequests, inputs: readonly Input[]): Promise<Finding[]> {
  const { wrong } = await compare(node, inputs, inputs.map(readAlone));
  return inputs.flatMap((input, index) => {
    const what = wrong[index];
    return what === undefined ? [] : [{ input, what }];
  });
}
