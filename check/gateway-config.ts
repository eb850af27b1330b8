import { READER } from '../test/support/product.ts';
import type { Member } from './member.ts';
import { etcdUrl, jmsUrl, type Servers } from './servers.ts';

/** Where a gateway of the check listens, on 127.0.0.1. */
export interface MemberPorts {
  readonly http: number;
  readonly https: number;
  readonly tokens: number;
  readonly operator: number;
}

/** Text of micro-gw.conf, after the tables of issuers. */
export function gatewayConfig(
  servers: Servers,
  { kind, links, ports, stateFolder, subscription }: Member,
  maxStalenessMs: number,
): string {
  const durable = subscription === undefined ? '' : `durableSubscription = "${subscription}"`;
  const topic = `
[tokenRevocationConfig.realtime]
  enableRealtimeMessageRetrieval = true
  jmsConnectionProviderUrl = "${jmsUrl(links.broker.port)}"
  ${durable}
`;
  // Only what has to notice a loss by itself may be the reason to read again: hence the intervals.
  const etcd = `
  type = "etcd"
  endpointURL = "${etcdUrl(links.etcd.port)}"
  username = ""
  password = ""
  reconcileInterval = "1d"
`;
  const store =
    kind === 'pair'
      ? `
[tokenRevocationConfig.persistent]
  enablePersistentStorageRetrieval = true
  ${etcd}`
      : `
[[tokenRevocationConfig.sources]]
  name = "store"
  ${etcd}`;
  const service = `
[[tokenRevocationConfig.sources]]
  name = "token-service"
  type = "event-stream"
  endpointURL = "https://localhost:${links.service.port}/internal/data/v1/revocation-events"
  username = "${READER.username}"
  password = "${READER.password}"
  reconcileInterval = "1d"
`;
  return `
[[jwtTokenConfig]]
  issuer = "${servers.serviceIssuer}"
  jwksURL = "https://localhost:${links.service.port}/oauth2/jwks"
[listenerConfig]
  host = "127.0.0.1"
  httpPort = ${ports.http}
  httpsPort = ${ports.https}
  tokenListenerPort = ${ports.tokens}
  trustStorePath = "${servers.serviceCaFile}"
[server]
  threads = 2
[operatorConfig]
  port = ${ports.operator}
[tokenRevocationConfig]
  longestTokenLife = "2d"
  maxStaleness = "${maxStalenessMs}ms"
  whenStale = "deny"
  stateFolder = "${stateFolder}"
${topic}${kind === 'topic' ? '' : store + service}`;
}
