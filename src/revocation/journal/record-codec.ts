import { FRAME_BYTES, FRAME_HEADER_BYTES, RECORD_BYTES, RECORD_WORDS } from './format.ts';
import type { LiftRecord, RuleRecord } from './record.ts';

/** First byte of each record in a frame. */
const TOKEN = 1;
const SOURCE = 2;
const RULE = 3;
const LIFT = 4;
const KNOWN_AS_OF = 5;

/** Longest name of a source, in bytes of UTF-8; longer ones are cut. */
const SOURCE_BYTES = 255;
/** Longest rule or lift with its story, in bytes of JSON. */
const STORY_BYTES = 131_072;
const MAX_SECONDS = 0xff_ff_ff_ff;

/** Fills one token's record: six words, from `to` on. `source` is the number that the frame or snapshot gives to its name. */
export function packToken(
  words: Uint32Array,
  to: number,
  fingerprints: Uint32Array,
  at: number,
  endSeconds: number,
  learntAtMs: number,
  source: number,
): void {
  words[to] = fingerprints[at] ?? 0;
  words[to + 1] = fingerprints[at + 1] ?? 0;
  words[to + 2] = fingerprints[at + 2] ?? 0;
  words[to + 3] = Math.min(Math.max(Math.ceil(endSeconds), 0), MAX_SECONDS);
  const learnt = Number.isFinite(learntAtMs) && learntAtMs > 0 ? Math.floor(learntAtMs) : 0;
  words[to + 4] = Math.min(Math.floor(learnt / 1000), MAX_SECONDS);
  words[to + 5] = (source << 16) | (learnt % 1000);
}

/** When the token of a record was learnt, epoch milliseconds. */
export function learntAtMs(words: Uint32Array, at: number): number {
  return (words[at + 4] ?? 0) * 1000 + ((words[at + 5] ?? 0) & 0xff_ff);
}

/** Number of the source of a record. */
export function sourceOf(words: Uint32Array, at: number): number {
  return (words[at + 5] ?? 0) >>> 16;
}

/** Bytes of a frame as it is filled with tokens: few enough to be read in a millisecond or two. */
export const USUAL_FRAME_BYTES = 65_536;

/**
 * Records on their way to a file, in one buffer. A frame can be read by itself: it begins without any name of a
 * source and brings those that its tokens use.
 */
export class Frame {
  readonly #bytes: Buffer;
  readonly #words = new Uint32Array(RECORD_WORDS);
  readonly #scratch = Buffer.from(this.#words.buffer);
  readonly #sources = new Map<string, number>();
  #length = FRAME_HEADER_BYTES;

