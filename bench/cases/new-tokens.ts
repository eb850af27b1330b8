import { underLoad, LOAD_CORE, type Target } from '../stage.ts';
import { PETS_PATH, writeWrkScript, wrk } from '../wrk.ts';
import { alternate, cpuAim, measurementTable, sayMeasurement, type BenchCase } from './case.ts';
import { FEW_FIELDS, urlOf } from './wrk-case.ts';

/** Of each round, that nobody has seen. */
const TOKENS = 12_000;
const WARM_UP_TOKENS = 12_000;
/** Whoever is not through by then has the figures of what was done. */
const SECONDS = 3;
const ROUNDS = 5;

/** Every token is new: each program gets the same list, once. */
export const newTokens: BenchCase = {
  name: 'new',
  title: 'Every token new (RS256)',
  async run(stage) {
    const { around, settings } = stage;
    const rounds = settings.rounds ?? ROUNDS;
    const targets = await stage.targets(['haproxy-jwt', 'own', 'node', 'fastify', 'krakend']);
    const list = async (count: number, id: string): Promise<string> => {
      const tokens = await around.tokens.fresh(count);
      const load = { path: PETS_PATH, fields: FEW_FIELDS, tokens, once: true };
      return writeWrkScript(around.folder, id, load);
    };
    console.log(`Making ${TOKENS} new tokens for each of ${rounds} rounds`);
    const warmUp = await list(WARM_UP_TOKENS, 'new-warm-up');
    const scripts: string[] = [];
    const more = async (): Promise<string> => {
      const script = await list(TOKENS, `new-${scripts.length}`);
      scripts.push(script);
      return script;
    };
    while (scripts.length < rounds) await more();
    // None gets a list twice: a measurement that is done again needs another one.
    const seen = new Map(targets.map((target) => [target, 0]));
    const unseen = async (target: Target): Promise<string> => {
      const next = seen.get(target) ?? 0;
      seen.set(target, next + 1);
      return scripts[next] ?? (await more());
    };
    const send = (target: Target, script: string, seconds: number) =>
      underLoad(target, () =>
        wrk({ url: urlOf(target, false), script, seconds, once: true, cores: LOAD_CORE }),
      );
    for (const target of targets) await send(target, warmUp, SECONDS);
    const results = await alternate(
      stage,
      targets,
      rounds,
      async (target) => send(target, await unseen(target), SECONDS),
      sayMeasurement,
    );
    const counts = `${TOKENS.toLocaleString('en')} new tokens for each round, ${SECONDS} s at most`;
    return {
      text: `${measurementTable(targets, results)}\n\n${counts}.`,
      aims: [cpuAim('every token new: CPU, to HAProxy with JWT', 1.35, results, 'haproxy-jwt')],
    };
  },
};
