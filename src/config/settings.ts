import { findMeaning, isKnownTable, type Meaning, nearestKey, nearestTable } from './catalogue.ts';
import type { Complaints, Place } from './config-error.ts';
import { type Entry, keyOf, type Raw, type TomlValue } from './entry.ts';
import type { Field, Table } from './field.ts';
import type { Env } from './locate.ts';
import { PlaceholderFailure, replacePlaceholders } from './placeholder.ts';
import { parseDuration, parseSize } from './quantity.ts';
import { readValue } from './read-value.ts';
import { SCHEMA, type Settings } from './schema.ts';
import { isUnsupported } from './unsupported.ts';

/** Everything that was written, read by the schema, with the defaults of what was not. */
export interface ReadSettings {
  readonly settings: Settings;
  /** Where each key and table was written, by full name with indexes: `jwtTokenConfig.0.issuer`. What was not written is not in it. */
  readonly places: ReadonlyMap<string, Place>;
  /** `[tokenRevocationConfig.persistent]` as written, placeholders replaced: what an extension gets. */
  readonly persistentSection: Readonly<Record<string, unknown>>;
  /** Keys of that table that the schema does not have, with their places: only an extension may have them. */
  readonly extras: ReadonlyMap<string, { readonly path: readonly string[]; readonly place: Place }>;
  /** One sentence per key that WSO2 knows and Portcullis does not support yet. */
  readonly unsupported: readonly string[];
}

interface Written {
  readonly meaning: Extract<Meaning, { kind: 'key' }> | Extract<Meaning, { kind: 'extra' }>;
  readonly entry: Entry;
}

/** The value of a field that was not written; undefined when it has no default. */
export function defaultOf(field: Field): unknown {
  if (field.kind === 'duration')
    return field.default === undefined ? undefined : parseDuration(field.default);
  if (field.kind === 'size') return field.default === -1 ? field.default : parseSize(field.default);
  return 'default' in field ? field.default : undefined;
}

/**
 * Reads entries by the schema; of two entries for one key the later wins. Unknown keys, wrong types and impossible values become complaints.
 * @param entries file, then environment, then flags
 */
export function readSettings(
  entries: readonly Entry[],
  context: { readonly home: string; readonly env: Env },
  complaints: Complaints,
): ReadSettings {
  const { written, counts, tables, unsupported } = sortEntries(entries, complaints);

  const values = new Map<string, unknown>();
  const places = new Map<string, Place>(tables);
  const extras = new Map<string, { path: readonly string[]; place: Place }>();
  const section: Record<string, unknown> = {};
  for (const [key, { meaning, entry }] of written) {
    const raw = replaceIn(entry, key, context, complaints);
    places.set(key, entry.place);
    if (raw === undefined) continue;
    if (meaning.kind === 'extra') {
      extras.set(key, { path: entry.path, place: entry.place });
      const { path, indexes = [] } = entry;
      const above = path.length - meaning.rest.length;
      putInto(section, meaning.rest, plain(raw), new Set(indexes.map((i) => i - above)));
      continue;
    }
    if (meaning.table === 'tokenRevocationConfig.persistent')
      putInto(section, [meaning.name], plain(raw), new Set());
    const outcome = readValue(meaning.field, raw, entry.baseDir);
    if ('value' in outcome) {
      values.set(key, outcome.value);
      continue;
    }
    const near = outcome.nearest === undefined ? '' : `: did you mean \`${outcome.nearest}\`?`;
    complaints.add({
      code: outcome.code,
      key,
      message: `\`${key}\` ${outcome.problem}${near}`,
      place: entry.place,
      ...(outcome.nearest === undefined ? {} : { nearest: outcome.nearest }),
    });
  }
  return {
    settings: withDefaults(values, counts),
    places,
    persistentSection: section,
    extras,
    unsupported,
  };
}

/** First pass: what each entry means, without its value. */
function sortEntries(entries: readonly Entry[], complaints: Complaints) {
  const written = new Map<string, Written>();
  /** Tables per array of tables. */
  const counts = new Map<string, number>();
  const tables = new Map<string, Place>();
  const unsupported = new Map<string, string>();
  /** Unknown tables, told once: their keys say nothing more. */
  const unknown: (readonly string[])[] = [];

  for (const entry of entries) {
    const { path, raw, place } = entry;
    if (unknown.some((table) => table.every((part, i) => path[i] === part))) continue;
    const key = keyOf(path);
    const meaning = path.includes('__proto__') ? undefined : findMeaning(path);
    if (raw.kind === 'table') {
      if (meaning?.kind === 'key') refuse(entry, key, 'is a value, not a table', complaints);
      else if (meaning?.kind === 'table') {
        count(entry, meaning, counts, complaints);
        tables.set(fullName(meaning), place);
      } else if (!isKnownTable(path)) {
        unknown.push(path);
        const near = nearestTable(path);
        const hint = near === undefined ? '' : `: did you mean \`[${near}]\`?`;
        complaints.add({
          code: 'ERR_CONFIG_UNKNOWN_KEY',
          key,
          message: `unknown table \`[${key}]\`${hint}`,
          place,
          ...(near === undefined ? {} : { nearest: near }),
        });
      }
    } else if (meaning?.kind === 'key') {
      if (!count(entry, meaning, counts, complaints)) continue;
      written.set(`${fullName(meaning)}.${meaning.name}`, { meaning, entry });
    } else if (isUnsupported(path)) {
      unsupported.set(
        key,
        `${wherePlaced(place)}\`${key}\` is a WSO2 key that Portcullis does not support yet: it has no effect`,
      );
    } else if (meaning?.kind === 'extra') {
      written.set(key, { meaning, entry });
    } else if (meaning === undefined) {
      complaints.add(unknownKey(path, place));
    } else if (!isEmptyList(raw)) {
      refuse(entry, key, 'is a table, not a value', complaints);
    }
  }
  return { written, counts, tables, unsupported: [...unsupported.values()] };
}

