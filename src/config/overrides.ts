import type { Complaints } from './config-error.ts';
import { findMeaning } from './catalogue.ts';
import type { Entry } from './entry.ts';
import type { Env } from './locate.ts';
import { isUnsupported } from './unsupported.ts';

/**
 * Flags `--section.key=value` as entries. Tables of an array are counted from 0: `--jwtTokenConfig.0.issuer=...`.
 * @param cwd folder that relative paths in values count from
 */
export function readFlags(argv: readonly string[], cwd: string, complaints: Complaints): Entry[] {
  const entries: Entry[] = [];
  for (const word of argv) {
    const at = word.indexOf('=');
    const name = at === -1 ? word : word.slice(0, at);
    if (at === -1 || !/^--[^.\s]+(?:\.[^.\s]+)*$/.test(name)) {
      // Neither a value nor a stray word is repeated: it may be a password.
      const what = name.startsWith('--') ? `\`${name}\`` : 'an argument that is no flag';
      const message = `${what}: write overrides as \`--section.key=value\``;
      complaints.add({ code: 'ERR_CONFIG_FLAG', key: undefined, message, place: {} });
      continue;
    }
    entries.push({
      path: name.slice(2).split('.'),
      raw: { kind: 'text', text: word.slice(at + 1), hidden: false },
      place: { source: name },
      baseDir: cwd,
    });
  }
  return entries;
}

/** The key that a variable's name stands for: dots as underscores, letters as in the key. */
function pathOf(name: string): readonly string[] | undefined {
  if (isUnsupported([name])) return [name];
  const path = name.split('_');
  const [section = ''] = path;
  if (path.length < 2 || findMeaning([section]) === undefined) return undefined;
  const meaning = findMeaning(path);
  if (meaning?.kind === 'extra') {
    const known = path.length - meaning.rest.length;
    return [...path.slice(0, known), meaning.rest.join('_')];
  }
  if (meaning?.kind === 'key' || isUnsupported(path)) return path;
  // `server_x` may be anybody's variable; `listenerConfig_x` can only be a mistyped key of ours.
  return /[A-Z]/.test(section) ? path : undefined;
}

/**
 * Environment variables that name a key, as entries: `b7a_log_level`, `jwtTokenConfig_0_issuer`. A variable that begins like one of our
 * own sections but names no key is an entry too, so that it is refused as a mistyped one.
 */
export function readEnvironment(env: Env, cwd: string): Entry[] {
  const entries: Entry[] = [];
  for (const [name, text] of Object.entries(env).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const path = text === undefined ? undefined : pathOf(name);
    if (text === undefined || path === undefined) continue;
    entries.push({
      path,
      raw: { kind: 'text', text, hidden: false },
      place: { source: `environment variable ${name}` },
      baseDir: cwd,
    });
  }
  return entries;
}
