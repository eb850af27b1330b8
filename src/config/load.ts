import { dirname, join } from 'node:path';
import { assemble } from './assemble.ts';
import { Assembly, type ConfigNote } from './assembly.ts';
import type { MgwConfig } from './config.ts';
import { Complaints, type Place } from './config-error.ts';
import { type Env, findFile, findHome } from './locate.ts';
import { readEnvironment, readFlags } from './overrides.ts';
import { readSettings } from './settings.ts';
import { parseTomlFile } from './toml-file.ts';

export interface LoadOptions {
  /** Words `--section.key=value` from the command line. */
  readonly argv?: readonly string[];
  /** Environment: `MGW_HOME`, `MGW_CONF_DIR`, overrides such as `b7a_log_level`, and what `${env:NAME}` names. */
  readonly env: Env;
  /** Folder that `./conf` and relative paths outside the file count from; absolute. */
  readonly cwd: string;
}

export interface LoadedConfig {
  readonly config: MgwConfig;
  /** The micro-gw.conf that was read; absent when the built-in defaults hold. */
  readonly file: string | undefined;
  /** What the start should say, in this order: the file, then warnings. */
  readonly notes: readonly ConfigNote[];
  /** Where a key was written, by its full name (`jwtTokenConfig.0.issuer`); else its table; else the file. For refusals that come later. */
  readonly placeOf: (key: string) => Place;
}

/**
 * Reads the configuration once: flag over environment over file over default.
 * @throws ConfigError with every problem at once
 * @throws OperatorError when the file cannot be found or read
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const { env, cwd } = options;
  const home = findHome(env, cwd);
  const found = findFile(env, cwd, home);
  const complaints = new Complaints();
  const entries = [
    ...(found === undefined
      ? []
      : parseTomlFile(found.text, found.path, dirname(found.path), complaints)),
    ...readEnvironment(env, cwd),
    ...readFlags(options.argv ?? [], cwd, complaints),
  ];
  const read = readSettings(entries, { home, env }, complaints);
  const assembly = new Assembly(read, complaints, found?.path);
  const config = assemble(assembly, home);
  complaints.throwIfAny();

  const where =
    found === undefined
      ? `No micro-gw.conf in ${join(home, 'conf')} or ${join(cwd, 'conf')}: built-in defaults are used`
      : `Configuration is read from ${found.path}`;
  const notes: ConfigNote[] = [
    { level: 'info', message: where },
    ...read.unsupported.map((message) => ({ level: 'warn' as const, message })),
    ...assembly.notes,
  ];
  return {
    config: freeze(config),
    file: found?.path,
    notes,
    placeOf: (key) => assembly.placeOf(key),
  };
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) freeze(inner);
  }
  return value;
}
