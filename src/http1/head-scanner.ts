import { CR, FIELD_TEXT, HTAB, LF, SP } from './characters.ts';
import { checkFirstByte, checkFirstLine, type HeadKind, maxFirstLine } from './first-line.ts';
import type { HeadLimits } from './limits.ts';
import { GrammarError, TOO_MANY_BYTES } from './refusal.ts';

export type { HeadKind } from './first-line.ts';

const HEAD_END = Buffer.from('\r\n\r\n', 'latin1');

/** Where in a head the next byte stands. */
const AT = {
  start: 0,
  emptyLineLf: 1,
  afterEmptyLine: 2,
  firstLine: 3,
  firstLineLf: 4,
  lineStart: 5,
  line: 6,
  lineLf: 7,
  endLf: 8,
} as const;

/**
 * Finds the end of a head that comes in whatever pieces. Every byte is given once, in order: each call gets the next read, not what came
 * before. The caller keeps the pieces until the end is found, and gives the whole to the parser.
 *
 * Mostly a head is whole in one read; then the end is all that is looked for, as the parser sees every byte itself. Otherwise each byte
 * is looked at, so that a sender of nonsense is not waited for; the parser would refuse the same for the same reason.
 */
export class HeadScanner {
  readonly #kind: HeadKind;
  readonly #limits: HeadLimits;
  #at: number;
  /** The first line as far as it is here. */
  #line = '';
  /** Bytes behind the first line. */
  #size = 0;

  constructor(kind: HeadKind, limits: HeadLimits) {
    this.#kind = kind;
    this.#limits = limits;
    this.#at = kind === 'fields' ? AT.lineStart : AT.start;
  }

  /** Begins with the next head. `find` does it itself after it found an end. */
  reset(): void {
    this.#at = this.#kind === 'fields' ? AT.lineStart : AT.start;
    this.#line = '';
    this.#size = 0;
  }

  /**
   * @param from index in `bytes` of the first byte not given yet
   * @returns index in `bytes` after the blank line; or -1, then all of `bytes` belongs to the head and more is needed
   * @throws GrammarError on a bare CR or LF, a control character, over a bound, or a bad first line as soon as its end is here
   */
  find(bytes: Buffer, from: number): number {
    if (this.#at === AT.start && bytes[from] !== CR) {
      const blank = bytes.indexOf(HEAD_END, from);
      const end = blank + HEAD_END.length;
      // Within the bound even if all of it were fields.
      if (blank !== -1 && end - from <= this.#limits.maxFieldBytes * 2) return end;
    }
    const end = this.#step(bytes, from);
    if (end !== -1) this.reset();
    return end;
  }

  #step(bytes: Buffer, from: number): number {
    const maxSize = this.#limits.maxFieldBytes * 2;
    let at = this.#at;
    let size = this.#size;
    let index = from;
    while (index < bytes.length) {
      const byte = bytes[index] ?? 0;
      if (at === AT.firstLine) {
        index = this.#firstLine(bytes, index);
        if (index < bytes.length) at = AT.firstLineLf;
        index++;
        continue;
      }
      if (at >= AT.lineStart && ++size > maxSize) {
        throw new GrammarError('fieldsTooLarge', TOO_MANY_BYTES);
      }
      switch (at) {
        case AT.start:
        case AT.afterEmptyLine:
          if (at === AT.start && byte === CR && this.#kind === 'request') {
            at = AT.emptyLineLf;
            break;
          }
          checkFirstByte(this.#kind, byte);
          at = AT.firstLine;
          continue; // the byte belongs to the line
        case AT.emptyLineLf:
          if (byte !== LF) throw new GrammarError('malformed', 'bare CR');
          at = AT.afterEmptyLine;
          break;
        case AT.firstLineLf:
          if (byte !== LF) throw new GrammarError('malformed', 'bare CR in the first line');
          checkFirstLine(this.#kind, this.#line, 0, this.#line.length, this.#limits);
          this.#line = '';
          at = AT.lineStart;
          break;
        case AT.lineStart:
          if (byte === SP || byte === HTAB)
            throw new GrammarError('malformed', 'folded field line');
          at = byte === CR ? AT.endLf : inLine(byte);
          break;
        case AT.line:
          if (byte === CR) at = AT.lineLf;
          else inLine(byte);
          break;
        case AT.lineLf:
          if (byte !== LF) throw new GrammarError('malformed', 'bare CR');
          at = AT.lineStart;
          break;
        default:
          if (byte !== LF) throw new GrammarError('malformed', 'bare CR');
          return index + 1;
      }
      index++;
    }
    this.#at = at;
    this.#size = size;
    return -1;
  }

  /** Takes bytes of the first line, and returns the index of the CR that ends it, or of the end of `bytes`. */
  #firstLine(bytes: Buffer, from: number): number {
    const max = maxFirstLine(this.#kind, this.#limits);
    const end = Math.min(bytes.length, from + max + 1 - this.#line.length);
    let index = from;
    while (index < end && bytes[index] !== CR && bytes[index] !== LF) index++;
    this.#line += bytes.toString('latin1', from, index);
    if (this.#line.length > max) {
      checkFirstLine(this.#kind, this.#line, 0, this.#line.length, this.#limits);
    }
    if (bytes[index] === LF) throw new GrammarError('malformed', 'bare LF in the first line');
    return index;
  }
}

function inLine(byte: number): number {
  if (FIELD_TEXT[byte] !== 1) {
    throw new GrammarError('malformed', byte === LF ? 'bare LF' : 'control character in a field');
  }
  return AT.line;
}
