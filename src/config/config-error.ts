import { OperatorError, type OperatorErrorCode } from '../errors.ts';

/** Where a value was written. */
export interface Place {
  /** micro-gw.conf; absent for flags, environment and what is missing. */
  readonly file?: string;
  /** 1-based line in `file`. */
  readonly line?: number;
  /** How a flag or environment variable is called, for messages: `--server.header`. */
  readonly source?: string;
}

/** One thing that is wrong with the configuration. */
export interface ConfigProblem {
  readonly code: OperatorErrorCode;
  /** Full name of the key: `listenerConfig.httpPort`. Absent for what concerns the whole file. */
  readonly key: string | undefined;
  /** What is wrong and what to write instead; never a secret. */
  readonly message: string;
  readonly place: Place;
  /** The known name that was most likely meant. */
  readonly nearest?: string;
}

function text(problem: ConfigProblem): string {
  const source = problem.place.source === undefined ? '' : `${problem.place.source}: `;
  return `${source}${problem.message}`;
}

function withPlace(problem: ConfigProblem): string {
  const { file, line } = problem.place;
  const where = file === undefined ? '' : `${file}${line === undefined ? '' : `:${line}`}: `;
  return where + text(problem);
}

/** The configuration was refused. Has all its problems; `code`, `file` and `line` are the first one's. */
export class ConfigError extends OperatorError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly [ConfigProblem, ...ConfigProblem[]]) {
    const [first, ...others] = problems;
    super(first.code, [text(first), ...others.map(withPlace)].join('\n'), {
      ...(first.place.file === undefined ? {} : { file: first.place.file }),
      ...(first.place.line === undefined ? {} : { line: first.place.line }),
      ...(others.length === 0
        ? {}
        : { each: problems.map((one) => ({ code: one.code, message: withPlace(one) })) }),
    });
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** Collects problems, so that all of them are reported at once. */
export class Complaints {
  readonly #problems: ConfigProblem[] = [];
  readonly #keys = new Set<string>();

  /** Adds a problem; a second one of the same key is a consequence of the first, and is not told. */
  add(problem: ConfigProblem): void {
    if (problem.key !== undefined) {
      if (this.#keys.has(problem.key)) return;
      this.#keys.add(problem.key);
    }
    this.#problems.push(problem);
  }

  /** Whether a key has a problem already. */
  has(key: string): boolean {
    return this.#keys.has(key);
  }

  /** @throws ConfigError when there is any problem, in the order of the file's lines, then flags and environment. */
  throwIfAny(): void {
    const [first, ...others] = this.#problems.toSorted(
      (a, b) => (a.place.line ?? Infinity) - (b.place.line ?? Infinity) || 0,
    );
    if (first !== undefined) throw new ConfigError([first, ...others]);
  }
}
