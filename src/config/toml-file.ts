import { type AST, ParseError, parseTOML } from 'toml-eslint-parser';
import type { Complaints } from './config-error.ts';
import type { Entry, Raw, TomlValue } from './entry.ts';

/** Deepest nesting of inline values. */
const MAX_DEPTH = 16;

function keysOf(key: AST.TOMLKey): string[] {
  return key.keys.map((part) => (part.type === 'TOMLBare' ? part.name : part.value));
}

/** A value in plain JavaScript. `__proto__` becomes a key like any other. */
export function valueOf(node: AST.TOMLContentNode, depth = 0): TomlValue {
  if (depth > MAX_DEPTH) throw new RangeError('nested too deeply');
  if (node.type === 'TOMLArray') return node.elements.map((element) => valueOf(element, depth + 1));
  if (node.type === 'TOMLInlineTable') {
    const table: Record<string, TomlValue> = {};
    for (const pair of node.body) {
      const value = valueOf(pair.value, depth + 1);
      Object.defineProperty(table, keysOf(pair.key).join('.'), { value, enumerable: true });
    }
    return table;
  }
  if (node.kind === 'integer') return Number.isSafeInteger(node.value) ? node.value : node.bigint;
  return node.value;
}

/** A path on its way to an entry: indexes are numbers still. */
type Steps = readonly (string | number)[];

/**
 * The lines of micro-gw.conf as flat entries, in order. A syntax error, which a key defined twice is too, becomes a complaint with its
 * line; there are no entries then.
 * @param text the file's content
 * @param file its name in messages
 * @param baseDir folder that relative paths in it count from
 */
export function parseTomlFile(
  text: string,
  file: string,
  baseDir: string,
  complaints: Complaints,
): Entry[] {
  const entries: Entry[] = [];
  const push = (steps: Steps, raw: Raw, line: number): void => {
    const indexes = steps.flatMap((step, i) => (typeof step === 'number' ? [i] : []));
    entries.push({ path: steps.map(String), indexes, raw, place: { file, line }, baseDir });
  };
  const add = (steps: Steps, node: AST.TOMLContentNode, line: number, depth: number): void => {
    if (depth > MAX_DEPTH) throw new RangeError('nested too deeply');
    if (node.type === 'TOMLInlineTable') {
      push(steps, { kind: 'table' }, line);
      addPairs(steps, node.body, depth + 1);
    } else if (isArrayOfTables(node)) {
      for (const [i, table] of node.elements.entries())
        add([...steps, i], table, table.loc.start.line, depth + 1);
    } else push(steps, { kind: 'toml', value: valueOf(node, depth), hidden: false }, line);
  };
  const addPairs = (prefix: Steps, pairs: readonly AST.TOMLKeyValue[], depth: number): void => {
    for (const pair of pairs)
      add([...prefix, ...keysOf(pair.key)], pair.value, pair.key.loc.start.line, depth);
  };

  try {
    for (const node of parseTOML(text, { tomlVersion: '1.0' }).body[0].body) {
      if (node.type === 'TOMLKeyValue') addPairs([], [node], 0);
      else {
        push(node.resolvedKey, { kind: 'table' }, node.key.loc.start.line);
        addPairs(node.resolvedKey, node.body, 0);
      }
    }
    return entries;
  } catch (error) {
    complaints.add(syntaxProblem(error, text, file));
    return [];
  }
}

function isArrayOfTables(node: AST.TOMLContentNode): node is AST.TOMLArray {
  if (node.type !== 'TOMLArray' || node.elements.length === 0) return false;
  return node.elements.every((element) => element.type === 'TOMLInlineTable');
}

/** What the parser says of a text without quotation marks. */
const BARE = /^(?:Unexpected (?:character|token)|Must be a newline|Expected comma)/;

/**
 * Whether the parser stopped within a value that would be a text in quotation marks. Behind a quotation mark nobody can tell, nor where
 * another key follows on the line.
 * @param column from 0, where it stopped
 */
function lacksQuotes({ message }: ParseError, line: string, column: number): boolean {
  return (
    BARE.test(message) &&
    /^[^"'#=]+=[^"'#]*$/.test(line.slice(0, column)) &&
    /^[^\s,=#"'[\]{}]/.test(line.slice(column)) &&
    !/^[\w.-]+\s*=/.test(line.slice(column))
  );
}

function syntaxProblem(error: unknown, text: string, file: string) {
  if (!(error instanceof ParseError)) {
    const message = `this is no TOML that can be read: ${error instanceof RangeError ? 'values are nested too deeply' : 'the parser gave up'}`;
    return { code: 'ERR_CONFIG_SYNTAX' as const, key: undefined, message, place: { file } };
  }
  // What a line lacks is noticed at the start of the next one.
  const atNext = error.column === 0 && /^(Unspecified|The key|Expected|Unterm)/.test(error.message);
  const line = atNext ? Math.max(1, error.lineNumber - 1) : error.lineNumber;
  // Only what stands before `=`, or a table's name: a value may be a password.
  const whole = text.split('\n')[line - 1] ?? '';
  const written = whole.trim();
  const name = /^(?:\[+\s*)?([\w."' -]{1,100}?)\s*(?:=|\])/.exec(written)?.[1];
  const near = name === undefined ? '' : ` (at \`${name}\`)`;
  const twice = error.message.startsWith('Defining a key multiple times');
  const problem = lacksQuotes(error, whole, error.column)
    ? 'texts, durations and sizes need quotation marks ("...")'
    : `${error.message.charAt(0).toLowerCase()}${error.message.slice(1)}`;
  const message = twice
    ? `defined twice${near}: remove one of the two`
    : `not valid TOML${near}: ${problem}`;
  return { code: 'ERR_CONFIG_SYNTAX' as const, key: undefined, message, place: { file, line } };
}
