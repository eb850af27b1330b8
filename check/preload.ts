/**
 * Preloaded by a mutated gateway (`--import`), into each of its threads: replaces text of its own compiled files while they are loaded, so
 * that the product needs no hook for it.
 */
import { writeSync } from 'node:fs';
import { registerHooks } from 'node:module';
import {
  appliedLine,
  mutate,
  replacementsFor,
  REPLACEMENTS,
  type Replacement,
} from './mutation.ts';

const all = JSON.parse(process.env[REPLACEMENTS] ?? '[]') as Replacement[];

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    const wanted = replacementsFor(url, all);
    if (wanted.length === 0) return loaded;
    const { source: original = '' } = loaded;
    const text =
      typeof original === 'string'
        ? original
        : new TextDecoder().decode(original ?? new Uint8Array());
    const source = wanted.reduce((changed, one) => mutate(changed, one), text);
    // Whatever standard output is made of in this thread: this line has to come out.
    for (const { file } of wanted) writeSync(2, `${appliedLine(file)}\n`);
    return { ...loaded, source };
  },
});
