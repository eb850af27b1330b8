import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { parseTOML } from 'toml-eslint-parser';
import type { OperatorErrorCode } from '../errors.ts';
import type { Raw, TomlValue } from './entry.ts';
import type { Field } from './field.ts';
import { nearest } from '../nearest.ts';
import { parseDuration, parseSize } from './quantity.ts';
import { valueOf } from './toml-file.ts';

/** A value as the schema's type has it, or why it is none. */
export type Outcome =
  | { readonly value: unknown }
  | {
      readonly code: OperatorErrorCode;
      /** What is wrong, to be put behind the key's name. */
      readonly problem: string;
      readonly nearest?: string;
    };

type ValueRaw = Exclude<Raw, { kind: 'table' }>;

function wrongType(problem: string): Outcome {
  return { code: 'ERR_CONFIG_WRONG_TYPE', problem };
}

function badValue(problem: string, near?: string): Outcome {
  const base = { code: 'ERR_CONFIG_BAD_VALUE' as const, problem };
  return near === undefined ? base : { ...base, nearest: near };
}

type NumberField = Extract<Field, { kind: 'integer' | 'duration' | 'size' }>;

function orMinusOne(field: NumberField): string {
  return field.minusOne === undefined ? '' : `, or -1 for ${field.minusOne}`;
}

/** What a field takes, in words. */
export function expectation(field: Field): string {
  switch (field.kind) {
    case 'flag':
      return '`true` or `false`';
    case 'integer':
      return `a whole number from ${field.min} to ${field.max}${orMinusOne(field)}`;
    case 'duration':
      return `a duration from ${field.min} to ${field.max}, such as "30s" or "5m" (a bare number counts ${field.bare})${orMinusOne(field)}`;
    case 'size':
      return `a size from ${field.min} to ${field.max}, such as "64 KiB" (a bare number counts bytes)${orMinusOne(field)}`;
    case 'choice':
      return `one of ${field.of.map((word) => `"${word}"`).join(', ')}`;
    case 'list':
      if (field.of === 'texts') return 'a string or an array of strings';
      if (field.of === 'addresses') return 'an array of IP addresses and CIDR blocks';
      return `an array of ${field.of.map((word) => `"${word}"`).join(', ')}`;
    case 'url':
      return 'an http or https URL';
    case 'path':
      return 'the path of a file';
    case 'text':
      return 'a string';
    default:
      return field satisfies never;
  }
}

function typeName(value: TomlValue): string {
  if (Array.isArray(value)) return 'an array';
  if (value instanceof Date) return 'a date';
  if (typeof value === 'object') return 'a table';
  if (typeof value === 'string') return 'a string';
  return typeof value === 'boolean' ? 'a boolean' : 'a number';
}

function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(text);
}

function isAddressOrBlock(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return (
    bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
  );
}

