import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { OPERATOR } from '../test/support/product.ts';
import { publish, revocationMessage, type TopicMessage } from '../test/support/publish.ts';
import type { Channel, History, Medium } from './history.ts';
import type { Member } from './member.ts';
import type { Servers } from './servers.ts';
import type { Token } from './tokens.ts';

/** Milliseconds that one attempt may take; a gateway gives each of the channels that it publishes to five seconds. */
const ATTEMPT_MS = 7_000;
const AGAIN_MS = 400;
/** Seconds, as later copies of a message have it. */
const SHORTER_LIFE = '1';

/** A revocation that an operator asks a gateway for: one token, or all of a subject that are not newer than the cut-off. */
export type OperatorRequest =
  | { readonly token: Token }
  | { readonly subject: string; readonly issuer: string; readonly issuedBefore: number };

/** What a gateway's operator was told. */
interface OperatorAnswer {
  readonly published?: readonly { readonly source: string; readonly ok: boolean }[];
  readonly confirmedThreads?: { readonly confirmed: number; readonly of: number };
}

/** Makes revocations as those do who have to: each channel is tried until it took the revocation, as its users would. */
export class Revoker {
  readonly #servers: Servers;
  readonly #history: History;
  readonly #sighted = new Set<string>();
  readonly #rules: { readonly member: Member; readonly request: OperatorRequest }[] = [];
  readonly #signal: AbortSignal;

  /** @param signal gives up whatever is still being tried */
  constructor(servers: Servers, history: History, signal: AbortSignal) {
    this.#servers = servers;
    this.#history = history;
    this.#signal = signal;
  }

  /** The revocation of this token is in the medium from now on, if it was not already. */
  sighted(token: Token, medium: Medium): void {
    const key = `${medium} ${token.name}`;
    if (this.#sighted.has(key)) return;
    this.#sighted.add(key);
    this.#history.add({ type: 'visible', at: this.#history.now(), token: token.name, medium });
  }

  /**
   * The medium has lost it, if it was there, and it can be sighted there anew; `gateway` if only that one cannot have it any more. Nothing was
   * lost before `since`.
   */
  forgotten(token: Token, medium: Medium, since: number, gateway?: string): boolean {
    const key = `${medium} ${token.name}`;
    if (!this.#sighted.has(key)) return false;
    if (gateway === undefined) this.#sighted.delete(key);
    const at = this.#history.now();
    const lost = { type: 'lost', since, at, token: token.name, medium } as const;
    this.#history.add(gateway === undefined ? lost : { ...lost, gateway });
    return true;
  }

  /** Writes into the store what was there before. */
  async restore(token: Token): Promise<void> {
    for (;;)
      try {
        await within(ATTEMPT_MS, this.#put(token));
        this.sighted(token, 'etcd');
        return;
      } catch {
        if (this.#signal.aborted) return;
        await pause(AGAIN_MS);
      }
  }

  /** Writes the key into the store. */
  async intoStore(token: Token): Promise<void> {
    await this.#during('etcd', [token], undefined, async () => {
      await this.#put(token);
      this.sighted(token, 'etcd');
    });
  }

  /**
   * As WSO2's API Manager does: writes into the store and then publishes to the topic. All `tokens` go out in this order, each as often as
   * `copies` says; copies after the first name a much shorter life, which must not count.
   */
  async overTopic(tokens: readonly Token[], copies: number): Promise<void> {
    await this.#during('broker', tokens, undefined, async () => {
      for (const token of tokens) await this.#put(token);
      for (const token of tokens) this.sighted(token, 'etcd');
      await publish({ port: this.#servers.broker.port }, ...messagesOf(tokens, copies));
      for (const token of tokens) {
        this.sighted(token, 'broker');
        this.sighted(token, 'pair');
      }
    });
  }

  /** RFC 7009 at the token service. */
  async atService(token: Token): Promise<void> {
    await this.#during('service', [token], undefined, async () => {
      await this.#servers.service.revoke(token.jwt, OPERATOR);
      this.sighted(token, 'service');
    });
  }

  /** One `POST /revocations` at a gateway that may not be able to tell anybody. Resolves once it was answered. */
  async onceByOperator(member: Member, token: Token): Promise<void> {
    const tStart = this.#history.now();
    token.revokedAt ??= tStart;
    const revoke = {
      type: 'revoke',
      channel: 'operator',
      token: token.name,
      gateway: member.name,
      tStart,
    } as const;
    try {
      await askOperator(member, { token });
      this.sighted(token, `gateway:${member.name}`);
      this.#history.add({ ...revoke, tEnd: this.#history.now(), result: 'ok' });
    } catch (error) {
      const reason = String(error);
      this.#history.add({ ...revoke, tEnd: this.#history.now(), result: 'unknown', reason });
    }
  }

