import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startEtcd, type Etcd } from '../test/support/etcd.ts';
import { freePort } from '../test/support/free-port.ts';
import { testIssuer, type TestIssuer } from '../test/support/issuer.ts';
import {
  buildPetstore,
  owned,
  startTokenService,
  temporaryFolder,
  type TokenService,
} from '../test/support/product.ts';
import { startRabbitmq, type Rabbitmq } from '../test/support/rabbitmq.ts';
import { startTcpRelay, type TcpRelay } from '../test/support/tcp-relay.ts';
import type { Endings } from './owner.ts';

/** Request header by which a call makes the thread that answers it fail; its value says how. */
export const THREAD_FAULT = 'x-check-thread-fault';

/** An extension that lets the check end single threads: by an error that nobody catches, or at once. */
const FAULTY_FILTER = `import type { ExtensionFilter } from 'portcullis';

const filter: ExtensionFilter = {
  filterRequest({ headers }) {
    const fault = headers.get('${THREAD_FAULT}');
    if (fault === undefined) return undefined;
    if (fault === 'throw') setImmediate(() => { throw new Error('thrown by the fault check'); });
    else setImmediate(() => process.exit(1));
    return { status: 204 };
  },
};

export default filter;
`;

/** What the gateways depend on; real programs, the same for every run of the check. */
export interface Servers {
  readonly broker: Rabbitmq;
  readonly etcd: Etcd;
  /** The present one; another after a restart. */
  readonly service: TokenService;
  readonly servicePort: number;
  /** PEM file of the CA that vouches for the token service. */
  readonly serviceCaFile: string;
  readonly serviceIssuer: string;
  /** The ways of the token service to what it publishes to. */
  readonly serviceLinks: { readonly broker: TcpRelay; readonly etcd: TcpRelay };
  /** Signs tokens without any server. */
  readonly issuer: TestIssuer;
  readonly artifact: string;
  killService(): Promise<void>;
  startService(): Promise<void>;
}

/** The JMS connection URL of a broker behind this port. An attempt on a dead link must not outlast the time that gateways have to agree. */
export function jmsUrl(port: number): string {
  return `amqp://guest:guest@carbon/?brokerlist='tcp://127.0.0.1:${port}?connecttimeout='3000''`;
}

/** The etcd URL of the list of revocations behind this port. */
export function etcdUrl(port: number): string {
  return `http://localhost:${port}/v3/keys/jti/`;
}

/** Starts broker, store, token service and upstream; `endings` ends them. */
export async function startServers(endings: Endings): Promise<Servers> {
  const { artifact } = await buildPetstore(endings, {
    extensions: { 'extension_filter.ts': FAULTY_FILTER },
  });
  const [broker, etcd] = await Promise.all([startRabbitmq(), startEtcd()]);
  owned(endings, () => broker.stop());
  owned(endings, () => etcd.close());
  await etcd.stop();
  await etcd.saveCopy();
  await etcd.start();
  const serviceLinks = {
    broker: await startTcpRelay(broker.port),
    etcd: await startTcpRelay(etcd.port),
  };
  for (const link of Object.values(serviceLinks)) owned(endings, () => link.close());
  const home = await temporaryFolder(endings, 'service');
  await mkdir(join(home, 'state'));
  const servicePort = await freePort();
  const startService = (): Promise<TokenService> =>
    startTokenService(endings, {
      home,
      words: [
        '--port',
        String(servicePort),
        '--state',
        'state',
        '--publish-etcd',
        etcdUrl(serviceLinks.etcd.port),
      ],
      env: { MGW_PUBLISH_JMS: jmsUrl(serviceLinks.broker.port) },
    });
  let service = await startService();
  return {
    broker,
    etcd,
    get service() {
      return service;
    },
    servicePort,
    serviceCaFile: join(home, 'security/local-ca.pem'),
    serviceIssuer: `https://localhost:${servicePort}/oauth2/token`,
    serviceLinks,
    issuer: testIssuer('ES256'),
    artifact,
    async killService() {
      service.program.signal('SIGKILL');
      await service.program.ended();
    },
    async startService() {
      service = await startService();
    },
  };
}
