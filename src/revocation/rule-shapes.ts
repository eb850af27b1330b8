import { crc32 } from 'node:zlib';
import { claimText, MAX_RULE_TEXT_BYTES, ruleKindOf } from './parse-rule.ts';
import { nameOfRule, type Rule } from './rule.ts';
import type { TokenClaims } from './token-identity.ts';

/** What rules of one shape have in common: the names of their claims, sorted, and whether they hold for one issuer only. */
export interface RuleShape {
  readonly names: readonly string[];
  readonly withIssuer: boolean;
}

/** Shapes in use at a time: a token costs a look-up for each. */
export const MAX_SHAPES = 64;
/** Of those, kept free for subject, session, client (for one issuer and for all) and issuer: no source can fill them with others. */
const COMMON_SHAPES = 7;
/** Bytes of all shapes in use, as JSON. */
const MAX_BYTES = 64 * 1024;
/** Of those, kept free for the common shapes. */
const COMMON_BYTES = 1024;
/** Names that one token can have for one shape. */
export const MAX_NAMES_PER_SHAPE = 1024;
/** Names that one token can have for all shapes in use. A token with more is denied while there are such rules. */
export const MAX_RULE_NAMES = 4096;
/** The claim name that stands for every name of a client id. */
const CLIENT = 'client';
/** Where client ids are: RFC 9068, OpenID Connect, WSO2. */
const CLIENT_CLAIMS = ['client_id', 'azp', 'consumerKey'];

/** Places in the words. */
const VERSION = 0;
const LENGTHS = 1;
const CHECKSUMS = 3;
const WORDS = 5;

/**
 * The shapes in use, in memory that every thread reads without asking. There are two areas of bytes: the one that the version's last bit names
 * holds the shapes as JSON, the other is where the next ones are written. So a reader never waits for a writer that stands still.
 */
export interface RuleShapesBuffers {
  readonly words: SharedArrayBuffer;
  readonly bytes: SharedArrayBuffer;
}

/** Shape of one rule. */
export function shapeOf({ issuer, claims }: Pick<Rule, 'issuer' | 'claims'>): RuleShape {
  return { names: claims.map(([name]) => name), withIssuer: issuer !== null };
}

/** The control thread's side: the only writer. */
export class RuleShapesWriter {
  readonly buffers: RuleShapesBuffers;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  /** By their JSON; `endsAtMs` is the latest end of a rule of the shape. */
  readonly #shapes = new Map<
    string,
    { readonly shape: RuleShape; readonly common: boolean; endsAtMs: number }
  >();

