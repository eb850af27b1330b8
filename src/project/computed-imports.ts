import { parseAst } from 'rolldown/parseAst';

/** Something that could bring a module into a running gateway which the build has not seen. */
interface ComputedImport {
  /** 1-based. */
  readonly line: number;
  /** What is written there. */
  readonly what: string;
}

/**
 * Imports whose module is only known when they run: `import(name)`, `require(name)` and whatever `createRequire` is used for. A bundler leaves
 * them as they are, and the artifact would look for the module wherever it is run.
 * @param code TypeScript or JavaScript; what cannot be parsed has none, because the bundler refuses it
 * @param file its name, which says the language
 */
export function computedImports(code: string, file: string): ComputedImport[] {
  let program: unknown;
  try {
    program = parseAst(code, { lang: /\.[cm]?ts$/.test(file) ? 'ts' : 'js' }, file);
  } catch {
    return [];
  }
  const found = new Map<number, ComputedImport>();
  const open: unknown[] = [program];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (typeof node !== 'object' || node === null) continue;
    const what = complaint(node as Node);
    if (what !== undefined) {
      const line = code.slice(0, Number((node as Node)['start'])).split('\n').length;
      found.set(line, { line, what });
    }
    for (const inner of Object.values(node as Node)) open.push(inner ?? null);
  }
  return [...found.values()].sort((a, b) => a.line - b.line);
}

type Node = Readonly<Record<string, unknown>>;

function complaint(node: Node): string | undefined {
  const { type } = node;
  if (type === 'ImportExpression' && !isText(node['source'])) return 'import(...)';
  if (type === 'CallExpression') {
    const [first] = node['arguments'] as readonly unknown[];
    if (nameOf(node['callee']) === 'require' && !isText(first)) return 'require(...)';
  }
  return nameOf(node) === 'createRequire' ? 'createRequire' : undefined;
}

/** A string that the bundler sees: no template, no expression. */
function isText(node: unknown): boolean {
  const { type, value } = (node ?? {}) as Node;
  return type === 'Literal' && typeof value === 'string';
}

/** The name of an identifier, or the text of a string that may be one in brackets. */
function nameOf(node: unknown): unknown {
  const { type, name, value } = (node ?? {}) as Node;
  if (type === 'Identifier') return name;
  return type === 'Literal' ? value : undefined;
}