  /** @param capacity bytes, {@link FRAME_BYTES} at most: that has room for the longest story */
  constructor(capacity = USUAL_FRAME_BYTES) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.min(capacity, FRAME_BYTES));
  }

  get capacity(): number {
    return this.#bytes.length;
  }

  get empty(): boolean {
    return this.#length === FRAME_HEADER_BYTES;
  }

  /** Header and records so far; the header is filled in by `sealFrame`. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  get records(): Buffer {
    return this.#bytes.subarray(FRAME_HEADER_BYTES, this.#length);
  }

  reset(): void {
    this.#length = FRAME_HEADER_BYTES;
    this.#sources.clear();
  }

  /** Adds a token; false when the frame is full. */
  token(
    fingerprints: Uint32Array,
    at: number,
    endSeconds: number,
    source: string,
    learntAtMs: number,
  ): boolean {
    if (this.capacity - this.#length < RECORD_BYTES + 1 + SOURCE_BYTES + 4) return false;
    packToken(this.#words, 0, fingerprints, at, endSeconds, learntAtMs, this.#sourceNumber(source));
    this.#bytes[this.#length] = TOKEN;
    this.#bytes.set(this.#scratch, this.#length + 1);
    this.#length += RECORD_BYTES + 1;
    return true;
  }

  /** Adds a rule or a lift; false when it does not fit any more. */
  story(json: Buffer, kind: 'rule' | 'lift'): boolean {
    if (this.capacity - this.#length < json.length + 5) return false;
    this.#bytes[this.#length] = kind === 'rule' ? RULE : LIFT;
    this.#bytes.writeUInt32LE(json.length, this.#length + 1);
    this.#bytes.set(json, this.#length + 5);
    this.#length += json.length + 5;
    return true;
  }

  /** Adds up to when everything is in the records before, epoch milliseconds; false when the frame is full. */
  knownAsOf(ms: number): boolean {
    if (this.capacity - this.#length < 9) return false;
    this.#bytes[this.#length] = KNOWN_AS_OF;
    this.#bytes.writeDoubleLE(ms, this.#length + 1);
    this.#length += 9;
    return true;
  }

  /** Adds the name of a source under a number; false when the frame is full. */
  source(number: number, name: string): boolean {
    const text = Buffer.from(name).subarray(0, SOURCE_BYTES);
    if (this.capacity - this.#length < text.length + 4) return false;
    this.#bytes[this.#length] = SOURCE;
    this.#bytes.writeUInt16LE(number, this.#length + 1);
    this.#bytes[this.#length + 3] = text.length;
    this.#bytes.set(text, this.#length + 4);
    this.#length += text.length + 4;
    return true;
  }

  #sourceNumber(name: string): number {
    if (name === '') return 0;
    const known = this.#sources.get(name);
    if (known !== undefined) return known;
    const number = this.#sources.size + 1;
    this.source(number, name);
    this.#sources.set(name, number);
    return number;
  }
}

/** What {@link readRecords} found, in order. `words` is only good during the call. */
export interface RecordVisitor {
  token(words: Uint32Array, endSeconds: number, source: string, learntAtMs: number): void;
  rule?(record: RuleRecord): void;
  lift?(record: LiftRecord): void;
  knownAsOf?(ms: number): void;
  /** The name of a source, under the number that tokens of this frame or snapshot give. */
  source?(number: number, name: string): void;
}

/** Hands out the records of one frame. @returns false when what is in it cannot be read to the end */
export function readRecords(records: Buffer, visitor: RecordVisitor): boolean {
  const words = new Uint32Array(RECORD_WORDS);
  const scratch = Buffer.from(words.buffer);
  const sources = new Map<number, string>();
  let at = 0;
  while (at < records.length) {
    const kind = records[at];
    const left = records.length - at - 1;
    at++;
    if (kind === TOKEN && left >= RECORD_BYTES) {
      records.copy(scratch, 0, at, at + RECORD_BYTES);
      visitor.token(
        words,
        words[3] ?? 0,
        sources.get(sourceOf(words, 0)) ?? '',
        learntAtMs(words, 0),
      );
      at += RECORD_BYTES;
    } else if (kind === SOURCE && left >= 3) {
      const length = records[at + 2] ?? 0;
      if (left < 3 + length) return false;
      const number = records.readUInt16LE(at);
      const name = records.toString('utf8', at + 3, at + 3 + length);
      sources.set(number, name);
      visitor.source?.(number, name);
      at += 3 + length;
    } else if ((kind === RULE || kind === LIFT) && left >= 4) {
      const length = records.readUInt32LE(at);
      if (left < 4 + length) return false;
      const text = records.toString('utf8', at + 4, at + 4 + length);
      if (!readStory(text, kind, visitor)) return false;
      at += 4 + length;
    } else if (kind === KNOWN_AS_OF && left >= 8) {
      visitor.knownAsOf?.(records.readDoubleLE(at));
      at += 8;
    } else return false;
  }
  return true;
}

/** JSON of a rule or lift with its story. @throws RangeError when it is longer than {@link STORY_BYTES} */
export function storyJson(record: RuleRecord | LiftRecord): Buffer {
  const json = Buffer.from(JSON.stringify(record));
  if (json.length > STORY_BYTES)
    throw new RangeError(`a rule with its story has at most ${STORY_BYTES} bytes`);
  return json;
}

function readStory(json: string, kind: number, visitor: RecordVisitor): boolean {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return false;
  }
  if (!isObject(value) || typeof value['source'] !== 'string') return false;
  if (kind === RULE) {
    if (value['kind'] !== 'rule' || !isScope(value['rule']) || !isHeard(value['rule']['heard']))
      return false;
    visitor.rule?.(value as unknown as RuleRecord);
  } else {
    if (value['kind'] !== 'lift' || !isScope(value['lift']) || !isTimes(value['lift']['said']))
      return false;
    visitor.lift?.(value as unknown as LiftRecord);
  }
  return true;
}

/** Whether a value has the fields that rules and lifts have in common. */
function isScope(value: unknown): value is Record<string, unknown> {
  return (
    isObject(value) &&
    (value['issuer'] === null || typeof value['issuer'] === 'string') &&
    Array.isArray(value['claims']) &&
    value['claims'].every(
      (claim) =>
        Array.isArray(claim) &&
        claim.length === 2 &&
        claim.every((part) => typeof part === 'string'),
    ) &&
    Number.isFinite(value['issuedBeforeMs']) &&
    Number.isFinite(value['endsAtMs'])
  );
}

/** Whether it is what a rule may have in `heard`, or nothing. */
function isHeard(value: unknown): boolean {
  if (value === undefined) return true;
  return Array.isArray(value) && value.length > 0 && value.every(isHeardCutoff);
}

function isHeardCutoff(value: unknown): boolean {
  return (
    isObject(value) &&
    Number.isFinite(value['takenMs']) &&
    ['saidMs', 'endsAtMs'].every(
      (name) => value[name] === undefined || Number.isFinite(value[name]),
    )
  );
}

function isTimes(value: unknown): boolean {
  return (
    value === undefined ||
    (Array.isArray(value) && value.every((time: unknown) => Number.isFinite(time)))
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
