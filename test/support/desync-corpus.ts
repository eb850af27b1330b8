import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { vectorsAt } from './conformance.ts';

/** One request of the desync corpus (AWS http-desync-guardian), with how dangerous it is. */
export interface DesyncCase {
  readonly name: string;
  readonly uri: string;
  readonly method: string;
  readonly version: string;
  readonly headers: readonly { readonly name: string; readonly value: string | number }[] | null;
  readonly expected: { readonly tier: DesyncTier };
}

export type DesyncTier = 'Compliant' | 'Acceptable' | 'Ambiguous' | 'Severe';

/** How many cases there are of each. */
export const DESYNC_COUNTS: Readonly<Record<DesyncTier, number>> = {
  Compliant: 28,
  Acceptable: 15,
  Ambiguous: 58,
  Severe: 58,
};

/** Compliant requests that are refused here all the same, none for its framing by one length or by chunks. */
export const REFUSED_COMPLIANT: ReadonlySet<string> = new Set([
  // A transfer coding beside chunked, or parameters of it: two parties may undo them differently.
  'Different Transfer-Encoding headers',
  'Different Transfer-Encoding headers combined',
  'Transfer-Encoding with a param: chunked;custom_param',
  'Transfer-Encoding: identity and chunked OK',
  'Multiple transfer encoding headers in a single request OK',
  'Correct TE OK',
  'TE with custom parameters OK',
  'Compliant URL', // fragment and backslash
  'International in URI', // raw UTF-8
  'Empty URI',
]);

/** All cases; undefined where the vectors are not on this machine. */
export function desyncCases(): DesyncCase[] | undefined {
  const folder = vectorsAt('http-desync-guardian/tests');
  if (folder === undefined) return undefined;
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .flatMap((file) => parse(readFileSync(`${folder}/${file}`, 'utf8')) as DesyncCase[]);
}

/** The request, with a Host of its own so that only the case decides, and the body that its framing promises. */
export function desyncBytes({ uri, method, version, headers }: DesyncCase): Buffer {
  const fields = headers ?? [];
  const own = fields.some(({ name }) => name.toLowerCase() === 'host') ? '' : 'Host: h\r\n';
  const lines = fields.map(({ name, value }) => `${name}: ${value}\r\n`).join('');
  const chunked = fields.some(
    ({ name, value }) => /^transfer-encoding$/i.test(name) && /chunked/i.test(String(value)),
  );
  const length = fields.find(
    ({ name, value }) => /^content-length$/i.test(name) && /^\s*\d{1,7}\s*$/.test(String(value)),
  );
  const body = chunked ? '0\r\n\r\n' : 'x'.repeat(Number(length?.value ?? 0));
  const end = version === '' ? '' : ` ${version}`;
  return Buffer.from(`${method} ${uri}${end}\r\n${own}${lines}\r\n${body}`, 'utf8');
}
