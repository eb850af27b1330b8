import { Member, type Measured, type MemberKind, type Possible } from './member.ts';
import type { Endings } from './owner.ts';
import type { Servers } from './servers.ts';

/** The gateways of every run: two that know the same in the end, and one that knows the topic alone. */
const MEMBERS: readonly { name: string; kind: MemberKind; ownClock: boolean }[] = [
  { name: 'alpha', kind: 'stores', ownClock: false },
  { name: 'beta', kind: 'pair', ownClock: true },
  { name: 'gamma', kind: 'topic', ownClock: false },
];

export interface ClusterOptions {
  readonly maxStalenessMs: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** Told when a process of a gateway starts or ends. */
export type MemberListener = (gateway: string, event: 'started' | 'ended', detail: string) => void;

/** Gateways in front of one set of servers. */
export interface Cluster {
  readonly members: readonly Member[];
  readonly maxStalenessMs: number;
  /** What each gateway took once it had been through a run, by name: later runs are compared with it, so that slow growth shows. */
  readonly baselines: Map<string, Measured>;
  /** One at a time: that of the run that goes on. */
  listener: MemberListener | undefined;
  close(): Promise<void>;
}

export async function startCluster(
  servers: Servers,
  endings: Endings,
  possible: Possible,
  { maxStalenessMs, env }: ClusterOptions,
): Promise<Cluster> {
  const members: Member[] = [];
  const cluster: Cluster = {
    members,
    maxStalenessMs,
    baselines: new Map(),
    listener: undefined,
    async close() {
      await Promise.all(members.map((member) => member.close()));
    },
  };
  const started = MEMBERS.map((wanted) =>
    Member.start(
      servers,
      endings,
      {
        ...wanted,
        maxStalenessMs,
        ...(env === undefined ? {} : { env }),
        onEvent: (event, detail) => cluster.listener?.(wanted.name, event, detail),
      },
      possible,
    ),
  );
  try {
    members.push(...(await Promise.all(started)));
  } catch (error) {
    for (const result of await Promise.allSettled(started))
      if (result.status === 'fulfilled') await result.value.close();
    throw error;
  }
  return cluster;
}
