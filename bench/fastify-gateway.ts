/**
 * `@fastify/http-proxy` with `@fastify/jwt`, as a peer of the benchmark: the file named by its argument says where it listens and what it checks.
 * Verified tokens are cached, the revoked ids are a Set. Without a log, as it is by default.
 */
import { readFileSync } from 'node:fs';
import { fastifyHttpProxy } from '@fastify/http-proxy';
import { fastifyJwt } from '@fastify/jwt';
import { fastify, type FastifyInstance } from 'fastify';

/** What the file says. */
export interface FastifyOrder {
  readonly port: number;
  readonly securePort: number;
  readonly upstreamPort: number;
  readonly certificate: string;
  readonly issuer: string;
  readonly publicKeyPem: string;
  readonly revokedIds: readonly string[];
}

/** As many as the gateway's default. */
const CACHED_TOKENS = 10_000;

const order = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as FastifyOrder;
const pem = readFileSync(order.certificate);
const revoked = new Set(order.revokedIds);

async function serve(app: FastifyInstance, port: number): Promise<void> {
  await app.register(fastifyJwt, {
    secret: { public: order.publicKeyPem },
    verify: { algorithms: ['RS256'], allowedIss: order.issuer, cache: CACHED_TOKENS },
    trusted: (_request, token) => !revoked.has(String(token['jti'])),
  });
  // With a callback instead, it would make a verifier with an empty cache for each request.
  app.addHook('onRequest', async (request) => {
    await request.jwtVerify();
  });
  await app.register(fastifyHttpProxy, {
    upstream: `http://127.0.0.1:${order.upstreamPort}`,
    prefix: '/petstore/v1',
    rewritePrefix: '/v2',
    replyOptions: {
      rewriteRequestHeaders: (request, received) => {
        const fields = { ...received, 'x-forwarded-for': request.socket.remoteAddress };
        delete fields.authorization;
        return fields;
      },
    },
  });
  await app.listen({ host: '127.0.0.1', port });
}

await serve(fastify(), order.port);
await serve(
  fastify({
    http2: true,
    https: { allowHTTP1: true, key: pem, cert: pem },
  }) as unknown as FastifyInstance,
  order.securePort,
);
