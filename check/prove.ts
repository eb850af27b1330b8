import { join } from 'node:path';
import { startCluster, type Cluster } from './cluster.ts';
import { FAULTS, type Fault } from './faults.ts';
import type { Channel } from './history.ts';
import type { Possible } from './member.ts';
import { appliedLine, type Replacement } from './mutation.ts';
import { MUTANT_RUN_MS, mutatedEnvironment, type Mutant } from './mutants.ts';
import type { Endings } from './owner.ts';
import type { PlannedFault } from './plan.ts';
import { runRound, type Outcome } from './round.ts';
import type { Servers } from './servers.ts';
import type { ValidatorName } from './validators.ts';

export interface ProofOptions {
  readonly servers: Servers;
  readonly endings: Endings;
  readonly possible: Possible;
  readonly channels: readonly Channel[];
  readonly maxStalenessMs: number;
  readonly seed: number;
  /** Where histories go. */
  readonly folder: string;
}

/** What became of one mutant. */
export interface Proof {
  readonly mutant: Mutant;
  readonly outcome: Outcome;
  /** Validators that failed and were meant to. Empty: the bug was not caught. */
  readonly caughtBy: readonly ValidatorName[];
  /** The same run without the bug, where the product was hurried for it. */
  readonly control?: Outcome;
}

/** Runs gateways with the bug through faults that are aimed at it. */
export async function prove(mutant: Mutant, options: ProofOptions): Promise<Proof> {
  const hurry = mutant.hurry ?? [];
  const control = hurry.length === 0 ? undefined : await runWith(mutant, hurry, 'control', options);
  const outcome = await runWith(mutant, [...hurry, ...mutant.replacements], 'bug', options);
  const failed = new Set(outcome.violations.map(({ validator }) => validator));
  const caughtBy = mutant.caughtBy.filter((validator) => failed.has(validator));
  return { mutant, outcome, caughtBy, ...(control === undefined ? {} : { control }) };
}

async function runWith(
  mutant: Mutant,
  replacements: readonly Replacement[],
  what: string,
  options: ProofOptions,
): Promise<Outcome> {
  const { servers, endings, possible, channels, maxStalenessMs, seed } = options;
  const cluster = await startCluster(servers, endings, possible, {
    maxStalenessMs,
    env: mutatedEnvironment(replacements),
  });
  try {
    const outcome = await runRound(servers, cluster, {
      seed,
      durationMs: MUTANT_RUN_MS,
      channels,
      faults: [],
      plan: mutant.faults.map(planned),
      path: join(options.folder, `${mutant.name}-${what}.jsonl`),
      stopAtFinding: true,
    });
    checkApplied(cluster, replacements);
    return outcome;
  } finally {
    await cluster.close();
  }
}

function planned({ kind, at, target }: Mutant['faults'][number]): PlannedFault {
  const fault: Fault | undefined = FAULTS.find((candidate) => candidate.kind === kind);
  if (fault === undefined) throw new Error(`there is no fault ${kind}`);
  return { at, fault: target === undefined ? fault : { ...fault, target: () => target } };
}

/** A gateway that never loaded the file was none of the mutants. */
function checkApplied({ members }: Cluster, replacements: readonly Replacement[]): void {
  for (const file of new Set(replacements.map((replacement) => replacement.file)))
    if (!members.some((member) => member.output().includes(appliedLine(file))))
      throw new Error(`no gateway has loaded ${file}, which was to be mutated`);
}
