import type { Entry } from './history.ts';
import type { Outcome } from './round.ts';
import type { ValidatorName, Violation } from './validators.ts';

/** Of one validator: more of the same tells nothing new. */
const SHOWN = 2;

/** One line of what happened in a run. */
export function summary({ seed, history, plan, violations }: Outcome): string {
  const results: Record<string, number> = {};
  let revoked = 0;
  for (const entry of history.entries) {
    if (entry.type === 'request') results[entry.result] = (results[entry.result] ?? 0) + 1;
    if (entry.type === 'revoke' && entry.result === 'ok') revoked++;
  }
  const of = (result: string): number => results[result] ?? 0;
  const verdict =
    violations.length === 0 ? 'good' : `FAILED ${[...countsOf(violations).keys()].join(', ')}`;
  return `seed ${seed}: ${verdict}; ${of('ok')} admitted, ${of('denied')} denied, ${of('unavailable')} unavailable, ${of('unknown')} unknown, ${revoked} revoked; ${plan.map(({ fault, at }) => `${fault.kind}@${(at / 1000).toFixed(1)}s`).join(' ')}`;
}

/** How often each kind of fault was made in all runs. */
export function faultTotals(outcomes: readonly Outcome['plan'][]): string {
  const totals = new Map<string, number>();
  for (const { fault } of outcomes.flat())
    totals.set(fault.kind, (totals.get(fault.kind) ?? 0) + 1);
  return [...totals].map(([kind, count]) => `${kind} ${count}`).join(', ');
}

function countsOf(violations: readonly Violation[]): Map<ValidatorName, number> {
  const counts = new Map<ValidatorName, number>();
  for (const { validator } of violations) counts.set(validator, (counts.get(validator) ?? 0) + 1);
  return counts;
}

/** Which validators failed, each with its first findings and the entries that show them. */
export function findings(violations: readonly Violation[]): string {
  const lines: string[] = [];
  for (const [validator, count] of countsOf(violations)) {
    lines.push(`  ${validator}: ${count} finding${count === 1 ? '' : 's'}`);
    for (const { text, excerpt } of violations
      .filter((violation) => violation.validator === validator)
      .slice(0, SHOWN)) {
      lines.push(`    ${text}`);
      for (const entry of excerpt) lines.push(`      ${lineOf(entry)}`);
    }
  }
  return lines.join('\n');
}

function lineOf(entry: Entry): string {
  const { type, ...rest } = entry;
  return `${type.padEnd(8)} ${JSON.stringify(rest)}`;
}