function readText(field: Extract<Field, { kind: 'text' }>, text: string): Outcome {
  if (text === '')
    return field.mayBeEmpty === true ? { value: text } : badValue('must not be empty');
  if (field.shape === 'host' && !isHost(text))
    return badValue('must be an IP address or host name');
  if (field.shape === 'headerName' && !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(text))
    return badValue('must be a header name (RFC 9110 section 5.1)');
  // Visible characters with blanks between them: nothing that could begin another header line.
  if (field.shape === 'headerValue' && !/^[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?$/.test(text))
    return badValue('must be a header value of visible ASCII characters');
  return { value: text };
}

/** Whether a URL's host is this very machine. */
export function isLoopback(url: URL): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Why a text is no URL to call, or undefined when it is one. Says nothing of the text, which may hold a password. */
export function urlProblem(text: string): string | undefined {
  if (!URL.canParse(text)) return 'is no URL: write `https://host:port/path`';
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return 'must be an http or https URL: write `https://host:port/path`';
  if (url.username !== '' || url.password !== '')
    return 'must not hold user name or password: they have keys of their own';
  return url.hash === '' ? undefined : 'must not have a fragment (`#...`)';
}

function readUrl(field: Extract<Field, { kind: 'url' }>, text: string): Outcome {
  const problem = urlProblem(text);
  if (problem !== undefined) return badValue(problem);
  const url = new URL(text);
  if (field.encrypted === true && url.protocol === 'http:' && !isLoopback(url))
    return badValue(
      'must be https: plain http is for this very machine only (localhost, 127.0.0.1, ::1)',
    );
  return { value: text };
}

function readNumber(field: NumberField, raw: ValueRaw, show: (text: string) => string): Outcome {
  const input = raw.kind === 'text' ? raw.text.trim() : raw.value;
  // Without the quotation marks that a text has.
  const shown = (number: number | bigint): string =>
    raw.kind === 'text' ? show(raw.text.trim()) : show(String(number)).replaceAll('"', '');
  const parse = field.kind === 'size' ? parseSize : parseDuration;
  let number: number | undefined;
  if (typeof input === 'number') number = input;
  else if (typeof input === 'string') {
    const bare = /^-?\d+$/.test(input);
    if (bare && raw.kind === 'toml')
      return wrongType(`is a number in quotation marks: take them off, or ${unitHint(field)}`);
    if (bare) number = Number(input);
    else if (field.kind === 'integer')
      return wrongType(`must be ${expectation(field)}, not ${show(input)}`);
    else {
      const parsed = parse(input);
      if (parsed === undefined)
        return badValue(`must be ${expectation(field)}, not ${show(input)}`);
      return inRange(field, parsed, show(input));
    }
  } else if (typeof input !== 'bigint')
    return wrongType(`must be ${expectation(field)}, not ${typeName(input)}`);
  else return badValue(`must be ${expectation(field)}, not ${shown(input)}`);

  if (number === -1 && field.minusOne !== undefined) return { value: -1 };
  if (!Number.isSafeInteger(number))
    return wrongType(`must be ${expectation(field)}, not ${shown(number)}`);
  const scale = field.kind === 'duration' && field.bare === 'seconds' ? 1000 : 1;
  return inRange(field, number * scale, shown(number));
}

function unitHint(field: Field): string {
  if (field.kind === 'duration') return 'add a unit, as in "30s"';
  return field.kind === 'size' ? 'add a unit, as in "64 KiB"' : 'write it as in `= 9090`';
}

function inRange(field: NumberField, value: number, shown: string): Outcome {
  const limit = (bound: string | number): number => {
    if (typeof bound === 'number') return bound;
    return (field.kind === 'size' ? parseSize(bound) : parseDuration(bound)) ?? NaN;
  };
  if (value >= limit(field.min) && value <= limit(field.max)) return { value };
  return badValue(`must be ${expectation(field)}, not ${shown}`);
}

type ListField = Extract<Field, { kind: 'list' }>;

/** Wrong elements of a list that are named. */
const MOST_NAMED = 20;

/** The elements of a list: an array, one string, or a flag's words with commas between them. */
function elements(raw: ValueRaw): readonly string[] | undefined {
  let input: TomlValue = raw.kind === 'toml' ? raw.value : raw.text.trim();
  if (raw.kind === 'text' && raw.text.trim().startsWith('[')) {
    try {
      const pair = parseTOML(`x = ${raw.text.trim()}`).body[0].body[0];
      if (pair?.type !== 'TOMLKeyValue') return undefined;
      input = valueOf(pair.value);
    } catch {
      return undefined;
    }
  } else if (raw.kind === 'text') {
    return raw.text.split(',').map((part) => part.trim());
  }
  if (typeof input === 'string') return [input];
  if (!Array.isArray(input)) return undefined;
  const list = input as readonly TomlValue[];
  return list.every((element) => typeof element === 'string') ? list : undefined;
}

function mayHold({ of }: ListField, element: string): boolean {
  if (of === 'addresses') return isAddressOrBlock(element);
  return typeof of === 'string' || of.includes(element);
}

/** `a, b and c`; of many only the first. */
function enumerate(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMED);
  const last = names.length > MOST_NAMED ? `${names.length - MOST_NAMED} more` : shown.pop();
  return shown.length === 0 ? (last ?? '') : `${shown.join(', ')} and ${last ?? ''}`;
}

function readList(field: ListField, raw: ValueRaw, show: (text: string) => string): Outcome {
  const list = elements(raw);
  if (list === undefined) return wrongType(`must be ${expectation(field)}`);
  if (list.length === 1 && list[0] === '' && (field.mayBeEmpty === true || raw.kind === 'text'))
    return { value: [] };
  if (list.includes('')) return badValue('must not hold an empty string');
  const wrong = list.filter((element) => !mayHold(field, element));
  const [first, ...others] = wrong;
  if (first !== undefined) {
    const near = typeof field.of === 'string' || others.length > 0 ? undefined : field.of;
    return badValue(
      `must be ${expectation(field)}; ${enumerate(wrong.map(show))} ${others.length > 0 ? 'are' : 'is'} none`,
      near && nearest(first, near),
    );
  }
  if (new Set(list).size !== list.length) return badValue('holds the same string twice');
  return { value: list };
}

/**
 * Reads what was written for a key by the key's type.
 * @param baseDir folder that a relative path counts from
 */
export function readValue(field: Field, raw: ValueRaw, baseDir: string): Outcome {
  const silent = field.secret === true || raw.hidden;
  const show = (text: string): string =>
    silent || text.length > 80 ? 'what was written' : JSON.stringify(text);

  if (field.kind === 'list') return readList(field, raw, show);
  if (field.kind === 'integer' || field.kind === 'duration' || field.kind === 'size')
    return readNumber(field, raw, show);

  const input = raw.kind === 'text' ? raw.text : raw.value;
  if (field.kind === 'flag') {
    if (typeof input === 'boolean') return { value: input };
    if (input === 'true' || input === 'false') {
      if (raw.kind === 'text') return { value: input === 'true' };
      return wrongType(`is ${input} in quotation marks: take them off`);
    }
    return wrongType(
      `must be ${expectation(field)}, not ${typeof input === 'string' ? show(input) : typeName(input)}`,
    );
  }
  if (typeof input !== 'string')
    return wrongType(`must be ${expectation(field)}, in quotation marks, not ${typeName(input)}`);
  if (field.kind === 'choice') {
    const word = field.of.find((choice) => choice.toLowerCase() === input.toLowerCase());
    if (word !== undefined) return { value: word };
    return badValue(`must be ${expectation(field)}, not ${show(input)}`, nearest(input, field.of));
  }
  if (field.kind === 'path')
    return input === '' ? badValue('must not be empty') : { value: resolve(baseDir, input) };
  return field.kind === 'url' ? readUrl(field, input) : readText(field, input);
}
