/** Texts of the extensions that a new project begins with. Each does nothing; `micro-gw build` leaves an untouched one out. */

export const STARTUP_EXTENSION = `import type { StartupExtension } from 'portcullis';

/**
 * Called once, before the gateway opens its listeners. An error thrown here stops the start.
 * Everything this file needs comes in as arguments or from its own npm packages: \`micro-gw build\` bundles them.
 */
const startup: StartupExtension = () => {
  // For example: ({ log }) => log.info('StartupExtension', 'the petstore gateway starts')
};

export default startup;
`;

export const EXTENSION_FILTER = `import type { ExtensionFilter } from 'portcullis';

/**
 * Sees every request that passed authentication or needs none before it is forwarded, and every response head before it is sent, the
 * gateway's own faults included. Both parts are optional; what is not here costs nothing.
 */
const filter: ExtensionFilter = {
  // filterRequest(request) {
  //   if (request.method === 'DELETE') return { status: 403, body: 'not here' };
  //   request.headers.set('x-caller', request.subject ?? 'anonymous');
  //   return undefined;
  // },
  // filterResponse(response) {
  //   response.headers.delete('x-powered-by');
  // },
};

export default filter;
`;

export const TOKEN_REVOCATION_EXTENSION = `import type { RevocationExtension } from 'portcullis';

/**
 * Reads revoked tokens from a store of your own. It runs when [tokenRevocationConfig.persistent] has a \`type\` other than "default",
 * "etcd" and "event-stream"; every other key of that section is in \`context.config\`.
 *
 * 1. \`sink.add({ token, ttl })\` for everything that is revoked: a jti, a signature, a whole JWT or an opaque token. For all tokens that
 *    a user got until then: \`sink.rule({ claims: { sub }, issuedBefore: revokedAt })\`.
 * 2. \`sink.complete()\` once all of it was added. Until then secured calls are answered with 503.
 * 3. Keep following the store until \`context.signal\` aborts. An error thrown out of here is logged and the extension starts again.
 */
const revocation: RevocationExtension = async () => {
  // For example:
  // async (sink, { config, signal }) => {
  //   for (const token of await readAll(config['endpointURL'])) sink.add({ token });
  //   sink.complete();
  //   await follow(sink, signal);
  // }
};

export default revocation;
`;
