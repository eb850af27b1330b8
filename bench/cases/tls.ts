import { PETS_PATH } from '../wrk.ts';
import { cpuAim } from './case.ts';
import { FEW_FIELDS, wrkCase } from './wrk-case.ts';

/** Live tokens in turn over kept connections with TLS. */
export const tls = wrkCase({
  name: 'tls',
  title: 'TLS, keep-alive, live tokens',
  targets: ['haproxy-plain', 'haproxy-jwt', 'own', 'node', 'fastify'],
  rounds: 5,
  path: PETS_PATH,
  fields: FEW_FIELDS,
  secure: true,
  notes:
    'HTTP/1.1 over TLS 1.3 to the clients, without TLS to the upstream. All have the same certificate.',
  aims: (results) => [
    cpuAim('TLS, live tokens: CPU, to HAProxy with TLS and JWT', 0.8, results, 'haproxy-jwt'),
  ],
});
