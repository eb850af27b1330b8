import { parseArgs } from 'node:util';
import type { ParseArgsConfig } from 'node:util';
import { OperatorError } from '../errors.ts';

/** A refusal of the words that a command was given. */
export function usage(message: string, cause?: unknown): OperatorError {
  return new OperatorError('ERR_USAGE', message, cause === undefined ? {} : { cause });
}

export type Options = NonNullable<ParseArgsConfig['options']>;
type Parsed<T extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: T; allowPositionals: true }>
>;

/** Reads options and positionals. An option that counts once is given once: of two users to be revoked neither is forgotten. @throws OperatorError ERR_USAGE */
export function parse<T extends Options>(words: string[], options: T): Parsed<T> {
  try {
    const { tokens, ...parsed } = parseArgs({
      args: words,
      options,
      allowPositionals: true,
      tokens: true,
    });
    const seen = new Set<string>();
    for (const token of tokens) {
      if (token.kind !== 'option' || token.value === undefined) continue;
      if (seen.has(token.name) && options[token.name]?.multiple !== true)
        throw new Error(`--${token.name} is given twice`);
      seen.add(token.name);
    }
    return parsed;
  } catch (error) {
    // Of an unknown option Node goes on about positionals that begin with a dash, which no command has.
    const message = error instanceof Error ? error.message : String(error);
    throw usage(message.replace(/\. To specify a positional argument .*/s, ''), error);
  }
}

/** Takes `--section.key=value`, which overrides the configuration as it does for `gateway`, from the other words. */
export function splitOverrides(argv: readonly string[]): { words: string[]; overrides: string[] } {
  const isOverride = (word: string): boolean => /^--\w+(?:\.\w+)+=/.test(word);
  return {
    words: argv.filter((word) => !isOverride(word)),
    overrides: argv.filter(isOverride),
  };
}
