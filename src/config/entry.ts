import type { Place } from './config-error.ts';

/** A value as TOML has it. Whole numbers beyond 2^53 stay bigint. */
export type TomlValue =
  | string
  | number
  | bigint
  | boolean
  | Date
  | readonly TomlValue[]
  | { readonly [key: string]: TomlValue };

/** What was written for one key. */
export type Raw =
  | {
      readonly kind: 'toml';
      readonly value: TomlValue;
      /** True: something in it came out of a placeholder, and is shown in no message. */
      readonly hidden: boolean;
    }
  /** A flag's or environment variable's text, or a string with a placeholder in it: read by the key's type, not by TOML's. */
  | {
      readonly kind: 'text';
      readonly text: string;
      /** The same. */
      readonly hidden: boolean;
    }
  /** A table header, `[name]`. */
  | { readonly kind: 'table' };

/** One key or table as written somewhere. */
export interface Entry {
  /** Table names, key name, and indexes of arrays of tables. */
  readonly path: readonly string[];
  /** Positions in `path` that are indexes. Only known of what stands in the file. */
  readonly indexes?: readonly number[];
  readonly raw: Raw;
  readonly place: Place;
  /** Folder that relative paths count from. */
  readonly baseDir: string;
}

/** A path as one string. A segment that is no bare TOML key is quoted, so that `"a.b"` and `a.b` stay two keys. */
export function keyOf(path: readonly string[]): string {
  return path.map((part) => (/^[\w-]+$/.test(part) ? part : JSON.stringify(part))).join('.');
}
