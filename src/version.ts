import { readFileSync } from 'node:fs';

/** Version of this installation, from its package.json, which lies one folder above both `src/` and `dist/`. */
export const VERSION: string = readVersion();

function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
