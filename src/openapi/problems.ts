import { OperatorError } from '../errors.ts';
import type { OperatorErrorCode } from '../errors.ts';

/** Where in the project something is wrong. */
export interface Place {
  readonly file: string;
  /** 1-based. */
  readonly line?: number;
}

/** Enough to mend a project in one go, few enough to read. */
const MAX_SHOWN = 50;

/** Everything wrong with a project, gathered so that one run reports all of it. */
export class Problems {
  readonly warnings: string[] = [];
  readonly #found = new Map<string, OperatorError>();

  get count(): number {
    return this.#found.size;
  }

  /** @param remedy a whole sentence: what to do about it */
  refuse(code: OperatorErrorCode, place: Place, message: string, remedy: string): void {
    const error = new OperatorError(code, `${sentence(message)} ${remedy}`, place);
    if (!this.#found.has(error.message)) this.#found.set(error.message, error);
  }

  /** A definition that says something wrong. */
  invalid(place: Place, message: string, remedy: string): void {
    this.refuse('ERR_DEFINITION', place, message, remedy);
  }

  /** A definition that asks for something WSO2 has and Portcullis does not have yet. */
  notBuilt(place: Place, feature: string, remedy: string): void {
    this.refuse('ERR_NOT_BUILT_YET', place, `${feature} is not built yet`, remedy);
  }

  warn(place: Place, message: string): void {
    const line = place.line === undefined ? '' : `:${place.line}`;
    const text = `${place.file}${line}: ${message}`;
    if (!this.warnings.includes(text)) this.warnings.push(text);
  }

  /** Throws one {@link OperatorError} for everything found, sorted by place. */
  throwIfAny(): void {
    const errors = [...this.#found.values()].sort(byPlace);
    const [first] = errors;
    if (first === undefined) return;
    if (errors.length === 1) throw first;
    const shown = errors.slice(0, MAX_SHOWN).map((error) => `  ${error.message}`);
    if (errors.length > MAX_SHOWN) shown.push(`  and ${errors.length - MAX_SHOWN} more`);
    throw new OperatorError(
      first.code,
      `${errors.length} problems were found:\n${shown.join('\n')}`,
      { each: errors },
    );
  }
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function byPlace(a: OperatorError, b: OperatorError): number {
  const files = compare(a.file ?? '', b.file ?? '');
  return files === 0 ? (a.line ?? 0) - (b.line ?? 0) : files;
}

/** By code unit: the order must not depend on the machine's locale. */
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
