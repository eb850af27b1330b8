import { resolve } from 'node:path';
import { type Artifact, type ArtifactSource, loadArtifact, readArtifact } from './artifact.ts';
import type { IssuerOptions } from './auth/authenticator-options.ts';
import type { IssuerConfig, MgwConfig } from './config/config.ts';
import { type LoadedConfig, loadConfig, type LoadOptions } from './config/load.ts';
import { affordableConnections, descriptorLimit } from './descriptors.ts';
import { OperatorError } from './errors.ts';
import type { Log } from './log.ts';
import { type PlaceOf, withPlace } from './place.ts';
import { openTrust, readPem, type Trust } from './trust.ts';

const LOG_KEY = 'APIGateway';

/** Behind the refusal of an alias that nobody wrote. */
const OTHER_TRUST_STORE =
  '; the alias is the default one, and listenerConfig.trustStorePath names another store: set certificateAlias or jwksURL';

/** What a gateway is started with, and asked for again at a reload. */
export interface Loaded extends Pick<LoadedConfig, 'config' | 'notes' | 'placeOf'> {
  readonly artifact: Artifact;
  readonly artifactSource: ArtifactSource;
}

/** What stands in files that the configuration names. */
export interface Materials {
  readonly trust: Trust;
  readonly issuers: readonly IssuerOptions[];
}

/**
 * Reads configuration and artifact.
 * @param artifact its path
 * @throws OperatorError
 */
export async function load(from: LoadOptions, artifact: string): Promise<Loaded> {
  const { config, notes, placeOf } = loadConfig(from);
  const artifactSource = await readArtifact(resolve(from.cwd, artifact));
  return {
    config,
    notes,
    placeOf,
    artifact: await loadArtifact(artifactSource),
    artifactSource,
  };
}

/**
 * Reads what they name, refuses what does not fit together, and says what weakens the gateway.
 * @throws OperatorError
 */
export async function openMaterials(
  { config, placeOf, artifact }: Loaded,
  log: Log,
): Promise<Materials> {
  refuseUnaskable(config, artifact);
  sayWarnings(config, log);
  const trust = await openTrust(config, placeOf);
  for (const { level, message } of trust.notes) log[level](LOG_KEY, message);
  const issuers = await Promise.all(
    config.auth.issuers.map((issuer, i) => issuerOptions(issuer, i, config, trust, placeOf)),
  );
  return { trust, issuers };
}

/** The key of the configuration that says where an issuer's keys are. */
export function issuerKey(issuer: IssuerConfig | undefined, index: number): string {
  const keys = { jwks: 'jwksURL', alias: 'certificateAlias', pem: 'certificatePath' } as const;
  return `jwtTokenConfig.${index}.${keys[issuer?.keys.kind ?? 'pem']}`;
}

/** A route that wants the key manager asked needs one that can be. */
function refuseUnaskable({ keyManager }: MgwConfig, { apis }: Artifact): void {
  if (keyManager.basic !== undefined) return;
  for (const { file, routes } of apis)
    for (const { method, template, whenStale } of routes)
      if (whenStale === 'introspect')
        throw new OperatorError(
          'ERR_INTROSPECTION',
          `${method} ${template} of ${file} has x-portcullis-when-stale: introspect, but there are no credentials for the key manager: enable [keymanager.security.basic]`,
        );
}

/** What weakens the gateway is said at every start and reload. */
function sayWarnings(config: MgwConfig, log: Log): void {
  const { revocation, httpClients, limits } = config;
  if (revocation.sources.length === 0)
    log.warn(
      'TokenRevocation',
      'No revocation source is enabled: revoked tokens are admitted until they expire. Configure [tokenRevocationConfig]',
    );
  if (revocation.whenUnknown === 'allow')
    log.warn(
      'TokenRevocation',
      'tokenRevocationConfig.whenUnknown is "allow": until the revocation list was read, revoked tokens may be admitted',
    );
  if (httpClients.disableSslVerification)
    log.warn(
      LOG_KEY,
      'httpClients.disableSslVerification is true: nobody whom this gateway calls is checked to be who they are',
    );
  const connections = affordableConnections(limits.maxConnections);
  if (connections < limits.maxConnections)
    log.warn(
      LOG_KEY,
      `listenerConfig.maxConnections is ${limits.maxConnections}, but this process may have ${descriptorLimit()} descriptors: ${connections} clients may connect. Raise the limit (ulimit -n, LimitNOFILE)`,
    );
}

async function issuerOptions(
  issuer: IssuerConfig,
  index: number,
  { listeners }: MgwConfig,
  trust: Trust,
  placeOf: PlaceOf,
): Promise<IssuerOptions> {
  const { keys, algorithms, ...rules } = issuer;
  const common = { ...rules, ...(algorithms.length === 0 ? {} : { algorithms }) };
  if (keys.kind === 'jwks') return { ...common, keys: { kind: 'jwks', url: keys.url } };
  const pem = await withPlace(placeOf, issuerKey(issuer, index), async () => {
    try {
      return keys.kind === 'alias' ? trust.certificate(keys.alias) : await readPem(keys.path);
    } catch (cause) {
      if (!(cause instanceof OperatorError)) throw cause;
      const stranger =
        keys.kind === 'alias' && keys.byDefault === true && listeners.trustStore !== undefined;
      const remedy = stranger ? OTHER_TRUST_STORE : '';
      const message = `the key of issuer ${JSON.stringify(issuer.issuer)}: ${cause.message}${remedy}`;
      throw new OperatorError(cause.code, message, { cause });
    }
  });
  return { ...common, keys: { kind: 'certificate', pem } };
}
