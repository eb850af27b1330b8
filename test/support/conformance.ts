import { existsSync } from 'node:fs';

const FOLDER = process.env['PORTCULLIS_CONFORMANCE'] ?? '../shared/conformance';

/** Where public test vectors are; undefined, said loudly, where they are not on this machine (never in CI). */
export function vectorsAt(path: string): string | undefined {
  const place = `${FOLDER}/${path}`;
  if (existsSync(place)) return place;
  if (process.env['CI'] === 'true') throw new Error(`test vectors are missing: ${place}`);
  console.warn(`NOT TESTED: no test vectors at ${place}; set PORTCULLIS_CONFORMANCE`);
  return undefined;
}
