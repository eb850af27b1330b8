import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { OPERATOR } from '../test/support/product.ts';
import { replay } from './client.ts';
import type { Channel, History } from './history.ts';
import type { Member } from './member.ts';
import type { Random } from './random.ts';
import type { Revoker } from './revoke.ts';
import type { Servers } from './servers.ts';
import type { Tokens } from './tokens.ts';

const CLIENTS_PER_MEMBER = 2;
/** Milliseconds from one round of issuing to the next. */
const ISSUE_EVERY_MS = 200;
/** Milliseconds between a token's first use and its revocation. */
const [SOONEST_MS, LATEST_MS] = [200, 1_500];
/** Rounds of issuing from one rule to the next. */
const ROUNDS_PER_RULE = 12;

/** What a run's traffic works with. */
export interface Scene {
  readonly servers: Servers;
  readonly members: readonly Member[];
  readonly history: History;
  readonly tokens: Tokens;
  readonly revoker: Revoker;
  readonly random: Random;
  /** The ways of revoking that this run has. */
  readonly channels: readonly Channel[];
}

/** Issues tokens, revokes most of them after a while in every way there is, and has clients replay all of them to all gateways. */
export class Traffic {
  readonly #scene: Scene;
  readonly #stopClients = new AbortController();
  readonly #stopIssuing = new AbortController();
  readonly #revocations = new Set<Promise<void>>();
  #issuing: Promise<void> | undefined;
  #clients: Promise<unknown> | undefined;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  start(): void {
    const { members, history, tokens, random } = this.#scene;
    this.#issuing = this.#issue();
    this.#clients = Promise.all(
      members.flatMap((member) =>
        Array.from({ length: CLIENTS_PER_MEMBER }, (_none, index) =>
          replay(
            history,
            `${member.name}-client-${index + 1}`,
            member,
            tokens,
            random,
            this.#stopClients.signal,
          ),
        ),
      ),
    );
  }

  /** No new tokens and no new revocations; resolves when every revocation that was begun is through or given up. */
  async stopIssuing(): Promise<void> {
    this.#stopIssuing.abort();
    await this.#issuing;
    await Promise.all(this.#revocations);
  }

  async stopClients(): Promise<void> {
    this.#stopClients.abort();
    await this.#clients;
  }

  async #issue(): Promise<void> {
    const { servers, tokens, random } = this.#scene;
    const { signal } = this.#stopIssuing;
    for (let round = 0; !signal.aborted; round++) {
      const victims = [
        tokens.local(servers.issuer, { keeper: false, short: random.chance(0.3) }),
        tokens.local(servers.issuer, { keeper: false, short: random.chance(0.3) }),
      ];
      if (round % 3 === 0) tokens.local(servers.issuer, { keeper: true });
      if (round % 4 === 1) {
        // The service may be down: then there is one token less.
        const jwt = await servers.service.token(OPERATOR).catch(() => undefined);
        if (jwt !== undefined) {
          const token = tokens.add(jwt, random.chance(0.2), 'service');
          if (!token.keeper) this.#begin(async () => this.#scene.revoker.atService(token));
        }
      }
      if (this.#scene.channels.includes('rule') && round % ROUNDS_PER_RULE === 2)
        // Not from the seed: a rule of an earlier run of it would deny this one's tokens.
        this.#revokeSubject(`user-${randomUUID()}`);
      const channel = random.pick(
        this.#scene.channels.filter((name) => name !== 'rule' && name !== 'service'),
      );
      if (channel === 'broker') {
        const copies = random.pick([1, 2, 3]);
        this.#begin(() => this.#scene.revoker.overTopic(random.shuffled(victims), copies));
      } else
        for (const victim of victims)
          this.#begin(() =>
            channel === 'operator'
              ? this.#scene.revoker.byOperator(random.pick(this.#operated()), { token: victim }, [
                  victim,
                ])
              : this.#scene.revoker.intoStore(victim),
          );
      await pause(random.between(0.5, 1.5) * ISSUE_EVERY_MS);
    }
  }

  /** Everything of one user so far is revoked; the user logs in anew, and that has to work. */
  #revokeSubject(subject: string): void {
    const { servers, tokens, random, revoker } = this.#scene;
    const now = Math.floor(Date.now() / 1000);
    const old = [now - 30, now - 5].map((issuedAt) =>
      tokens.local(servers.issuer, { keeper: false, subject, issuedAt }),
    );
    tokens.local(servers.issuer, { keeper: true, subject, issuedAt: now });
    const { issuer } = servers.issuer;
    const issuedBefore = (now - 3) * 1000;
    this.#begin(() =>
      revoker.byOperator(random.pick(this.#operated()), { subject, issuer, issuedBefore }, old),
    );
  }

  /** Gateways that can put into the store what their operators revoke: what only went over the topic can be missed. */
  #operated(): Member[] {
    return this.#scene.members.filter(({ kind }) => kind !== 'topic');
  }

  #begin(revoke: () => Promise<void>): void {
    const { random } = this.#scene;
    const task = pause(random.between(SOONEST_MS, LATEST_MS)).then(revoke);
    this.#revocations.add(task);
    void task.finally(() => this.#revocations.delete(task)).catch(() => undefined);
  }
}
