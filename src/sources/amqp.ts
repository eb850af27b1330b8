import { setTimeout as pause } from 'node:timers/promises';
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Log } from '../log.ts';
import type { RevocationSink, RevocationSource } from '../revocation/source.ts';
import { Acks } from './amqp-acks.ts';
import { AmqpDialer, type AmqpLink, type AmqpPeerOptions } from './amqp-dialer.ts';
import {
  checkDurableSubscription,
  TopicQueues,
  type TopicQueue,
  type TopicQueueOptions,
} from './amqp-queue.ts';
import { NO_TOKEN } from './decode/revocation-fields.ts';
import { readRevocationMessage } from './decode/revocation-message.ts';
import { createReloadHint, type ReloadHint } from './reload-hint.ts';

export interface AmqpSourceOptions extends AmqpPeerOptions, TopicQueueOptions {
  readonly name: string;
  /** Milliseconds between two questions whether the subscription stands. Default 10,000. */
  readonly proofIntervalMs?: number | undefined;
  /**
   * Unacknowledged messages at a time. Default: the URL's `maxprefetch`, but 500 or more, because an acknowledgement waits for the disk; else
   * 10,000. At most 65,535.
   */
  readonly prefetch?: number;
  /** Called, at most every few seconds, after an event that only the stores can tell the whole of (a rule, a batch). */
  readonly onReloadHint?: () => void;
}

const LOG_KEY = 'TokenRevocationJMS';
const DEFAULT_PROOF_INTERVAL_MS = 10_000;
const DEFAULT_PREFETCH = 10_000;
const LEAST_URL_PREFETCH = 500;
const MAX_PREFETCH = 65_535;
/** An answer of the broker takes no longer, else the link is broken. In between it is the interval of the questions. */
const SHORTEST_ANSWER_MS = 5_000;
const LONGEST_ANSWER_MS = 10_000;
const LONGEST_HEARTBEAT_S = 10;

/**
 * A JMS topic over AMQP 0-9-1 (WSO2's broker, Qpid, RabbitMQ): a non-durable subscription, as WSO2's gateway has it. What is published
 * while it does not stand is lost to it. With `durableSubscription` the broker keeps that for it.
 *
 * Messages are acknowledged once the sink has them on disk. While the disk fails they go on acting, up to `prefetch` of them; the next ones
 * wait at the broker, nothing is proved any more, and the source becomes stale.
 * @throws OperatorError `ERR_JMS_URL` when the URL cannot be used, `ERR_DURABLE_SUBSCRIPTION` when the name cannot.
 */
