import { join } from 'node:path';
import { h2load } from '../h2load.ts';
import { underLoad, LOAD_CORE } from '../stage.ts';
import { PETS_PATH } from '../wrk.ts';
import { alternateWarm, measurementTable, type BenchCase } from './case.ts';
import { urlOf } from './wrk-case.ts';

const ROUNDS = 3;

/** HTTP/2 over TLS to the clients, HTTP/1.1 to the upstream. */
export const http2: BenchCase = {
  name: 'http2',
  title: 'HTTP/2 over TLS',
  async run(stage) {
    const { around, settings, token } = stage;
    const { rounds = ROUNDS } = settings;
    const targets = await stage.targets(['haproxy-plain', 'haproxy-jwt', 'own', 'node', 'fastify']);
    const log = join(around.folder, 'h2load.log');
    const results = await alternateWarm(stage, targets, rounds, (target, seconds) =>
      underLoad(target, () =>
        h2load(urlOf(target, true) + PETS_PATH, token, seconds, LOAD_CORE, log),
      ),
    );
    return {
      text: `${measurementTable(targets, results)}\n\n8 clients with 8 streams each, all with the same token: h2load sends the same fields with every request.`,
      aims: [],
    };
  },
};