  constructor() {
    this.buffers = {
      words: new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT),
      bytes: new SharedArrayBuffer(2 * MAX_BYTES),
    };
    this.#words = new Int32Array(this.buffers.words);
    this.#bytes = new Uint8Array(this.buffers.bytes);
  }

  get size(): number {
    return this.#shapes.size;
  }

  /**
   * Makes room for a rule; call it before the rule is put into the table. Undefined when readers see its shape from now on, else a fixed phrase
   * that says why the rule cannot be kept.
   */
  add(rule: Pick<Rule, 'issuer' | 'claims' | 'endsAtMs'>): string | undefined {
    const { endsAtMs } = rule;
    const shape = shapeOf(rule);
    const key = JSON.stringify(shape);
    const known = this.#shapes.get(key);
    if (known !== undefined) {
      known.endsAtMs = Math.max(known.endsAtMs, endsAtMs);
      return undefined;
    }
    const kept = { shape, common: ruleKindOf(rule) !== 'claims', endsAtMs };
    const others = [...this.#shapes.values()].filter(({ common }) => !common);
    if (!kept.common && others.length >= MAX_SHAPES - COMMON_SHAPES)
      return 'too many different sets of claim names in rules';
    this.#shapes.set(key, kept);
    if (this.#publish(kept.common ? MAX_BYTES : MAX_BYTES - COMMON_BYTES)) return undefined;
    this.#shapes.delete(key);
    return 'too many different sets of claim names in rules';
  }

  /** Forgets the shape of rules of which the last was lifted. */
  drop(rule: Pick<Rule, 'issuer' | 'claims'>): void {
    if (this.#shapes.delete(JSON.stringify(shapeOf(rule)))) this.#publish(MAX_BYTES);
  }

  /** Forgets the shapes whose rules have all ended before `gone`, epoch milliseconds: they cost nobody a look-up any more. */
  expire(gone: number): void {
    const before = this.#shapes.size;
    for (const [key, { endsAtMs }] of this.#shapes) if (endsAtMs < gone) this.#shapes.delete(key);
    if (this.#shapes.size < before) this.#publish(MAX_BYTES);
  }

  /** False when they do not fit; nothing has changed then. */
  #publish(limit: number): boolean {
    const json = Buffer.from(
      JSON.stringify([...this.#shapes.values()].map(({ shape }) => shape)),
      'utf8',
    );
    if (json.length > limit) return false;
    const area = (Atomics.load(this.#words, VERSION) + 1) & 1;
    this.#bytes.set(json, area * MAX_BYTES);
    Atomics.store(this.#words, LENGTHS + area, json.length);
    Atomics.store(this.#words, CHECKSUMS + area, crc32(json) | 0);
    Atomics.add(this.#words, VERSION, 1);
    return true;
  }
}

/** A data-plane thread's side. */
export class RuleShapesReader {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  #version = 0;
  #shapes: readonly RuleShape[] = [];

  constructor(buffers: RuleShapesBuffers) {
    this.#words = new Int32Array(buffers.words);
    this.#bytes = new Uint8Array(buffers.bytes);
  }

  /** Changes whenever the shapes do: what was made of them holds as long as this stays the same. One atomic read. */
  get version(): number {
    return Atomics.load(this.#words, VERSION);
  }

  /** The shapes in use now, with the version that they are of. */
  read(): { readonly version: number; readonly shapes: readonly RuleShape[] } {
    for (let version = this.version; version !== this.#version; version = this.version) {
      const area = version & 1;
      const from = area * MAX_BYTES;
      const length = Math.min(Math.max(Atomics.load(this.#words, LENGTHS + area), 0), MAX_BYTES);
      const json = Buffer.from(this.#bytes.slice(from, from + length));
      // What the writer has begun to write over in between is read again: it has published the next version before.
      if ((crc32(json) | 0) !== Atomics.load(this.#words, CHECKSUMS + area)) continue;
      this.#shapes = JSON.parse(json.toString('utf8')) as RuleShape[];
      this.#version = version;
    }
    return { version: this.#version, shapes: this.#shapes };
  }
}

/**
 * Every name that a rule of this shape has if it matches the token: an array claim is matched by each member. Undefined for a token with more
 * than {@link MAX_NAMES_PER_SHAPE} of them: whether a rule matches it cannot be asked, so it is to be denied while there are rules of the
 * shape. For one array that takes a token of more than a thousand members.
 * @param issuers under which the token counts: one, for opaque tokens up to two
 * @param consumerKeyClaims configured names of claims that hold a client id, beside those that always count
 */
export function shapeNames(
  shape: RuleShape,
  claims: TokenClaims,
  issuers: readonly string[],
  consumerKeyClaims: readonly string[] = [],
): readonly string[] | undefined {
  const dimensions = shape.names.map((name) => valuesOf(claims, name, consumerKeyClaims));
  const scopes = shape.withIssuer ? [...new Set(issuers)] : [null];
  let count = scopes.length;
  for (const { length } of dimensions) count *= length;
  if (count > MAX_NAMES_PER_SHAPE) return undefined;
  let matches: Rule['claims'][] = count === 0 ? [] : [[]];
  if (count > 0)
    for (const [at, name] of shape.names.entries())
      matches = matches.flatMap((left) =>
        (dimensions[at] ?? []).map((value) => [...left, [name, value] as const]),
      );
  return scopes.flatMap((issuer) => matches.map((claims) => nameOfRule({ issuer, claims })));
}

/** What a claim can be matched as, each once. Values that no rule can have are left out. */
function valuesOf(
  claims: TokenClaims,
  name: string,
  consumerKeyClaims: readonly string[],
): readonly string[] {
  const sources = name === CLIENT ? [...CLIENT_CLAIMS, ...consumerKeyClaims] : [name];
  const values = new Set<string>();
  for (const source of sources) {
    const claim: unknown = Object.hasOwn(claims, source) ? claims[source] : undefined;
    for (const member of Array.isArray(claim) ? (claim as unknown[]) : [claim]) {
      const text = claimText(member);
      if (text === undefined || text === '' || text.length > MAX_RULE_TEXT_BYTES) continue;
      values.add(text);
    }
  }
  return [...values];
}
