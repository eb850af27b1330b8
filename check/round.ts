import { until } from '../test/support/until.ts';
import { look } from './client.ts';
import type { Cluster } from './cluster.ts';
import { CLOCK_STEP_MS, type Fault } from './faults.ts';
import type { Stage } from './stage.ts';
import { History, type Channel } from './history.ts';
import { MEDIA, type Measured } from './member.ts';
import { carryOut, planFaults, type PlannedFault } from './plan.ts';
import { Random } from './random.ts';
import { Revoker } from './revoke.ts';
import type { Servers } from './servers.ts';
import { Tokens } from './tokens.ts';
import { Traffic } from './traffic.ts';
import { validate, type Rules, type Violation } from './validators.ts';
import { watchBroker, watchEtcd } from './witness.ts';

/** Beyond `maxStaleness`: a heartbeat that was on its way for as long as the slowest link of the check takes. */
const SLACK_MS = 500;
const OWN_BOUND_MS = 50;
const AGREEMENT_MS = 10_000;
/** How long revocations that were begun may still be tried after the last fault. */
const LAST_TRIES_MS = 8_000;
const PROBES_AT_ONCE = 12;
const SETTLE_MS = 6_000;

export interface RoundOptions {
  readonly seed: number;
  /** Milliseconds of traffic, the time to mend included. */
  readonly durationMs: number;
  readonly channels: readonly Channel[];
  /** What may go wrong; how many of these do is by the duration. */
  readonly faults: readonly Fault[];
  /** Exactly this goes wrong instead. */
  readonly plan?: readonly PlannedFault[];
  /** JSONL file of the history. */
  readonly path: string;
  /** Once something was admitted or denied that must not have been, nobody waits for agreement. */
  readonly stopAtFinding?: boolean;
}

export interface Outcome {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly history: History;
  readonly plan: readonly PlannedFault[];
  /** The gateways, for what they printed. */
  readonly members: readonly { readonly name: string; output(): string }[];
}

/** Milliseconds that a plan has for each of its faults. */
const PER_FAULT_MS = 2_800;
/** Milliseconds at the end of a run without new faults. */
const CALM_MS = 5_000;

/** One run of one seed: traffic and faults, mending, a last look at everything, and the verdict. */
export async function runRound(
  servers: Servers,
  cluster: Cluster,
  options: RoundOptions,
): Promise<Outcome> {
  const { seed, channels } = options;
  const random = new Random(seed);
  const history = new History(options.path);
  const tokens = new Tokens(history, `s${seed}t`);
  const over = new AbortController();
  const revoker = new Revoker(servers, history, over.signal);
  const { members, maxStalenessMs } = cluster;
  const stage: Stage = {
    servers,
    members,
    history,
    tokens,
    revoker,
    random,
    channels,
    maxStalenessMs,
  };
  const room = options.durationMs - CALM_MS;
  const plan =
    options.plan ??
    planFaults(seed, random, options.faults, Math.max(1, Math.floor(room / PER_FAULT_MS)), room);
  cluster.listener = (gateway, event, detail) =>
    history.add({ type: 'member', at: history.now(), gateway, event, detail });
  const witnessed = new AbortController();
  const see = (medium: 'broker' | 'etcd') => (jti: string) => {
    const token = tokens.byJti(jti);
    if (token !== undefined) revoker.sighted(token, medium);
  };
  const queue = `check-witness-${servers.broker.port}`;
  const witnesses = [
    watchBroker(servers, queue, see('broker'), witnessed.signal),
    watchEtcd(servers, see('etcd'), witnessed.signal),
  ];
  const traffic = new Traffic(stage);
  try {
    await sample(stage, 'baseline', cluster.baselines);
    traffic.start();
    const faults = carryOut(plan, stage, over.signal);
    faults.catch(() => undefined);
    await until(() => history.now() >= room, 'the run is over', room + 1_000);
    await faults;
    const giveUp = setTimeout(() => over.abort(), LAST_TRIES_MS);
    await traffic.stopIssuing();
    clearTimeout(giveUp);
    await traffic.stopClients();
    for (const member of members) await member.running();
    history.add({ type: 'healed', at: history.now() });
    const rules = rulesOf(stage, plan, options);
    await probe(stage, rules, options.stopAtFinding ?? false);
    await settled(stage, rules);
    await sample(stage, 'end');
    for (const entry of history.entries)
      if (entry.type === 'sample' && entry.when === 'end' && !cluster.baselines.has(entry.gateway))
        cluster.baselines.set(entry.gateway, entry);
    return { seed, plan, history, members, violations: validate(history.entries, rules) };
  } finally {
    over.abort();
    witnessed.abort();
    await traffic.stopIssuing();
    await traffic.stopClients();
    await Promise.all(witnesses);
    cluster.listener = undefined;
    await history.close();
  }
}

