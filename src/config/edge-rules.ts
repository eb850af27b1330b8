import type { Assembly } from './assembly.ts';
import type { EdgeConfig } from './config.ts';

/** What an open value costs, as it is told at every start. Values that are not here open nothing. */
export const CONSEQUENCES: Readonly<Record<string, readonly [opens: string, consequence: string]>> =
  {
    dotSegments: [
      'normalise',
      'the upstream gets the resolved path, and a client that meant the dots literally is misread',
    ],
    emptySegments: [
      'merge',
      '`//a` is `/a` for everybody here, and an upstream that tells them apart is never asked for the first',
    ],
    encodedSlash: [
      'keep',
      '`%2F` and `%5C` stay text within a segment, and an upstream that decodes them sees another path than the one that was allowed',
    ],
    pathParameters: [
      'keep',
      '`;x` is text, and a servlet container behind this gateway reads another path than the one that was allowed',
    ],
    underscoreNames: [
      'pass',
      'CGI-like upstreams take `X_User` for `X-User`, so a client can set fields that somebody before or behind this gateway believes',
    ],
    methodOverride: ['pass', 'an upstream may do another method than the one that was allowed'],
    trace: ['serve', 'an upstream reflects cookies and tokens to whatever script asks'],
    duplicateCredentials: [
      'first',
      'whoever read the request before this gateway may have taken the other one: two identities in one request',
    ],
    forwardedFields: [
      'pass',
      'every client can claim any address, host and scheme at the upstreams',
    ],
    nominatedFields: [
      'keep',
      'fields that a client named in `Connection`, meant for one hop only, reach the upstream',
    ],
  };

/** The rules as written, with one warning for each that is open. */
export function assembleEdgeRules(assembly: Assembly): EdgeConfig {
  const { edgeRules } = assembly.read.settings;
  for (const [key, value] of Object.entries(edgeRules)) {
    const [opens, consequence] = CONSEQUENCES[key] ?? [];
    if (value === opens)
      assembly.warn(`\`edgeRules.${key} = "${value}"\` opens a rule: ${consequence}`);
  }
  return edgeRules;
}
