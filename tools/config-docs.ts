/**
 * Writes what follows from the schema: `conf/micro-gw.conf`, the annotated sample, and the key tables of `docs/configuration.md` (between
 * its two markers). Run `node tools/config-docs.ts` after a change of the schema; a test holds the three together.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Field, Table } from '../src/config/field.ts';
import { parseSize } from '../src/config/quantity.ts';
import { expectation } from '../src/config/read-value.ts';
import { SCHEMA } from '../src/config/schema.ts';
import { UNSUPPORTED } from '../src/config/unsupported.ts';

const ROOT = new URL('../', import.meta.url);
export const DOCS_FILE = new URL('docs/configuration.md', ROOT);
export const SAMPLE_FILE = new URL('conf/micro-gw.conf', ROOT);

const BEGIN = '<!-- written by tools/config-docs.ts: do not edit below -->';
const END = '<!-- written by tools/config-docs.ts: do not edit above -->';

const tables: readonly [string, Table][] = Object.entries(SCHEMA);

/** A default as it would be written in the file; undefined when there is none. */
function literal(field: Field): string | undefined {
  if (!('default' in field) || field.default === undefined) return undefined;
  if (field.kind === 'size')
    return String(field.default === -1 ? field.default : parseSize(field.default));
  return JSON.stringify(field.default).replaceAll('","', '", "');
}

function header(name: string, table: Table): string {
  return table.many === true ? `[[${name}]]` : `[${name}]`;
}

/** Prose of a comment, broken at 100 columns. */
function comment(text: string): string[] {
  const lines: string[] = [];
  let line = '#';
  for (const word of text.split(' ')) {
    if (line.length + word.length + 1 > 100 && line !== '#') {
      lines.push(line);
      line = '#';
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

/** The sample file. A line `#key = value` has the default or, after "Not set", an example; `# ` begins prose. */
export function sampleFile(): string {
  const lines = [
    ...comment(
      'micro-gw.conf of Portcullis. Every key is here, commented out: `#key = value` is the default, unless the comment above it says "Not set". docs/configuration.md says more.',
    ),
    ...comment(
      'A string may hold ${env:NAME}, ${file:/path} and ${mgw-runtime.home}. Durations and sizes may have units: "30s", "5m", "1 MiB".',
    ),
  ];
  for (const [name, table] of tables) {
    lines.push('', ...comment(table.doc), `#${header(name, table)}`);
    for (const [key, field] of Object.entries(table.keys)) {
      const value = literal(field);
      const absent = value === undefined ? ` Not set: ${field.absent ?? 'none'}.` : '';
      lines.push('', ...comment(field.doc + absent), `#${key} = ${value ?? field.example ?? '""'}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

/** The key tables of the reference. */
export function keyTables(): string {
  const lines: string[] = [];
  for (const [name, table] of tables) {
    lines.push('', `### \`${header(name, table)}\``, '', table.doc, '');
    lines.push('| Key | Value | Default | Meaning |', '|---|---|---|---|');
    for (const [key, field] of Object.entries(table.keys)) {
      const value = literal(field);
      const shown = value === undefined ? (field.absent ?? 'none') : `\`${value}\``;
      const secret = field.secret === true ? ' Never shown.' : '';
      const columns = [`\`${key}\``, expectation(field), shown, `${field.doc}${secret}`];
      lines.push(`| ${columns.map(cell).join(' | ')} |`);
    }
  }
  lines.push('', '## WSO2 keys that have no effect yet', '');
  lines.push(
    'Each is accepted with one warning at the start. `*` is a position in an array of tables, `**` any key below.',
    '',
    ...UNSUPPORTED.map((name) => `- \`${name}\``),
    '- `<endpoint>_prod_endpoint_<n>`, `<endpoint>_sand_endpoint_<n>` and the other endpoint overrides at the top level',
  );
  return `${lines.join('\n').trim()}\n`;
}

/** The reference with its tables replaced by what the schema says. */
export function withKeyTables(page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin === -1 || end < begin) throw new Error('docs/configuration.md lacks the two markers');
  return `${page.slice(0, begin)}${BEGIN}\n\n${keyTables()}\n${page.slice(end)}`;
}

if (import.meta.main) {
  writeFileSync(SAMPLE_FILE, sampleFile());
  writeFileSync(DOCS_FILE, withKeyTables(readFileSync(DOCS_FILE, 'utf8')));
}