  /** `POST /revocations` at a gateway, until it also told all others that it can. `covered`: the tokens that it denies. */
  async byOperator(
    member: Member,
    request: OperatorRequest,
    covered: readonly Token[],
  ): Promise<void> {
    const channel = 'token' in request ? 'operator' : 'rule';
    if (channel === 'rule') this.#rules.push({ member, request });
    await this.#during(channel, covered, member.name, async () => {
      const { published = [], confirmedThreads } = await askOperator(member, request);
      if (confirmedThreads !== undefined && confirmedThreads.confirmed < confirmedThreads.of)
        throw new Error('not every thread has confirmed');
      for (const token of covered) this.sighted(token, `gateway:${member.name}`);
      this.#told(covered, published);
      const failed = published.filter(({ ok }) => !ok).map(({ source }) => source);
      if (failed.length > 0) throw new Error(`not published to ${failed.join(', ')}`);
    });
  }

  /**
   * It is in every medium that took it. Witnesses would see a token there too, but not one that the store loses in the next instant, and what a rule
   * covers they do not see at all.
   */
  #told(
    covered: readonly Token[],
    published: readonly { readonly source: string; readonly ok: boolean }[],
  ): void {
    const media: Medium[] = published
      .filter(({ ok }) => ok)
      .map(({ source }) => (source === 'realtime' ? 'broker' : 'etcd'));
    if (media.includes('broker') && media.includes('etcd')) media.push('pair');
    for (const token of covered) for (const medium of media) this.sighted(token, medium);
  }

  /** Makes every rule again, where it was made: its copies were lost with a store that was put back from an old copy. */
  async rulesAgain(): Promise<void> {
    await Promise.all(
      this.#rules.map(async ({ member, request }) => {
        let told = false;
        while (!told && !this.#signal.aborted) {
          told = await within(ATTEMPT_MS, askOperator(member, request)).then(
            ({ published = [] }) => published.every(({ ok }) => ok),
            () => false,
          );
          if (!told) await pause(AGAIN_MS);
        }
      }),
    );
  }

  async #put(token: Token): Promise<void> {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    await this.#servers.etcd.call('/kv/put', {
      key: base64(`jti/${token.jti}`),
      value: base64(String(Math.ceil(token.expiresAt - Date.now() / 1000))),
    });
  }

  /** Tries until it worked or the run ends, and writes down the whole of it. */
  async #during(
    channel: Channel,
    tokens: readonly Token[],
    gateway: string | undefined,
    attempt: () => Promise<void>,
  ): Promise<void> {
    const tStart = this.#history.now();
    for (const token of tokens) token.revokedAt ??= tStart;
    let reason: string | undefined;
    do {
      try {
        await within(ATTEMPT_MS, attempt());
        reason = undefined;
        break;
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error);
      }
      await pause(AGAIN_MS);
    } while (!this.#signal.aborted);
    for (const { name } of tokens)
      this.#history.add({
        type: 'revoke',
        channel,
        token: name,
        tStart,
        tEnd: this.#history.now(),
        result: reason === undefined ? 'ok' : 'unknown',
        ...(gateway === undefined ? {} : { gateway }),
        ...(reason === undefined ? {} : { reason }),
      });
  }
}

/** Everything once in order, then again. */
function messagesOf(tokens: readonly Token[], copies: number): TopicMessage[] {
  return Array.from({ length: copies }, (_none, copy) =>
    tokens.map(({ jti, expiresAt }) => ({
      ...revocationMessage(
        jti,
        copy === 0 ? String(Math.ceil(expiresAt - Date.now() / 1000)) : SHORTER_LIFE,
      ),
      properties: { contentType: 'text/plain', persistent: true, messageId: randomUUID() },
    })),
  ).flat();
}

async function within<T>(ms: number, attempt: Promise<T>): Promise<T> {
  const stop = new AbortController();
  const late = pause(ms, undefined, { signal: stop.signal }).then((): never => {
    throw new Error(`nothing within ${ms} ms`);
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([attempt, late]);
  } finally {
    stop.abort();
    attempt.catch(() => undefined);
  }
}

/** One `POST /revocations`; rejects unless it was answered 200 or 201. */
async function askOperator(member: Member, request: OperatorRequest): Promise<OperatorAnswer> {
  const body = JSON.stringify({
    ...('token' in request
      ? { token: request.token.jti, endsAt: Math.ceil(request.token.expiresAt * 1000) }
      : request),
    reason: 'fault check',
    wait: 'threads',
  });
  const token = await member.operatorToken();
  return new Promise((resolve, reject) => {
    const asking = httpRequest(
      {
        host: '127.0.0.1',
        port: member.ports.operator,
        method: 'POST',
        path: '/revocations',
        agent: false,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        signal: AbortSignal.timeout(ATTEMPT_MS),
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
        });
        response.on('error', reject);
        response.on('end', () => {
          if (response.statusCode === 200 || response.statusCode === 201)
            resolve(JSON.parse(text) as OperatorAnswer);
          else reject(new Error(`${response.statusCode} ${text}`));
        });
      },
    );
    asking.on('error', reject);
    asking.end(body);
  });
}