function rulesOf(
  { members, maxStalenessMs }: Stage,
  plan: readonly PlannedFault[],
  { durationMs, channels }: RoundOptions,
): Rules {
  const faults: Record<string, number> = {};
  for (const { fault } of plan) faults[fault.kind] = (faults[fault.kind] ?? 0) + 1;
  const seconds = durationMs / 1000;
  return {
    members: members.map(({ name, kind }) => ({ name, ...MEDIA[kind] })),
    boundMs: maxStalenessMs + SLACK_MS,
    ownBoundMs: OWN_BOUND_MS,
    agreementMs: AGREEMENT_MS,
    clockStepMs: CLOCK_STEP_MS,
    least: {
      ok: Math.round(seconds * 2),
      denied: Math.round(seconds * 2),
      afterBound: Math.round(seconds),
      faults,
      channels,
    },
    growth: { rssBytes: 96 * 2 ** 20, share: 0.1, descriptors: 12 },
  };
}

async function sample(
  { members, history }: Stage,
  when: 'baseline' | 'end',
  known: ReadonlyMap<string, Measured> = new Map(),
): Promise<void> {
  for (const member of members) {
    const { rssBytes, descriptors } = known.get(member.name) ?? (await member.measure());
    const at = history.now();
    history.add({ type: 'sample', at, gateway: member.name, when, rssBytes, descriptors });
  }
}

/** Looks at every token through every gateway, then again at what is not yet as it has to be, until all is or the time is over. */
async function probe(
  { members, tokens, history }: Stage,
  rules: Rules,
  stopAtFinding: boolean,
): Promise<void> {
  const deadline = history.now() + AGREEMENT_MS;
  let left = new Set(tokens.all);
  while (left.size > 0) {
    const looks = [...left].flatMap((token) => members.map((member) => ({ token, member })));
    await Promise.all(
      Array.from({ length: PROBES_AT_ONCE }, async () => {
        for (let next = looks.pop(); next !== undefined; next = looks.pop()) {
          if (history.now() > deadline) return;
          await look(history, 'probe', next.member, next.token);
        }
      }),
    );
    if (history.now() > deadline) return;
    const violations = validate(history.entries, rules);
    if (stopAtFinding && violations.some(({ validator }) => /V[123]/.test(validator))) return;
    const wrong = violations.flatMap(({ validator, excerpt }) => {
      const request = excerpt.at(-1);
      const token = request?.type === 'request' ? tokens.byName(request.token) : undefined;
      return validator === 'V4' && token !== undefined ? [token] : [];
    });
    left = new Set(wrong);
  }
}

/** Gateways take a moment to let go of connections that ended. */
async function settled({ members, history }: Stage, { growth }: Rules): Promise<void> {
  const baseline = new Map<string, number>();
  for (const entry of history.entries)
    if (entry.type === 'sample') baseline.set(entry.gateway, entry.descriptors);
  await until(
    async () => {
      for (const member of members) {
        const { descriptors } = await member.measure();
        if (descriptors > (baseline.get(member.name) ?? 0) + growth.descriptors) return false;
      }
      return true;
    },
    'descriptors are what they were',
    SETTLE_MS,
  ).catch(() => undefined); // the validator tells
}
