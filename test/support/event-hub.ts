import type { RequestListener } from 'node:http';
import { startHttpServer } from './http-server.ts';
import { owned, type Owner } from './product.ts';

/** An event hub of WSO2's, as far as a gateway reads revoked tokens from it. */
export interface EventHub {
  /** Tables of micro-gw.conf of a gateway whose persistent source it is, with further lines of the last one. */
  config(...more: readonly string[]): string;
}

/** Starts one that answers every request as a test wants. */
export async function startEventHub(owner: Owner, answer: RequestListener): Promise<EventHub> {
  const server = await startHttpServer(answer);
  owned(owner, () => server.close());
  return {
    config: (...more) => `[tokenRevocationConfig.persistent]
      enablePersistentStorageRetrieval = true
      type = "default"
      endpointURL = "${server.url}/internal/data/v1"
      username = "admin"
      password = "admin"
      ${more.join('\n      ')}
    `,
  };
}
