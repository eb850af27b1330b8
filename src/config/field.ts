/**
 * The words in which the schema describes a key of micro-gw.conf, and the types that follow from a description. Data only: `read-value.ts`
 * checks values by it, `tools/config-docs.ts` writes the reference and the sample file from it.
 */
interface Described {
  /** One or two sentences for the reference and the sample file. */
  readonly doc: string;
  /** A password or the like: its value appears in no message. */
  readonly secret?: true;
  /** For keys without `default`: what holds then, for the reference. */
  readonly absent?: string;
  /** For keys without `default`: a value as it would be written, for the sample file. */
  readonly example?: string;
}

interface TextField extends Described {
  readonly kind: 'text';
  readonly default?: string;
  readonly mayBeEmpty?: true;
  /** What the text must be usable as (RFC 9110 section 5 for the header's two). Any text, when absent. */
  readonly shape?: 'host' | 'headerName' | 'headerValue';
}

/** A file; relative ones count from the folder of micro-gw.conf, in flags and environment from the current folder. */
interface PathField extends Described {
  readonly kind: 'path';
}

interface UrlField extends Described {
  readonly kind: 'url';
  readonly default?: string;
  /** True: plain http only to this very machine. */
  readonly encrypted?: true;
}

interface FlagField extends Described {
  readonly kind: 'flag';
  readonly default?: boolean;
}

interface IntegerField extends Described {
  readonly kind: 'integer';
  readonly default?: number;
  readonly min: number;
  readonly max: number;
  /** -1 is taken too; what it means then, in words. */
  readonly minusOne?: string;
}

/** Milliseconds, once read. `min` and `max` are written as a value is. */
interface DurationField extends Described {
  readonly kind: 'duration';
  readonly default?: string;
  /** What a bare number counts, as in WSO2's own files. */
  readonly bare: 'milliseconds' | 'seconds';
  readonly min: string;
  readonly max: string;
  /** -1 is taken too; what it means then, in words. */
  readonly minusOne?: string;
}

/** Bytes, once read; a bare number counts bytes. */
interface SizeField extends Described {
  readonly kind: 'size';
  readonly default: string | -1;
  readonly min: string;
  readonly max: string;
  /** -1 is taken too; what it means then, in words. */
  readonly minusOne?: string;
}

interface ChoiceField extends Described {
  readonly kind: 'choice';
  readonly default: string;
  /** Compared without case. */
  readonly of: readonly string[];
}

/** One string or an array of strings; in flags and environment, words with commas between them. */
interface ListField extends Described {
  readonly kind: 'list';
  readonly default?: readonly string[];
  /** Any texts, IP addresses and CIDR blocks, or a choice of words. */
  readonly of: 'texts' | 'addresses' | readonly string[];
  readonly mayBeEmpty?: true;
}

export type Field =
  | TextField
  | PathField
  | UrlField
  | FlagField
  | IntegerField
  | DurationField
  | SizeField
  | ChoiceField
  | ListField;

/** One table of micro-gw.conf. */
export interface Table {
  readonly doc: string;
  readonly keys: Readonly<Record<string, Field>>;
  /** True: an array of tables, `[[name]]`; a single `[name]` counts as an array of one. */
  readonly many?: true;
  /** True: keys that are not listed are kept, for whoever asks; the assembler decides whether anybody may. */
  readonly open?: true;
}

export type Schema = Readonly<Record<string, Table>>;

type Read<F> = F extends { readonly kind: 'flag' }
  ? boolean
  : F extends { readonly kind: 'integer' | 'duration' | 'size' }
    ? number
    : F extends { readonly kind: 'choice'; readonly of: readonly (infer C)[] }
      ? C
      : F extends { readonly kind: 'list'; readonly of: readonly (infer C)[] }
        ? readonly C[]
        : F extends { readonly kind: 'list' }
          ? readonly string[]
          : string;

/** What a table's keys are once read: without a default they may be undefined. */
export type Values<K> = {
  readonly [N in keyof K]: K[N] extends { readonly default: unknown }
    ? Read<K[N]>
    : Read<K[N]> | undefined;
};

/** Every table of a schema, read and with its defaults, by the table's name. */
export type SettingsOf<S extends Schema> = {
  readonly [P in keyof S]: S[P] extends { readonly many: true }
    ? readonly Values<S[P]['keys']>[]
    : Values<S[P]['keys']>;
};
