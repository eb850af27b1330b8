import type { Field, Table } from './field.ts';
import { nearest } from '../nearest.ts';
import { SCHEMA, type TableName } from './schema.ts';
import { leadsToUnsupported, UNSUPPORTED } from './unsupported.ts';

/** What a path in micro-gw.conf means. */
export type Meaning =
  | {
      readonly kind: 'key';
      readonly table: TableName;
      /** Position in an array of tables. */
      readonly index: number | undefined;
      /** True: the position was not written, as in a single `[jwtTokenConfig]`. */
      readonly implied: boolean;
      readonly name: string;
      readonly field: Field;
    }
  | { readonly kind: 'table'; readonly table: TableName; readonly index: number | undefined }
  /** A key that an open table keeps. */
  | { readonly kind: 'extra'; readonly table: TableName; readonly rest: readonly string[] }
  /** No table itself, but a part of the name of one: `[b7a]`. */
  | { readonly kind: 'prefix' };

const TABLES = (Object.entries(SCHEMA) as [TableName, Table][]).map(([name, table]) => ({
  name,
  parts: name.split('.'),
  table,
}));

/** Letters that may differ in a full name: most of it is the table's, so a share of its length would let through anything. */
const FULL_NAME_LIMIT = 3;

const INDEX = /^\d{1,4}$/;

/** Looks a path up; undefined when it is none of the schema's. */
export function findMeaning(path: readonly string[]): Meaning | undefined {
  let extra: Meaning | undefined;
  for (const { name, parts, table } of TABLES) {
    if (!parts.every((part, i) => path[i] === part)) continue;
    let rest = path.slice(parts.length);
    const written = table.many === true && INDEX.test(rest[0] ?? '');
    const index = table.many === true ? Number(written ? rest[0] : 0) : undefined;
    if (written) rest = rest.slice(1);
    const [key, ...deeper] = rest;
    if (key === undefined) return { kind: 'table', table: name, index };
    const field = Object.hasOwn(table.keys, key) ? table.keys[key] : undefined;
    if (field !== undefined && deeper.length === 0) {
      const implied = index !== undefined && !written;
      return { kind: 'key', table: name, index, implied, name: key, field };
    }
    if (table.open === true && field === undefined) extra = { kind: 'extra', table: name, rest };
  }
  if (extra !== undefined) return extra;
  if (TABLES.some(({ parts }) => path.every((part, i) => parts[i] === part))) {
    return { kind: 'prefix' };
  }
  return undefined;
}

/** Whether `[path]` may stand in the file although nothing supported is in it. */
export function isKnownTable(path: readonly string[]): boolean {
  return findMeaning(path) !== undefined || leadsToUnsupported(path);
}

/** Full names of the keys that have an effect. */
const EFFECTIVE: readonly string[] = TABLES.flatMap(({ name, table }) =>
  Object.keys(table.keys).map((key) => `${name}.${key}`),
);

/** Full names of all keys that can be written out. */
const KEY_NAMES: readonly string[] = [
  ...EFFECTIVE,
  ...UNSUPPORTED.filter((name) => !name.includes('*')),
];

const TABLE_NAMES: readonly string[] = [
  ...new Set([
    ...TABLES.map(({ name }) => name),
    ...UNSUPPORTED.map((name) => name.split('.').slice(0, -1).join('.')).filter(
      (name) => name !== '' && !name.includes('*'),
    ),
  ]),
];

function withoutIndexes(path: readonly string[]): string[] {
  return path.filter((part) => !INDEX.test(part));
}

/** Tables by the last part of their names: `accesslog`. */
const BY_LAST_PART: ReadonlyMap<string, string> = new Map(
  TABLE_NAMES.map((name) => [name.slice(name.lastIndexOf('.') + 1), name]),
);

/** The table that an unknown one most likely means: the one whose name, or its last part, differs least. */
export function nearestTable(path: readonly string[]): string | undefined {
  const names = withoutIndexes(path);
  const last = names.at(-1) ?? '';
  for (let limit = 0; limit <= FULL_NAME_LIMIT; limit++) {
    const near = nearest(names.join('.'), TABLE_NAMES, limit);
    if (near !== undefined) return near;
    if (limit > last.length / 3) continue;
    const part = nearest(last, BY_LAST_PART.keys(), limit);
    if (part !== undefined) return BY_LAST_PART.get(part);
  }
  return undefined;
}

/** The key that an unknown one most likely means, as full name: first in its own table, then under its own name elsewhere, then anywhere. */
export function nearestKey(path: readonly string[]): string | undefined {
  const names = withoutIndexes(path);
  const last = names.at(-1) ?? '';
  const home = names.slice(0, -1).join('.');
  const full = names.join('.');
  const siblings = KEY_NAMES.filter(
    (name) => name.startsWith(`${home}.`) && !name.slice(home.length + 1).includes('.'),
  );
  const near = nearest(
    last,
    siblings.map((name) => name.slice(home.length + 1)),
  );
  if (near !== undefined) return `${home}.${near}`;
  const namesakes = EFFECTIVE.filter(
    (name) => name.split('.').at(-1)?.toLowerCase() === last.toLowerCase(),
  );
  if (namesakes.length === 1) return namesakes[0];
  return nearest(full, namesakes) ?? nearest(full, KEY_NAMES, FULL_NAME_LIMIT);
}
