import { createOperatorApi, type OperatorApiOptions } from './admin/operator-api.ts';
import { ensureOperatorToken } from './admin/operator-token.ts';
import type { MgwConfig } from './config/config.ts';
import type { OperatorError } from './errors.ts';
import type { Log } from './log.ts';
import { GatewayOperations, type OperationsParts } from './operations/operations.ts';
import { type PlaceOf, withPlace } from './place.ts';
import { loadKeyStore } from './tls/key-store.ts';
import { readPem } from './trust.ts';

const LOG_KEY = 'OperatorApi';

export interface OperatorSetup {
  readonly config: MgwConfig;
  readonly placeOf: PlaceOf;
  readonly takeover: boolean;
  readonly log: Log;
}

/** Whatever the operator's listener needs from files. */
export interface OperatorCredentials {
  readonly token: string;
  readonly tls: OperatorApiOptions['tls'];
}

/**
 * Reads token, key store and authorities of the operator's listener; makes the token where there is none. Undefined where it is not enabled.
 * @throws OperatorError when one of them cannot be used
 */
export async function operatorCredentials({
  config: { operator },
  placeOf,
  log,
}: OperatorSetup): Promise<OperatorCredentials | undefined> {
  if (operator === undefined) return undefined;
  const { tokenPath, keyStore, clientCaPath } = operator;
  const key = (name: string) => () => `operatorConfig.${name}`;
  const { token, created, warnings } = await withPlace(placeOf, key('tokenPath'), () =>
    ensureOperatorToken(tokenPath),
  );
  if (created) log.info(LOG_KEY, `The operator's token was made: ${tokenPath}`);
  for (const warning of warnings) log.warn(LOG_KEY, warning);
  if (keyStore === undefined) return { token, tls: undefined };
  const { key: privateKey, cert } = await withPlace(placeOf, key('keyStorePath'), () =>
    loadKeyStore(keyStore.path, keyStore.password),
  );
  const clientCa =
    clientCaPath === undefined
      ? {}
      : { clientCa: [await withPlace(placeOf, key('clientCaPath'), () => readPem(clientCaPath))] };
  return { token, tls: { key: privateKey, cert, ...clientCa } };
}

/**
 * Opens the operator's listener, where it is enabled. A gateway that takes over does not wait for the address: it has it as soon as the
 * other one lets go of it. Returns how to end it, which may be done twice, with milliseconds for calls that are under way.
 * @throws OperatorError when it cannot listen as it is configured
 */
export async function startOperator(
  { config, placeOf, takeover, log }: OperatorSetup,
  credentials: OperatorCredentials | undefined,
  parts: OperationsParts,
): Promise<(graceMs?: number) => Promise<void>> {
  const { operator } = config;
  if (operator === undefined || credentials === undefined) return () => Promise.resolve();
  const { host, port, allowedHosts } = operator;
  const { token, tls } = credentials;
  const api = createOperatorApi(
    {
      host,
      port,
      token,
      allowedHosts,
      waitForAddress: takeover,
      ...(tls === undefined ? {} : { tls }),
    },
    new GatewayOperations(parts),
    log,
  );
  const listening = withPlace(placeOf, keyOf, () => api.listen()).then(({ url }) =>
    log.info(LOG_KEY, `The operator's API listens on ${url}`),
  );
  if (!takeover) await listening;
  // The gateway that has the address lets go of it when it is told to end, which may be long after this one serves.
  else
    listening.catch((error: unknown) =>
      log.error(LOG_KEY, error instanceof Error ? error.message : 'the API cannot listen'),
    );
  return (graceMs) => api.close(graceMs);
}

/** The key that is to be changed when the listener is refused. */
function keyOf({ code }: OperatorError): string {
  return code === 'ERR_OPERATOR_TLS' ? 'operatorConfig.keyStorePath' : 'operatorConfig.port';
}
