import type { OutgoingRevocation, RevocationSink } from '../revocation/source.ts';
import type { RevocationEvent } from '../revocation/revocation.ts';
import { readRuleText } from './decode/rule-text.ts';
import { isJsonObject, parseJson } from './json-answer.ts';
import { percentDecoded } from './source-address.ts';

/** How a revoked token is written as an etcd entry, and read from one: by us, by WSO2's API Manager, or by hand. */

const NUMBER = /^\s*\d{1,20}(?:\.\d{1,10})?\s*$/;
/** Longer values are read as no hint at all. */
const MAX_VALUE_LENGTH = 4_096;

type EntryHints = Pick<RevocationEvent, 'issuer' | 'ttl' | 'expiryTime'>;

/**
 * The value of an entry that Portcullis writes: JSON with `expiryTime` (epoch milliseconds) and `issuer`, if one is meant. Whoever reads only keys, as
 * WSO2's gateway does, is not disturbed by it.
 */
export function entryValue({
  expiresAtMs,
  issuer,
}: Pick<OutgoingRevocation, 'expiresAtMs' | 'issuer'>): string {
  return JSON.stringify({ expiryTime: expiresAtMs, issuer });
}

/** Seconds an entry is kept: the rest of the token's life and a minute for clocks that differ. */
export function entryLifeSeconds(expiresAtMs: number, nowMs: number): number {
  return Math.max(0, Math.ceil((expiresAtMs - nowMs) / 1000)) + 60;
}

/**
 * Hands on what one key says. A name that is the text of a rule makes the rule; it ends by its own cut-off, because WSO2 gives such keys the
 * same hour as all others. Any other name is a token, as the value hints.
 * @param names everything that the key may mean
 */
export function deliverEntry(
  sink: RevocationSink,
  names: Iterable<string>,
  hints: EntryHints,
): void {
  const tokens: string[] = [];
  let isRule = false;
  for (const name of names) {
    const reading = readRuleText(name);
    if (reading === undefined) tokens.push(name);
    else if (reading.kind === 'rule') sink.rule(reading.event);
    else sink.drop(reading.reason);
    isRule ||= reading !== undefined;
  }
  if (!isRule) for (const token of tokens) sink.add({ token, ...hints });
}

/**
 * What an entry's value says of the token's life and issuer. The key alone revokes; a value is only a hint, so nothing in it is an
 * error: WSO2 writes `true`, and the documentation's example a number of unclear unit.
 */
export function hintsOfValue(value: string): EntryHints {
  if (value.length > MAX_VALUE_LENGTH) return {};
  if (NUMBER.test(value)) return { ttl: value.trim() };
  if (!value.startsWith('{')) return {};
  const object = parseJson(value);
  if (!isJsonObject(object)) return {};
  const { expiryTime, ttl, issuer } = object;
  return {
    ...(typeof expiryTime === 'number' && Number.isFinite(expiryTime) && { expiryTime }),
    ...((typeof ttl === 'number' || typeof ttl === 'string') && { ttl }),
    ...(typeof issuer === 'string' && issuer !== '' && { issuer }),
  };
}

/**
 * Hints of the value together with the seconds for which the store itself will keep the entry. Those are certain, so a bare number in
 * the value does not count beside them, and the end is given as epoch milliseconds, which no `ttlUnit` can misread. An entry that is
 * there is revoked, whatever its hints: it holds for `keepMs` from now at least (until the store was read again), because a writer may
 * renew an entry without telling.
 */
export function entryHints(
  value: string,
  secondsLeft: number | undefined,
  keepMs: number,
  nowMs: number,
): EntryHints {
  const { ttl, expiryTime, issuer } = hintsOfValue(value);
  const named = issuer !== undefined && { issuer };
  if (secondsLeft === undefined && ttl === undefined && expiryTime === undefined)
    return { ...named };
  const ends = [nowMs + keepMs];
  if (secondsLeft !== undefined) ends.push(nowMs + secondsLeft * 1000);
  if (typeof expiryTime === 'number') ends.push(expiryTime);
  return {
    ...named,
    ...(secondsLeft === undefined && ttl !== undefined && { ttl }),
    expiryTime: Math.max(...ends),
  };
}

/**
 * A token as the name of one v2 key. v2 reads `/` as a directory, hides names that begin with `_`, and cleans `.` and `..` away, so the
 * name is percent-encoded (and once more in the URL).
 */
export function v2KeyName(token: string): string {
  return encodeURIComponent(token.toWellFormed()).replace(/^[_.]/, (first) =>
    first === '_' ? '%5F' : '%2E',
  );
}

/**
 * The tokens that a v2 key may mean, from its path below the directory. A name that can be read in several ways (percent-encoded or not;
 * a token with slashes, or one in a sub-directory as WSO2 reads it) means each of them: denying one more is safe, one less is not.
 */
export function tokensOfV2Key(path: string): ReadonlySet<string> {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const tokens = new Set([percentDecoded(name), name, path]);
  tokens.delete('');
  return tokens;
}
