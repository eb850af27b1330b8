import { readFile, readdir, unlink, writeFile } from 'node:fs/promises';
import { mkdirSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../test/support/free-port.ts';
import { owned, startGateway, temporaryFolder, type Gateway } from '../test/support/product.ts';
import { startTcpRelay, type TcpRelay } from '../test/support/tcp-relay.ts';
import { gatewayConfig, type MemberPorts } from './gateway-config.ts';
import type { Medium } from './history.ts';
import type { Endings } from './owner.ts';
import type { Servers } from './servers.ts';

const LIBFAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1';
/** Enough for journal, snapshot and the next snapshot of what a run revokes. */
const STATE_MEBIBYTES = 48;

/** How long a gateway may fail to start, e.g. while its disk is full, and how soon it is tried again. */
const START_DEADLINE_MS = 15_000;
const START_AGAIN_MS = 300;

/**
 * - `stores`: topic, etcd and token service, each for itself.
 * - `pair`: the same, but with topic and etcd as WSO2 has them, where each tells of everything that the other has: the topic's proofs count for etcd too.
 * - `topic`: the topic alone, through a queue that outlives its subscriber.
 */
export type MemberKind = 'stores' | 'pair' | 'topic';

/** What a gateway of each kind knows within the bound, and later. */
export const MEDIA: Readonly<
  Record<MemberKind, { readonly media: readonly Medium[]; readonly later: readonly Medium[] }>
> = {
  stores: { media: ['etcd', 'service'], later: [] },
  pair: { media: ['pair', 'service'], later: ['etcd'] },
  topic: { media: ['broker'], later: [] },
};

export interface MemberOptions {
  readonly name: string;
  readonly kind: MemberKind;
  readonly maxStalenessMs: number;
  /** A wall clock of its own, where that is possible. */
  readonly ownClock: boolean;
  /** Further environment of the process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called when a process of it starts or ends. */
  readonly onEvent: (event: 'started' | 'ended', detail: string) => void;
}

/** What a process takes. */
export interface Measured {
  /** Resident memory. */
  readonly rssBytes: number;
  /** Open ones. */
  readonly descriptors: number;
}

/** What faults need to be possible at all here. */
export interface Possible {
  /** A state folder with a size of its own: needs the right to mount. */
  readonly diskFull: boolean;
  /** A wall clock of its own: needs Debian's faketime. */
  readonly clockStep: boolean;
}

/** One gateway with everything that can be done to it: its process, its links, its disk, its clock. */
export class Member {
  readonly name: string;
  readonly kind: MemberKind;
  readonly links: Readonly<Record<'broker' | 'etcd' | 'service', TcpRelay>>;
  readonly ports: MemberPorts;
  readonly home: string;
  readonly stateFolder: string;
  readonly #servers: Servers;
  readonly #endings: Endings;
  readonly #options: MemberOptions;
  readonly #possible: Possible;
  readonly #outputs: (() => string)[] = [];
  #gateway: Gateway | undefined;
  #starting: Promise<void> | undefined;
  #closed = false;
  /** While true a process that ended is not replaced. */
  #held = false;

  private constructor(
    servers: Servers,
    endings: Endings,
    options: MemberOptions,
    possible: Possible,
    made: Pick<Member, 'links' | 'ports' | 'home' | 'stateFolder'>,
  ) {
    this.name = options.name;
    this.kind = options.kind;
    this.#servers = servers;
    this.#endings = endings;
    this.#options = options;
    this.#possible = possible;
    this.links = made.links;
    this.ports = made.ports;
    this.home = made.home;
    this.stateFolder = made.stateFolder;
  }

  /** Starts it and resolves when it is ready. */
  static async start(
    servers: Servers,
    endings: Endings,
    options: MemberOptions,
    possible: Possible,
  ): Promise<Member> {
    const home = await temporaryFolder(endings, options.name);
    const links = {
      broker: await startTcpRelay(servers.broker.port),
      etcd: await startTcpRelay(servers.etcd.port),
      service: await startTcpRelay(servers.servicePort),
    };
    for (const link of Object.values(links)) owned(endings, () => link.close());
    const ports = {
      http: await freePort(),
      https: await freePort(),
      tokens: await freePort(),
      operator: await freePort(),
    };
    const stateFolder = join(home, 'state');
    mkdirSync(stateFolder, { mode: 0o700 });
    if (possible.diskFull) mountSmall(endings, stateFolder);
    const member = new Member(servers, endings, options, possible, {
      links,
      ports,
      home,
      stateFolder,
    });
    owned(endings, () => member.close());
    await member.stepClock(0);
    await member.#launch();
    await member.#gateway?.untilReady();
    return member;
  }

  /** Its wall clock can be set. */
  get ownClock(): boolean {
    return this.#possible.clockStep && this.#options.ownClock;
  }

  /** Name of its durable subscription; undefined where it has none. */
  get subscription(): string | undefined {
    return this.kind === 'topic' ? `check-${this.name}-${this.ports.http}` : undefined;
  }

  /** The queue of that, at the broker. */
  get queue(): string | undefined {
    return this.subscription === undefined ? undefined : `portcullis.${this.subscription}`;
  }

  get pid(): number {
    return this.#gateway?.program.pid ?? 0;
  }

  /** The bearer token of its operator's API. */
  async operatorToken(): Promise<string> {
    return (await readFile(join(this.home, 'security/operator.token'), 'utf8')).trim();
  }

  /** Everything that its processes printed. */
  output(): string {
    return this.#outputs.map((output) => output()).join('\n==== next process\n');
  }

  /** SIGKILL; a new process follows, after `downMs` milliseconds. */
  async kill(downMs = 0): Promise<void> {
    await this.#starting?.catch(() => undefined);
    const program = this.#gateway?.program;
    this.#held = true;
    program?.signal('SIGKILL');
    await program?.ended();
    await pause(downMs);
    this.#held = false;
    this.#startAgain();
  }

  /** SIGSTOP. */
  freeze(): void {
    this.#gateway?.program.signal('SIGSTOP');
  }

  /** SIGCONT. */
  thaw(): void {
    this.#gateway?.program.signal('SIGCONT');
  }

  /** Sets its wall clock off by that many milliseconds from the real one; without faketime it does nothing. */
  async stepClock(byMs: number): Promise<void> {
    const seconds = Math.round(byMs / 1000);
    await writeFile(join(this.home, 'clock'), `${seconds < 0 ? '' : '+'}${seconds}\n`);
  }

  /** Leaves no byte free where it keeps its state. */
  async fillDisk(): Promise<void> {
    // More than fits; what fits stays.
    await writeFile(
      join(this.stateFolder, 'filling'),
      Buffer.alloc((STATE_MEBIBYTES + 1) * 2 ** 20),
    ).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    });
  }

  async emptyDisk(): Promise<void> {
    await unlink(join(this.stateFolder, 'filling'));
  }

  /** Every link carries everything again. */
  async mendLinks(): Promise<void> {
    for (const link of Object.values(this.links)) {
      link.slow(undefined);
      await link.mend();
    }
  }

  /** Resolves when a process of it listens; rejects when none does in time. */
  async running(): Promise<void> {
    await this.#starting;
  }

  async measure(): Promise<Measured> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    const [, kibibytes = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
    const descriptors = (await readdir(`/proc/${this.pid}/fd`)).length;
    return { rssBytes: Number(kibibytes) * 1024, descriptors };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.thaw();
    await this.#starting?.catch(() => undefined);
    // What it may still learn does not matter, and draining would take its time.
    this.#gateway?.program.signal('SIGKILL');
    await this.#gateway?.program.ended();
    for (const link of Object.values(this.links)) await link.close();
  }

  async #launch(): Promise<void> {
    const { env, maxStalenessMs } = this.#options;
    const gateway = await startGateway(this.#endings, {
      artifact: this.#servers.artifact,
      home: this.home,
      issuers: [this.#servers.issuer],
      ports: 'configured',
      config: gatewayConfig(this.#servers, this, maxStalenessMs),
      env: {
        ...env,
        ...(this.ownClock
          ? {
              LD_PRELOAD: LIBFAKETIME,
              FAKETIME_TIMESTAMP_FILE: join(this.home, 'clock'),
              FAKETIME_NO_CACHE: '1',
              FAKETIME_DONT_FAKE_MONOTONIC: '1',
            }
          : {}),
      },
    });
    this.#gateway = gateway;
    this.#outputs.push(() => gateway.program.output());
    this.#options.onEvent('started', `process ${gateway.program.pid}`);
    void gateway.program.ended(2 ** 31 - 1).then((how) => {
      this.#options.onEvent('ended', `process ${gateway.program.pid}: ${how}`);
      if (!this.#held) this.#startAgain();
    });
  }

  /** What a service manager does. */
  #startAgain(): void {
    if (this.#closed) return;
    this.#starting = this.#launchUntilItRuns();
    this.#starting.catch(() => undefined);
  }

  async #launchUntilItRuns(): Promise<void> {
    const deadline = performance.now() + START_DEADLINE_MS;
    for (;;)
      try {
        return await this.#launch();
      } catch (error) {
        this.#options.onEvent('ended', `start failed: ${String(error)}`);
        if (this.#closed || performance.now() > deadline) throw error;
        await pause(START_AGAIN_MS);
      }
  }
}

function mountSmall(endings: Endings, folder: string): void {
  const size = `size=${STATE_MEBIBYTES}m,mode=0700`;
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', size, 'portcullis-check', folder]);
  if (status !== 0) throw new Error(`no tmpfs at ${folder}`);
  const unmount = (): void => void spawnSync('umount', ['-l', folder]);
  endings.atExit(unmount);
  // Before the folder itself is removed.
  owned(endings, async () => unmount());
}

/** What this machine lets the check do. */
export function whatIsPossible(endings: Endings, folder: string): Possible {
  const probe = join(folder, 'mount-probe');
  mkdirSync(probe);
  let diskFull = true;
  try {
    mountSmall(endings, probe);
    spawnSync('umount', [probe]);
  } catch {
    diskFull = false;
  }
  rmSync(probe, { recursive: true, force: true });
  const clockStep =
    spawnSync(process.execPath, ['-e', 'process.exit(Date.now() > 4e12 ? 7 : 1)'], {
      env: { LD_PRELOAD: LIBFAKETIME, FAKETIME: '+100y' },
    }).status === 7;
  return { diskFull, clockStep };
}
