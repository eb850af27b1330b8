import { join } from 'node:path';
import { h2load } from '../h2load.ts';
import { underLoad, LOAD_CORE, type Target } from '../stage.ts';
import { PETS_PATH } from '../wrk.ts';
import { alternate, measurementTable, sayMeasurement, type BenchCase } from './case.ts';
import { urlOf } from './wrk-case.ts';

const ROUNDS = 3;

/** HTTP/2 over TLS to the clients, HTTP/1.1 to the upstream. */
export const http2: BenchCase = {
  name: 'http2',
  title: 'HTTP/2 over TLS',
  async run(stage) {
    const { around, settings, token } = stage;
    const { seconds, warmUpSeconds, rounds = ROUNDS } = settings;
    const targets = await stage.targets(['haproxy-plain', 'haproxy-jwt', 'own', 'node', 'fastify']);
    const log = join(around.folder, 'h2load.log');
    const send = (target: Target, seconds: number) =>
      underLoad(target, () =>
        h2load(urlOf(target, true) + PETS_PATH, token, seconds, LOAD_CORE, log),
      );
    for (const target of targets) if (warmUpSeconds > 0) await send(target, warmUpSeconds);
    const results = await alternate(
      targets,
      rounds,
      async (target) => {
        if (warmUpSeconds > 0) await send(target, 1);
        return await send(target, seconds);
      },
      sayMeasurement,
    );
    return {
      text: `${measurementTable(targets, results)}\n\n8 clients with 8 streams each, all with the same token: h2load sends the same fields with every request.`,
      aims: [],
    };
  },
};
