import type { Assembly } from './assembly.ts';
import type { IssuerConfig, IssuerKeys } from './config.ts';
import { type Values } from './field.ts';
import type { Settings } from './schema.ts';
import { AUTH_SCHEMA } from './schema-auth.ts';
import { defaultOf } from './settings.ts';

type IssuerSettings = Settings['jwtTokenConfig'][number];

/** Where the default issuer, a token service on this machine, has its key set. */
const DEFAULT_KEY_SET = 'https://localhost:9443/oauth2/jwks';

/** WSO2's alias of API Manager's certificate. */
const DEFAULT_ALIAS = 'wso2apim310';

function defaultIssuer(): IssuerSettings {
  const keys = Object.entries(AUTH_SCHEMA.jwtTokenConfig.keys);
  return Object.fromEntries(keys.map(([name, field]) => [name, defaultOf(field)])) as Values<
    typeof AUTH_SCHEMA.jwtTokenConfig.keys
  >;
}

/** One of certificate alias, PEM file and key set; any two written ones contradict each other. */
function keysOf(issuer: IssuerSettings, at: string, assembly: Assembly): IssuerKeys {
  const written = (['certificateAlias', 'certificatePath', 'jwksURL'] as const).filter((name) =>
    assembly.has(`${at}.${name}`),
  );
  const [first, second] = written;
  if (first !== undefined && second !== undefined) {
    const problem = `and \`${first}\` (${assembly.whereIs(`${at}.${first}`)}) are both set: keep the one that has the issuer's keys`;
    assembly.contradiction(`${at}.${second}`, problem);
  }
  const { authConfig, listenerConfig } = assembly.read.settings;
  // Without a trust store there is no alias: the default issuer is asked for its keys, so that the defaults work as they are.
  const byDefault =
    first === undefined &&
    listenerConfig.trustStorePath === undefined &&
    issuer.issuer === AUTH_SCHEMA.jwtTokenConfig.keys.issuer.default;
  const url = issuer.jwksURL ?? (byDefault ? DEFAULT_KEY_SET : undefined);
  if (url !== undefined) {
    return {
      kind: 'jwks',
      url,
      refreshIntervalMs: authConfig.jwksRefreshInterval,
      maxStaleMs: authConfig.jwksMaxStale,
    };
  }
  if (issuer.certificatePath !== undefined) return { kind: 'pem', path: issuer.certificatePath };
  const { certificateAlias: alias } = issuer;
  return alias === undefined
    ? { kind: 'alias', alias: DEFAULT_ALIAS, byDefault: true }
    : { kind: 'alias', alias };
}

/** `[[jwtTokenConfig]]`, or one default issuer where there is none. */
export function assembleIssuers(assembly: Assembly): IssuerConfig[] {
  const written = assembly.read.settings.jwtTokenConfig;
  const firstWith = new Map<string, string>();
  return (written.length === 0 ? [defaultIssuer()] : written).map((issuer, i) => {
    const at = `jwtTokenConfig.${i}`;
    const other = firstWith.get(issuer.issuer);
    if (other !== undefined) {
      const problem = `is the same as \`${other}.issuer\` (${assembly.whereIs(`${other}.issuer`)}): an issuer can be configured once`;
      assembly.contradiction(`${at}.issuer`, problem);
    }
    firstWith.set(issuer.issuer, at);
    if (issuer.audience.length > 0 && !issuer.requireAud) {
      const problem = `is false, but \`audience\` (${assembly.whereIs(`${at}.audience`)}) asks for certain ones: remove one of the two`;
      assembly.contradiction(`${at}.requireAud`, problem);
    }
    return {
      issuer: issuer.issuer,
      audience: issuer.audience,
      keys: keysOf(issuer, at, assembly),
      algorithms: issuer.algorithms,
      requireSub: issuer.requireSub,
      requireAud: issuer.requireAud,
      requireExp: issuer.requireExp,
      requireJti: issuer.requireJti,
      requireIat: issuer.requireIat,
      ...(issuer.consumerKeyClaim === undefined
        ? {}
        : { consumerKeyClaim: issuer.consumerKeyClaim }),
    };
  });
}
