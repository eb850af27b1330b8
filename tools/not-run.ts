/** Tests that a run left out, read from the report that `node --test --test-reporter=tap` wrote of it: one line of the report for each. */
export function notRun(report: string): string[] {
  return report.split('\n').filter((line) => /^\s*ok \d+ - .* # SKIP\b/.test(line));
}

/** The last words of `npm run verify`; what was not run comes first, so that nobody takes "passed" for all of it. */
export function closingWords(left: readonly string[], minutes: number): string {
  const time = `in ${minutes.toFixed(1)} min`;
  if (left.length === 0) return `verify: everything passed ${time}`;
  const vectors = process.env['PORTCULLIS_CONFORMANCE'] ?? '../shared/conformance';
  const tests = left.length === 1 ? '1 test was' : `${left.length} tests were`;
  return [
    ...left.map((line) => `NOT RUN: ${line.trim().replace(/^ok \d+ - /, '')}`),
    `verify: ${tests} NOT RUN, because there are no test vectors at ${vectors}. PORTCULLIS_CONFORMANCE names another folder, see CONTRIBUTING.md.`,
    `verify: everything else passed ${time}`,
  ].join('\n');
}