function fullName({ table, index }: Extract<Meaning, { kind: 'key' | 'table' }>): string {
  return index === undefined ? table : `${table}.${index}`;
}

/** The complaint about a key that nobody knows. */
export function unknownKey(path: readonly string[], place: Place) {
  const key = keyOf(path);
  const near = nearestKey(path);
  const hint = near === undefined ? '' : `: did you mean \`${near}\`?`;
  return {
    code: 'ERR_CONFIG_UNKNOWN_KEY' as const,
    key,
    message: `unknown key \`${key}\`${hint}`,
    place,
    ...(near === undefined ? {} : { nearest: near }),
  };
}

/** `file:line: `, for sentences that are no complaints. */
function wherePlaced(place: Place): string {
  if (place.source !== undefined) return `${place.source}: `;
  return place.file === undefined ? '' : `${place.file}:${place.line ?? 1}: `;
}

function refuse(entry: Entry, key: string, problem: string, complaints: Complaints): void {
  complaints.add({
    code: 'ERR_CONFIG_WRONG_TYPE',
    key,
    message: `\`${key}\` ${problem}`,
    place: entry.place,
  });
}

function isEmptyList(raw: Raw): boolean {
  return raw.kind === 'toml' && Array.isArray(raw.value) && raw.value.length === 0;
}

/** Counts the tables of an array; false, with a complaint, where a flag or variable means a table that is not there. */
function count(
  entry: Entry,
  meaning: Extract<Meaning, { kind: 'key' | 'table' }>,
  counts: Map<string, number>,
  complaints: Complaints,
): boolean {
  const { table, index } = meaning;
  if (index === undefined) return true;
  const already = counts.get(table) ?? 0;
  const key = keyOf(entry.path);
  if (meaning.kind === 'key' && meaning.implied && already > 1) {
    refuse(
      entry,
      key,
      `does not say which of the ${already} tables is meant: write \`${table}.0.${meaning.name}\` for the first`,
      complaints,
    );
    return false;
  }
  if (index > already) {
    refuse(entry, key, `skips a table: \`${table}\` has ${already}, counted from 0`, complaints);
    return false;
  }
  counts.set(table, Math.max(already, index + 1));
  return true;
}

/** Replaces the placeholders of an entry's strings; undefined, with a complaint, when one cannot be. */
function replaceIn(
  entry: Entry,
  key: string,
  context: { readonly home: string; readonly env: Env },
  complaints: Complaints,
): Exclude<Raw, { kind: 'table' }> | undefined {
  const { raw, baseDir } = entry;
  const replace = (text: string) => replacePlaceholders(text, { ...context, baseDir });
  let hidden = false;
  const deep = (value: TomlValue): TomlValue => {
    if (typeof value === 'string') {
      const replaced = replace(value);
      hidden ||= replaced?.hidden === true;
      return replaced?.text ?? value;
    }
    if (Array.isArray(value)) return (value as readonly TomlValue[]).map(deep);
    if (typeof value !== 'object' || value instanceof Date) return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, deep(inner)]));
  };
  if (raw.kind === 'table') return undefined;
  try {
    if (raw.kind === 'text') {
      const replaced = replace(raw.text);
      return replaced === undefined ? raw : { kind: 'text', ...replaced };
    }
    if (typeof raw.value === 'string') {
      const replaced = replace(raw.value);
      return replaced === undefined ? raw : { kind: 'text', ...replaced };
    }
    const value = deep(raw.value);
    return { kind: 'toml', value, hidden };
  } catch (error) {
    if (!(error instanceof PlaceholderFailure)) throw error;
    complaints.add({
      code: 'ERR_CONFIG_PLACEHOLDER',
      key,
      message: `\`${key}\`: ${error.message}`,
      place: entry.place,
    });
    return undefined;
  }
}

function plain(raw: Exclude<Raw, { kind: 'table' }>): unknown {
  return raw.kind === 'text' ? raw.text : raw.value;
}

/**
 * Puts a value at a path of nested objects.
 * @param indexes positions in `path` that are indexes of an array
 */
function putInto(
  target: Record<string, unknown>,
  path: readonly string[],
  value: unknown,
  indexes: ReadonlySet<number>,
): void {
  let at = target;
  for (const [i, part] of path.slice(0, -1).entries()) {
    const inner = Object.hasOwn(at, part) ? at[part] : undefined;
    const fresh = indexes.has(i + 1) ? [] : {};
    // Arrays too are written by their keys.
    const nested = (typeof inner === 'object' && inner !== null ? inner : fresh) as Record<
      string,
      unknown
    >;
    at[part] = nested;
    at = nested;
  }
  at[path.at(-1) ?? ''] = value;
}

function withDefaults(
  values: ReadonlyMap<string, unknown>,
  counts: ReadonlyMap<string, number>,
): Settings {
  const read = (prefix: string, table: Table): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(table.keys).map(([name, field]) => {
        const key = `${prefix}.${name}`;
        return [name, values.has(key) ? values.get(key) : defaultOf(field)];
      }),
    );
  // The schema's own types (field.ts) say what each kind of field is read to: this is where the two meet.
  return Object.fromEntries(
    Object.entries(SCHEMA as Readonly<Record<string, Table>>).map(([name, table]) => {
      if (table.many !== true) return [name, read(name, table)];
      const length = counts.get(name) ?? 0;
      return [name, Array.from({ length }, (_, i) => read(`${name}.${i}`, table))];
    }),
  ) as Settings;
}
