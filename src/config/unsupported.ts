/**
 * Keys that WSO2 API Microgateway 3.2 knows and Portcullis does not support yet: they are accepted with one warning each. `*` stands for
 * one segment, `**` at the end for one or more.
 */
export const UNSUPPORTED: readonly string[] = [
  'jwtConfig.header',
  'jwtTokenConfig.*.validateSubscription',
  'jwtTokenConfig.*.claimMapperClassName',
  'jwtTokenConfig.*.claims.**',
  'jwtTokenConfig.*.remoteUserClaimRetrievalEnabled',
  'security.validateSubscriptions',
  'apim.eventHub.enable',
  'apim.eventHub.serviceUrl',
  'apim.eventHub.internalDataContext',
  'apim.eventHub.username',
  'apim.eventHub.password',
  'apim.eventHub.eventListeningEndpoints',
  'apim.credentials.username',
  'apim.credentials.password',
  'keyManager.external',
  'keyManager.enableIntrospectForFailedJWT',
  'keyManager.enableLegacyMode',
  'keyManager.remoteUserClaimRetrievalEnabled',
  'keyManager.username',
  'keyManager.password',
  'keymanager.security.oauth2.**',
  'tokenRevocationConfig.enabledTokenRevocation',
  'caching.tokenCacheEvictionFactor',
  'jwtGeneratorConfig.**',
  'httpClients.enableHttp2',
  'httpClients.proxy.enable',
  'httpClients.proxy.enableInternalServices',
  'httpClients.proxy.host',
  'httpClients.proxy.port',
  'httpClients.proxy.username',
  'httpClients.proxy.password',
  'httpClients.poolConfig.maxActiveStreamsPerConnection',
  'httpClients.sslConfig.verifyHostname',
  'httpClients.sslConfig.protocolName',
  'httpClients.sslConfig.protocolVersions',
  'httpClients.sslConfig.ciphers',
  'httpClients.sslConfig.trustStorePath',
  'httpClients.sslConfig.trustStorePassword',
  'httpClients.trustStorePassword',
  'httpClients.responseLimits.maxStatusLineLength',
  'httpClients.responseLimits.maxEntityBodySize',
  'mutualSSLConfig.**',
  'throttlingConfig.**',
  'b7a.users.**',
  'b7a.http.tracelog.**',
  'b7a.observability.enabled',
  'b7a.observability.metrics.**',
  'b7a.observability.tracing.name',
  'b7a.observability.tracing.jaeger.**',
  'apikey.**',
  'validationConfig.enableRequestValidation',
  'validationConfig.enableResponseValidation',
  'analytics.**',
  'api.usage.data.path',
  'etcdurl',
  'etcdusername',
  'etcdpassword',
  'etcdtimer',
  'etcdbasepath',
];

/** `<endpoint>_prod_endpoint_0`, `<endpoint>_sand_0_etcdKey`, `<endpoint>_prod_basic_username`: upstreams overridden at the top level. */
const ENDPOINT_OVERRIDE =
  /^[A-Za-z0-9_]+_(?:prod|sand)_(?:endpoint_\d+|\d+_etcdKey|basic_(?:username|password))$/;

/** A single `[jwtTokenConfig]` has no index: each pattern with one is there without it too. */
const patterns = UNSUPPORTED.flatMap((pattern) => [pattern, pattern.replace('.*.', '.')]).map(
  (pattern) => pattern.split('.'),
);

function matches(pattern: readonly string[], path: readonly string[]): boolean {
  for (const [i, part] of pattern.entries()) {
    if (part === '**') return path.length > i;
    if (path[i] === undefined || (part !== '*' && part !== path[i])) return false;
  }
  return path.length === pattern.length;
}

/** Whether a key is one of {@link UNSUPPORTED} or overrides an endpoint. Indexes of arrays of tables are segments of the path. */
export function isUnsupported(path: readonly string[]): boolean {
  if (path.length === 1 && ENDPOINT_OVERRIDE.test(path[0] ?? '')) return true;
  return patterns.some((pattern) => matches(pattern, path));
}

/** Whether a table may be written because keys below it are known to WSO2. */
export function leadsToUnsupported(path: readonly string[]): boolean {
  return patterns.some((pattern) =>
    path.every((part, i) => {
      const at = pattern.indexOf('**');
      if (at !== -1 && i >= at) return true;
      return pattern[i] === '*' || pattern[i] === part;
    }),
  );
}
