import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, type ConfigProblem } from '../../src/config/config-error.ts';
import { type LoadedConfig, type LoadOptions, loadConfig } from '../../src/config/load.ts';

const root = mkdtempSync(join(tmpdir(), 'portcullis-config-'));
process.once('exit', () => rmSync(root, { recursive: true, force: true }));

/** A folder of its own for each call, removed when the process ends. */
export function scratch(): string {
  return mkdtempSync(join(root, 'scratch-'));
}

/** Writes a file, its folders included. */
export function put(path: string, text: string | Uint8Array): string {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
  return path;
}

const shared = scratch();

/** Loads a text as `$MGW_CONF_DIR/micro-gw.conf`. */
export function load(text: string, options: Partial<LoadOptions> = {}): LoadedConfig {
  put(join(shared, 'micro-gw.conf'), text);
  const env = { MGW_HOME: join(shared, 'home'), MGW_CONF_DIR: shared, ...options.env };
  return loadConfig({ argv: options.argv ?? [], cwd: shared, env });
}

/** Every problem of a configuration that must be refused. */
export function problemsOf(
  text: string,
  options: Partial<LoadOptions> = {},
): readonly ConfigProblem[] {
  try {
    load(text, options);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

/** The only problem, as `code line key`. */
export function problemOf(text: string, options: Partial<LoadOptions> = {}): string {
  return problemsOf(text, options)
    .map(({ code, place, key }) => `${code} ${place.line ?? '-'} ${key ?? '-'}`)
    .join(' | ');
}

/** Messages of the warnings. */
export function warningsOf(text: string, options: Partial<LoadOptions> = {}): string[] {
  return load(text, options)
    .notes.filter(({ level }) => level === 'warn')
    .map(({ message }) => message);
}
