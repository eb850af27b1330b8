import { setTimeout as pause } from 'node:timers/promises';
import { deleteQueue, endThread, lateLook, revokeAndKill } from './fault-actions.ts';
import type { TcpRelay } from '../test/support/tcp-relay.ts';
import type { Member, Possible } from './member.ts';
import { memberOf, type Stage } from './stage.ts';

/** Something that goes wrong, and is put right again by the end of `run`, also when that fails. */
export interface Fault {
  readonly kind: string;
  /** Gateway or server that it hits. */
  readonly target: (stage: Stage) => string;
  /** What hits one target waits for the last fault of the same one; this is what it waits for instead. */
  readonly waitsFor?: string;
  readonly needs?: keyof Possible;
  run(stage: Stage, target: string): Promise<void>;
}

/** The most by which a clock is stepped here. */
export const CLOCK_STEP_MS = 1_200_000;

const anyMember = ({ random, members }: Stage): string => random.pick(members).name;
const fullMember = ({ random, members }: Stage): string =>
  random.pick(members.filter(({ kind }) => kind !== 'topic')).name;

/** A while that is sometimes shorter and sometimes longer than what gateways may be behind. */
async function hold({ random, maxStalenessMs }: Stage): Promise<void> {
  await pause(random.between(0.5, 1.8) * maxStalenessMs);
}

async function withLinks(
  stage: Stage,
  target: string,
  disturb: (member: Member) => void | Promise<void>,
): Promise<void> {
  const member = memberOf(stage, target);
  try {
    await disturb(member);
    await hold(stage);
  } finally {
    await member.mendLinks();
  }
}

/** Restarts the store; what `meanwhile` does is done while it is down. */
async function restartEtcd(
  { servers: { etcd } }: Stage,
  meanwhile: () => Promise<void>,
): Promise<void> {
  await etcd.stop('SIGKILL');
  try {
    await meanwhile();
  } finally {
    await etcd.start();
  }
}

/** Every kind of fault, in the order in which seeds take them. */
export const FAULTS: readonly Fault[] = [
  {
    kind: 'gateway-kill',
    target: anyMember,
    async run(stage, target) {
      const member = memberOf(stage, target);
      await member.kill(stage.random.between(0, 800));
      await member.running();
    },
  },
  {
    kind: 'etcd-restart',
    target: () => 'etcd',
    run: (stage) =>
      restartEtcd(stage, async () => {
        await stage.servers.etcd.saveCopy();
        await hold(stage);
      }),
  },
  {
    kind: 'links-cut',
    target: anyMember,
    run: (stage, target) =>
      withLinks(stage, target, async (member) => {
        for (const link of some(stage, used(member))) await link.cut();
      }),
  },
  {
    kind: 'gateway-freeze',
    target: anyMember,
    async run(stage, target) {
      const member = memberOf(stage, target);
      member.freeze();
      try {
        await pause(stage.maxStalenessMs * 1.5);
      } finally {
        member.thaw();
      }
    },
  },
  {
    kind: 'thread-throw',
    target: anyMember,
    run: (stage, target) => endThread(stage, target, 'throw'),
  },
  {
    kind: 'etcd-compact',
    target: () => 'etcd',
    // What is compacted is what a gateway that is cut off has not seen.
    async run(stage) {
      const [member] = stage.members.filter(({ kind }) => kind !== 'topic');
      await member?.links.etcd.cut();
      try {
        await hold(stage);
        await stage.servers.etcd.compact();
      } finally {
        await member?.links.etcd.mend();
      }
    },
  },
  {
    kind: 'broker-restart',
    target: () => 'broker',
    async run({ servers: { broker } }) {
      await broker.kill();
      await broker.start();
    },
  },
  {
    kind: 'half-open',
    target: anyMember,
    run: (stage, target) =>
      withLinks(stage, target, (member) => {
        for (const link of some(stage, used(member))) link.blackhole();
      }),
  },
  {
    kind: 'clock-step',
    target: ({ members }) => members.find(({ ownClock }) => ownClock)?.name ?? '',
    needs: 'clockStep',
    async run(stage, target) {
      const member = memberOf(stage, target);
      try {
        await member.stepClock(CLOCK_STEP_MS);
        await hold(stage);
      } finally {
        // Backwards, which is the worse of the two.
        await member.stepClock(0);
      }
    },
  },
  {
    kind: 'etcd-restore',
    target: () => 'etcd',
    async run(stage) {
      const { revoker, tokens, servers, history } = stage;
      const since = history.now();
      await restartEtcd(stage, () => servers.etcd.restoreCopy());
      // Whoever puts an old copy back revokes again what it lacks.
      const lacking = tokens.all.filter((token) => {
        revoker.forgotten(token, 'pair', since);
        return revoker.forgotten(token, 'etcd', since);
      });
      await Promise.all([...lacking.map((token) => revoker.restore(token)), revoker.rulesAgain()]);
    },
  },
  {
    kind: 'thread-exit',
    target: anyMember,
    run: (stage, target) => endThread(stage, target, 'exit'),
  },
  {
    kind: 'disk-full',
    target: anyMember,
    needs: 'diskFull',
    async run(stage, target) {
      const member = memberOf(stage, target);
      try {
        await member.fillDisk();
        await hold(stage);
      } finally {
        await member.emptyDisk();
      }
    },
  },
  {
    kind: 'queue-deleted',
    target: ({ members }) => members.find(({ kind }) => kind === 'topic')?.name ?? '',
    waitsFor: 'broker',
    run: deleteQueue,
  },
  {
    kind: 'slow-links',
    target: anyMember,
    run: (stage, target) =>
      withLinks(stage, target, (member) => {
        for (const link of some(stage, used(member)))
          link.slow({ latencyMs: 150, bytesPerSecond: 100_000 });
      }),
  },
  {
    kind: 'service-restart',
    target: () => 'service',
    async run(stage) {
      await stage.servers.killService();
      try {
        await pause(stage.random.between(0, 800));
      } finally {
        await stage.servers.startService();
      }
    },
  },
  {
    kind: 'revoke-and-kill',
    target: fullMember,
    run: revokeAndKill,
  },
  {
    kind: 'late-look',
    target: () => 'topic',
    run: lateLook,
  },
  {
    kind: 'publisher-cut',
    target: () => 'service-links',
    async run(stage) {
      const links = Object.values(stage.servers.serviceLinks);
      try {
        for (const link of links) await link.cut();
        await hold(stage);
      } finally {
        for (const link of links) await link.mend();
      }
    },
  },
];

/** The links that carry anything: what goes wrong with another one is no fault. */
function used({ kind, links }: Member): Readonly<Record<string, TcpRelay>> {
  return kind === 'topic' ? { broker: links.broker } : links;
}

/** One or more of them. */
function some<T>({ random }: Stage, of: Readonly<Record<string, T>>): T[] {
  const all = random.shuffled(Object.values(of));
  return all.slice(0, random.pick([1, 2, all.length]));
}
