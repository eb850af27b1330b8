/** A text in one file of the gateway, and what a mutant has in its place. White space counts as one space. */
export interface Replacement {
  /** Below `dist/`, with `/`; of a program that runs from the sources, its source. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Environment variable with the replacements, as JSON. */
export const REPLACEMENTS = 'PORTCULLIS_CHECK_REPLACEMENTS';

/** What a mutated thread prints, once for each file. */
export function appliedLine(file: string): string {
  return `check: ${file} is mutated`;
}

/**
 * Replaces the text.
 * @throws Error unless it is there exactly once: a mutant that is none would pass for a bug that nobody finds
 */
export function mutate(source: string, { file, from, to }: Replacement): string {
  const words = from.trim().split(/\s+/);
  const pattern = new RegExp(
    words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('\\s+'),
    'g',
  );
  const found = [...source.matchAll(pattern)];
  const [only] = found;
  if (only === undefined || found.length > 1)
    throw new Error(`check: "${from}" is ${found.length} times in ${file}, not once`);
  return source.slice(0, only.index) + to + source.slice(only.index + only[0].length);
}

/** The replacements of this file, by its URL. */
export function replacementsFor(url: string, all: readonly Replacement[]): Replacement[] {
  return all.filter(
    ({ file }) =>
      url.endsWith(`/dist/${file}`) || url.endsWith(`/src/${file.replace(/\.js$/, '.ts')}`),
  );
}
