import type { OperatorError } from '../errors.ts';

/** Enough to mend a configuration or a project in one go, few enough to read. */
const MOST = 50;

/** What standard error says of a refusal: the program's name, then each problem with its place, and its code in brackets at the end. */
export function complaint(program: string, error: OperatorError): string {
  const { each } = error;
  if (each === undefined) return `${program}: ${error.message} [${error.code}]\n`;
  const lines = each.slice(0, MOST).map(({ code, message }) => `  ${message} [${code}]\n`);
  if (each.length > MOST) lines.push(`  and ${each.length - MOST} more\n`);
  return `${program}: ${each.length} problems were found:\n${lines.join('')}`;
}
