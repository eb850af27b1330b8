import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const PAGE = join(import.meta.dirname, '../docs/benchmarks.md');

/** Puts results into docs/benchmarks.md: from the comment that names their command to the next heading, or the end. */
export function writeResults(command: string, results: string): void {
  const text = readFileSync(PAGE, 'utf8');
  const marker = `<!-- results: ${command} -->`;
  const at = text.indexOf(marker);
  if (at < 0) throw new Error(`docs/benchmarks.md has no line ${marker}`);
  const heading = text.indexOf('\n## ', at);
  const rest = heading < 0 ? '' : text.slice(heading);
  writeFileSync(PAGE, `${text.slice(0, at)}${marker}\n\n${results}\n${rest}`);
}
