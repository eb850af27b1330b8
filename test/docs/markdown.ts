import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../support/checkout.ts';

/** Paths of every Markdown page of the repository, from its folder, with forward slashes. */
export function pages(): string[] {
  return globSync('**/*.md', {
    cwd: ROOT,
    exclude: ['**/node_modules', '.node', '.git', '.work', 'dist'],
  })
    .map((path) => path.replaceAll('\\', '/'))
    .sort();
}

export function readPage(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** A piece of text that is set as code: fenced, or indented by four spaces (then without a language). */
export interface CodeBlock {
  /** Word after the opening fence: `sh`, `text`, ... */
  readonly language: string;
  readonly text: string;
  /** 1-based line of its first line. */
  readonly line: number;
}

/** All code blocks of a page, in order. */
export function codeBlocks(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  const lines = markdown.split('\n');
  for (let index = 0; index < lines.length; index++) {
    const fence = /^(`{3,})(\w*)\s*$/.exec(lines[index] ?? '');
    const indented = /^ {4}\S/.test(lines[index] ?? '') && (lines[index - 1] ?? '').trim() === '';
    const start = fence === null ? index : index + 1;
    if (fence === null && !indented) continue;
    let end = start;
    while (
      end < lines.length &&
      (fence === null
        ? /^(?: {4}.*|\s*)$/.test(lines[end] ?? '')
        : lines[end]?.trimEnd() !== fence[1])
    )
      end++;
    const text = lines
      .slice(start, end)
      .map((line) => (fence === null ? line.slice(4) : line))
      .join('\n');
    blocks.push({ language: fence?.[2] ?? '', text: `${text.trimEnd()}\n`, line: start + 1 });
    index = end;
  }
  return blocks;
}

/** A page without its code: what links and headings are read from. */
export function prose(markdown: string): string {
  let text = markdown;
  for (const { text: code } of codeBlocks(markdown).filter(({ language }) => language !== ''))
    text = text.replace(code, '\n');
  return text.replace(/`[^`\n]*`/g, (code) => code.replace(/[[\]]/g, ''));
}