export function createAmqpSource(options: AmqpSourceOptions, log: Log): RevocationSource {
  checkDurableSubscription(options.durableSubscription);
  const dialer = new AmqpDialer({ ...options, heartbeatSeconds: heartbeatOf(options) }, log);
  const queues = new TopicQueues(options, dialer, log);
  return {
    name: options.name,
    kind: 'events',
    follow: async (sink, signal) => {
      if (signal.aborted) return;
      const hint = createReloadHint(options.onReloadHint);
      try {
        const link = await dialer.open(signal);
        log.debug(LOG_KEY, 'Successfully created jms connection');
        const subscription = new Subscription(link, options, dialer, queues, log);
        try {
          await subscription.run(sink, hint, signal);
        } catch (error) {
          throw dialer.failure(subscription.trouble, error, link.broker);
        } finally {
          subscription.end();
          await link.close();
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        hint.close();
      }
    },
  };
}

/**
 * Seconds: as often as the subscription is asked for, at least every ten. It is the broker who has to notice that a connection is dead before it gives
 * the queue of a durable subscription to the next one.
 */
function heartbeatOf({ proofIntervalMs = DEFAULT_PROOF_INTERVAL_MS }: AmqpSourceOptions): number {
  return Math.min(Math.max(Math.ceil(proofIntervalMs / 1000), 1), LONGEST_HEARTBEAT_S);
}

/** One subscription on one connection, until it breaks. */
class Subscription {
  readonly #link: AmqpLink;
  readonly #options: AmqpSourceOptions;
  readonly #dialer: AmqpDialer;
  readonly #queues: TopicQueues;
  readonly #log: Log;
  readonly #broken = Promise.withResolvers<never>();
  #acks: Acks | undefined;
  #ended = false;
  #standing = false;
  /** Messages that came over this connection. */
  #delivered = 0;
  /** `heardAll` is called when so many were delivered. */
  #awaited: { readonly delivered: number; readonly heardAll: () => void } | undefined;

  constructor(
    link: AmqpLink,
    options: AmqpSourceOptions,
    dialer: AmqpDialer,
    queues: TopicQueues,
    log: Log,
  ) {
    this.#link = link;
    this.#options = options;
    this.#dialer = dialer;
    this.#queues = queues;
    this.#log = log;
    this.#broken.promise.catch(() => undefined);
  }

  /** What an error out of {@link run} is about. */
  get trouble(): string {
    return this.#standing
      ? 'The subscription to the topic ended.'
      : 'Error while creating the jms subscriber.';
  }

  end(): void {
    this.#ended = true;
    this.#acks?.end();
  }

  async run(sink: RevocationSink, hint: ReloadHint, signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<void>();
    const abort = (): void => aborted.resolve();
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    const stop = new AbortController();
    try {
      await Promise.race([
        this.#link.lost,
        this.#broken.promise,
        aborted.promise,
        this.#subscribeAndProve(sink, hint, stop.signal),
      ]);
    } finally {
      stop.abort();
      signal.removeEventListener('abort', abort);
    }
  }

  async #subscribeAndProve(
    sink: RevocationSink,
    hint: ReloadHint,
    stop: AbortSignal,
  ): Promise<void> {
    const askedAt = performance.now();
    const { channel, queue } = await this.#within(
      this.#link.timeoutMs,
      this.#subscribe(sink, hint),
      stop,
    );
    if (this.#ended) return;
    this.#standing = true;
    this.#log.info(LOG_KEY, 'subscriber service for token revocation is started');

    let complete = false;
    const stand = (): void => {
      if (complete) return;
      complete = true;
      sink.complete(queue.kept);
      sink.alive(askedAt);
    };
    // What was kept is to be heard before it counts as not missed.
    if (queue.kept) await this.#ask(channel, queue, stand, stop);
    else stand();
    for (;;) {
      await pause(this.#intervalMs, undefined, { signal: stop });
      const askedAt = performance.now();
      const prove = (): void => {
        stand();
        sink.alive(askedAt);
      };
      await this.#ask(channel, queue, prove, stop);
    }
  }

  get #intervalMs(): number {
    return this.#options.proofIntervalMs ?? DEFAULT_PROOF_INTERVAL_MS;
  }

  /**
   * Asks for the queue: whether it is there and delivers to us. `heardAll` is called, at once or later, when every message was delivered that
   * waited in it when the broker answered.
   */
  async #ask(
    channel: Channel,
    { name, exchanges }: TopicQueue,
    heardAll: () => void,
    stop: AbortSignal,
  ): Promise<void> {
    const limit = Math.max(SHORTEST_ANSWER_MS, Math.min(this.#intervalMs, LONGEST_ANSWER_MS));
    const found = await this.#within(limit, channel.checkQueue(name), stop);
    const delivered = this.#delivered + found.messageCount;
    if (found.consumerCount < 1) throw new Error('the queue has lost its consumer');
    // Nobody tells when a binding is taken away. Binding again mends it and changes nothing else; where the exchange itself is gone it
    // is refused, and everything is set up anew.
    for (const exchange of exchanges)
      await this.#within(limit, channel.bindQueue(name, exchange, this.#options.topic), stop);
    // While more keeps coming than is heard, what was waited for first is what will be heard first.
    if (this.#awaited === undefined || found.messageCount === 0)
      this.#awaited = { delivered, heardAll };
    this.#noteHeard();
  }

  #noteHeard(): void {
    if (this.#awaited === undefined || this.#delivered < this.#awaited.delivered) return;
    const { heardAll } = this.#awaited;
    this.#awaited = undefined;
    if (!this.#ended) heardAll();
  }

  async #subscribe(
    sink: RevocationSink,
    hint: ReloadHint,
  ): Promise<{ readonly channel: Channel; readonly queue: TopicQueue }> {
    const { prefetch, durableSubscription } = this.#options;
    const { maxPrefetch } = this.#dialer.url;
    const channel = await this.#link.model.createChannel();
    channel.on('error', (error) => this.#broken.reject(this.#explained(error)));
    channel.on('close', () => {
      // Later, because a connection that ends closes its channels first, and its own reason says more.
      setImmediate(() => this.#broken.reject(new Error('the channel was closed')));
    });
    const wanted =
      prefetch ??
      (maxPrefetch === undefined ? DEFAULT_PREFETCH : Math.max(maxPrefetch, LEAST_URL_PREFETCH));
    await channel.prefetch(Math.min(wanted, MAX_PREFETCH));
    const queue = await this.#queues.open(this.#link, channel);
    const acks = new Acks(channel, sink, this.#log, this.#broken.reject);
    this.#acks = acks;
    if (this.#ended) acks.end();
    const deliver = (message: ConsumeMessage | null): void =>
      this.#deliver(message, sink, hint, acks);
    await channel.consume(queue.name, deliver, { exclusive: durableSubscription !== undefined });
    return { channel, queue };
  }

  /** What an error on the channel means, where the broker's words do not say it. */
  #explained(error: unknown): unknown {
    const { durableSubscription } = this.#options;
    if (durableSubscription === undefined || this.#standing || !(error instanceof Error))
      return error;
    return /exclusive/.test(error.message)
      ? new Error(
          `another gateway has the durable subscription '${durableSubscription}', and each needs one of its own: ${error.message}`,
          { cause: error },
        )
      : error;
  }

  #deliver(
    message: ConsumeMessage | null,
    sink: RevocationSink,
    hint: ReloadHint,
    acks: Acks,
  ): void {
    if (this.#ended) return;
    if (message === null) {
      this.#broken.reject(new Error('the broker cancelled the consumer (was its queue deleted?)'));
      return;
    }
    this.#take(message, sink, hint);
    acks.taken(message);
    this.#delivered++;
    this.#noteHeard();
  }

  #take(message: ConsumeMessage, sink: RevocationSink, hint: ReloadHint): void {
    this.#log.debug(LOG_KEY, 'Token revoked jms Message Received');
    const reading = readRevocationMessage({
      body: message.content,
      contentType: text(message.properties.contentType),
      contentEncoding: text(message.properties.contentEncoding),
      type: text(message.properties.type),
    });
    if (reading.kind === 'revocation') {
      sink.add(reading.event);
      this.#log.debug(LOG_KEY, 'Successfully added to revoked token map');
      return;
    }
    if (reading.kind === 'rule') {
      sink.rule(reading.event);
      this.#log.debug(LOG_KEY, 'Successfully read a revocation rule');
      return;
    }
    sink.drop(reading.reason);
    if (reading.reload) hint.give();
    this.#log.debug(
      LOG_KEY,
      reading.reason === NO_TOKEN
        ? NO_TOKEN
        : `Error occurred while reading message: ${reading.reason}`,
    );
  }

  /** `promise`, but not longer than `ms`: a broker that goes silent is a broken link. */
  async #within<T>(ms: number, promise: Promise<T>, stop: AbortSignal): Promise<T> {
    const done = new AbortController();
    const signal = AbortSignal.any([stop, done.signal]);
    const late = pause(ms, undefined, { signal }).then(() => {
      throw new Error(`the broker did not answer within ${ms} ms`);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      done.abort();
    }
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
