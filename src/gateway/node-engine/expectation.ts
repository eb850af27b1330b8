export type Expects = 'nothing' | 'continue' | 'unknown';

/**
 * What a request expects (RFC 9110 section 10.1.1). Node takes whatever has `100-continue` somewhere in it.
 * @param raw names in lower case and values, alternating
 */
export function expectation(raw: readonly string[]): Expects {
  let expects: Expects = 'nothing';
  for (let at = 0; at < raw.length; at += 2) {
    if (raw[at] !== 'expect') continue;
    const known: boolean = expects === 'nothing' && raw[at + 1]?.toLowerCase() === '100-continue';
    expects = known ? 'continue' : 'unknown';
  }
  return expects;
}
