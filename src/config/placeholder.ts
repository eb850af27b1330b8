import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Env } from './locate.ts';

/** What placeholders are replaced from. */
export interface PlaceholderContext {
  readonly home: string;
  readonly env: Env;
  /** Folder that a relative `${file:...}` counts from. */
  readonly baseDir: string;
}

/** Bytes of a file that a placeholder may name. */
const MAX_FILE_BYTES = 1024 * 1024;

/** A placeholder that cannot be replaced; the message holds its name, never a content. */
export class PlaceholderFailure extends Error {}

function readSecretFile(name: string, baseDir: string): string {
  const path = resolve(baseDir, name);
  let content: string;
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new PlaceholderFailure(`\${file:${name}}: ${path} is no file`);
    if (stat.size > MAX_FILE_BYTES)
      throw new PlaceholderFailure(`\${file:${name}}: ${path} is larger than 1 MiB`);
    content = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof PlaceholderFailure) throw error;
    const reason = causeOf(error);
    throw new PlaceholderFailure(`\${file:${name}}: ${path} cannot be read: ${reason}`);
  }
  return content.replace(/\r?\n$/, '');
}

function causeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'it is not UTF-8 text';
  if (code === 'EACCES') return 'permission denied';
  return typeof code === 'string' ? code : 'unknown reason';
}

/**
 * Replaces `${env:NAME}`, `${file:/path}` and `${mgw-runtime.home}`; `$${` stands for a literal `${`. What was put in is not looked at again.
 * @returns the text, and whether anything but the home folder was put in; undefined when there is no placeholder
 * @throws PlaceholderFailure for an unset variable, an unreadable file, or an unknown placeholder
 */
export function replacePlaceholders(
  text: string,
  context: PlaceholderContext,
): { text: string; hidden: boolean } | undefined {
  if (!text.includes('${')) return undefined;
  let hidden = false;
  const replaced = text.replace(
    /(\$?)\$\{([^}]*)(\}?)/g,
    (whole, escape: string, inner: string, end: string) => {
      if (escape === '$') return whole.slice(1);
      if (end === '')
        throw new PlaceholderFailure('a `${` has no `}`; write `$${` for a literal `${`');
      if (inner === 'mgw-runtime.home') return context.home;
      const [, kind, name = ''] = /^(env|file):(.+)$/s.exec(inner) ?? [];
      if (kind === undefined) {
        const known = '`${env:NAME}`, `${file:/path}` and `${mgw-runtime.home}`';
        throw new PlaceholderFailure(
          `unknown placeholder: known are ${known}; write \`$\${\` for a literal \`\${\``,
        );
      }
      hidden = true;
      if (kind === 'file') return readSecretFile(name, context.baseDir);
      const value = context.env[name];
      if (value === undefined)
        throw new PlaceholderFailure(
          `\${env:${name}}: the environment variable ${name} is not set`,
        );
      return value;
    },
  );
  return { text: replaced, hidden };
}
