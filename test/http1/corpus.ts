import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Input } from './messages.ts';

export const CORPUS = join(import.meta.dirname, 'corpus');

/** An input that was kept, and why. */
export interface Kept extends Input {
  readonly why: string;
}

/** All kept inputs: `corpus/*.json`, each a list. */
export function readCorpus(): Kept[] {
  return readdirSync(CORPUS)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .flatMap((file) =>
      (JSON.parse(readFileSync(join(CORPUS, file), 'utf8')) as unknown[]).map((entry) =>
        kept(entry, file),
      ),
    );
}

function kept(entry: unknown, file: string): Kept {
  const { why, side, method, text, cuts } = entry as Record<string, unknown>;
  if (
    typeof why !== 'string' ||
    (side !== 'request' && side !== 'response') ||
    typeof text !== 'string' ||
    // eslint-disable-next-line no-control-regex -- latin1 is all of it
    !/^[\0-\xff]*$/.test(text) ||
    !(method === undefined || typeof method === 'string') ||
    !(
      cuts === undefined ||
      cuts === 'every' ||
      (Array.isArray(cuts) && cuts.every(Number.isInteger))
    )
  )
    throw new Error(`${file}: no input: ${JSON.stringify(entry)}`);
  return {
    why,
    side,
    text,
    cuts: (cuts ?? []) as Input['cuts'],
    ...(method === undefined ? {} : { method }),
  };
}
