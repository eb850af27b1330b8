import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchTokens } from './tokens.ts';

/** All load has one address, and the case of idle connections more than a client would have. */
const CONNECTIONS = 12_000;

/** What differs from one gateway of the benchmark to the next. */
export interface GatewayHome {
  readonly engine: 'own' | 'node';
  readonly threads: number;
  readonly port: number;
  readonly securePort: number;
  /** Path of the access log. */
  readonly log: string;
  /** PEM, certificate and private key. */
  readonly certificate: string;
  /** URL of WSO2's revoked list. */
  readonly hub: string;
  readonly tokens: BenchTokens;
}

/** A gateway's `MGW_HOME`: every request is logged, metrics are always counted. */
export function writeGatewayHome(home: string, of: GatewayHome): void {
  mkdirSync(join(home, 'conf'), { recursive: true });
  writeFileSync(join(home, 'issuer.pem'), of.tokens.publicKeyPem);
  writeFileSync(
    join(home, 'conf/micro-gw.conf'),
    `[listenerConfig]
  host = "127.0.0.1"
  httpPort = ${of.port}
  httpsPort = ${of.securePort}
  tokenListenerPort = 0
  keyStorePath = "${of.certificate}"
  maxConnections = ${CONNECTIONS}
  maxConnectionsPerAddress = ${CONNECTIONS}
[operatorConfig]
  enable = false
[server]
  threads = ${of.threads}
  httpEngine = "${of.engine}"
[b7a.http.accesslog]
  path = "${of.log}"
[[jwtTokenConfig]]
  issuer = "${of.tokens.issuer}"
  certificatePath = "${home}/issuer.pem"
[tokenRevocationConfig]
  maxStaleness = "1d"
[tokenRevocationConfig.persistent]
  enablePersistentStorageRetrieval = true
  type = "default"
  endpointURL = "${of.hub}"
  username = "admin"
  password = "bench"
  reconcileInterval = "1h"
`,
  );
}
