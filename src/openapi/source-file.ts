import { LineCounter, isAlias, isMap, isNode, isScalar, isSeq, parseDocument } from 'yaml';
import type { Document, Node, Pair } from 'yaml';
import type { JsonPath } from './json.ts';
import type { Place, Problems } from './problems.ts';

/** Bytes of one definition file. */
export const MAX_DEFINITION_BYTES = 10 * 1024 * 1024;
const MAX_ERRORS_PER_FILE = 10;

/** The deepest node that a path leads to, and what is left of the path there. */
interface Found {
  readonly place: Place;
  readonly value: unknown;
  readonly rest: JsonPath;
}

/** One parsed JSON or YAML text whose every node still knows its line. */
export class SourceFile {
  /** Name for messages. */
  readonly name: string;
  /** Plain data; every caller gets its own copy. */
  readonly value: unknown;
  readonly #document: Document;
  readonly #lines: LineCounter;

  private constructor(name: string, value: unknown, document: Document, lines: LineCounter) {
    this.name = name;
    this.value = value;
    this.#document = document;
    this.#lines = lines;
  }

  /** Parses `text`; on anything wrong the problems are noted and undefined comes back. */
  static parse(name: string, text: string, problems: Problems): SourceFile | undefined {
    if (text.length > MAX_DEFINITION_BYTES) {
      problems.invalid({ file: name }, 'The file is larger than 10 MiB', 'Split the definition.');
      return undefined;
    }
    const before = problems.count;
    try {
      const lines = new LineCounter();
      // YAML 1.2 reads JSON too; `merge` because WSO2's YAML reader knows `<<`.
      const document = parseDocument(text, {
        lineCounter: lines,
        merge: true,
        prettyErrors: false,
        uniqueKeys: sameKey,
      });
      for (const error of document.errors.slice(0, MAX_ERRORS_PER_FILE)) {
        const place = { file: name, line: lines.linePos(error.pos[0]).line };
        problems.invalid(place, error.message, 'Mend the syntax.');
      }
      if (name.toLowerCase().endsWith('.json')) noteJsonError(name, text, problems);
      if (problems.count > before) return undefined;
      const value: unknown = document.toJS({ maxAliasCount: 100 });
      // A mapping that contains itself has no JSON form.
      JSON.stringify(value);
      return new SourceFile(name, value, document, lines);
    } catch (error) {
      const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : '';
      const message = `The file is nested too deeply or its anchors cannot be resolved: ${reason}`;
      problems.invalid({ file: name }, message, 'Flatten it.');
      return undefined;
    }
  }

  /** Follows `path` as far as it goes without following any `$ref`. */
  find(path: JsonPath): Found {
    let node: unknown = this.#document.contents;
    let offset = 0;
    for (const [index, step] of path.entries()) {
      node = this.#resolved(node);
      const next = child(node, step);
      if (next === undefined) {
        return {
          place: this.#place(offset),
          value: plain(node, this.#document),
          rest: path.slice(index),
        };
      }
      offset = next.offset;
      node = next.node;
    }
    return {
      place: this.#place(offset),
      value: plain(this.#resolved(node), this.#document),
      rest: [],
    };
  }

  #resolved(node: unknown): unknown {
    return isAlias(node) ? node.resolve(this.#document) : node;
  }

  #place(offset: number): Place {
    return { file: this.name, line: Math.max(1, this.#lines.linePos(offset).line) };
  }
}

function child(
  node: unknown,
  step: string | number,
): { node: unknown; offset: number } | undefined {
  if (isMap(node)) {
    const pair = node.items.find((item) => keyText(item) === String(step));
    if (pair === undefined) return undefined;
    const key: unknown = pair.key;
    return { node: pair.value, offset: isNode(key) ? start(key) : 0 };
  }
  if (isSeq(node) && typeof step === 'number') {
    const item = node.items[step];
    return item === undefined ? undefined : { node: item, offset: isNode(item) ? start(item) : 0 };
  }
  return undefined;
}

function keyText(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : '';
}

function start(node: Node): number {
  return node.range?.[0] ?? 0;
}

function plain(node: unknown, document: Document): unknown {
  return isNode(node) ? node.toJS(document, { maxAliasCount: 100 }) : undefined;
}

/** Keys that become the same member in JSON (`200` and `"200"`) are the same key. */
function sameKey(a: unknown, b: unknown): boolean {
  return a === b || (isScalar(a) && isScalar(b) && String(a.value) === String(b.value));
}

/** A `.json` file must be JSON, not merely YAML. */
function noteJsonError(name: string, text: string, problems: Problems): void {
  try {
    JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'not JSON';
    const offset = /position (\d+)/.exec(reason)?.[1];
    const line = offset === undefined ? 1 : text.slice(0, Number(offset)).split('\n').length;
    problems.invalid({ file: name, line }, `Not valid JSON: ${reason}`, 'Mend the syntax.');
  }
}
