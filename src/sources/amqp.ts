import { setTimeout as pause } from 'node:timers/promises';
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Log } from '../log.ts';
import type { RevocationSink, RevocationSource } from '../revocation/source.ts';
import { AmqpDialer, type AmqpLink, type AmqpPeerOptions } from './amqp-dialer.ts';
import { NO_TOKEN } from './decode/revocation-fields.ts';
import { readRevocationMessage } from './decode/revocation-message.ts';
import { createReloadHint, type ReloadHint } from './reload-hint.ts';

export interface AmqpSourceOptions extends AmqpPeerOptions {
  readonly name: string;
  /** JMS topic (`jmsConnectionTopic`): the routing key of its messages. */
  readonly topic: string;
  /** Milliseconds between two proofs that the subscription stands. Default 10,000. */
  readonly aliveIntervalMs?: number;
  /** Unacknowledged messages at a time. Default: the URL's `maxprefetch`, else 500. At most 5,000. */
  readonly prefetch?: number;
  /** Called, at most every few seconds, after an event that only the stores can tell the whole of (a rule, a batch). */
  readonly onReloadHint?: () => void;
}

const LOG_KEY = 'TokenRevocationJMS';
const RABBITMQ_JMS_EXCHANGE = 'jms.durable.topic';
const DEFAULT_ALIVE_INTERVAL_MS = 10_000;
const DEFAULT_PREFETCH = 500;
const MAX_PREFETCH = 5000;
const SHORTEST_ANSWER_MS = 10_000;

/**
 * A JMS topic over AMQP 0-9-1 (WSO2's broker, Qpid, RabbitMQ): a non-durable subscription, as WSO2's gateway has it. What is published
 * while it does not stand is lost to it.
 * @throws OperatorError `ERR_JMS_URL` when the URL cannot be used.
 */
export function createAmqpSource(options: AmqpSourceOptions, log: Log): RevocationSource {
  const dialer = new AmqpDialer(options, log);
  const jmsRefusal = { logged: false };
  return {
    name: options.name,
    kind: 'events',
    follow: async (sink, signal) => {
      if (signal.aborted) return;
      const hint = createReloadHint(options.onReloadHint);
      try {
        const link = await dialer.open(signal);
        log.debug(LOG_KEY, 'Successfully created jms connection');
        const subscription = new Subscription(link, options, dialer, log, jmsRefusal);
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

/** One subscription on one connection, until it breaks. */
class Subscription {
  readonly #link: AmqpLink;
  readonly #options: AmqpSourceOptions;
  readonly #dialer: AmqpDialer;
  readonly #log: Log;
  readonly #jmsRefusal: { logged: boolean };
  readonly #broken = Promise.withResolvers<never>();
  #ended = false;
  #standing = false;

  constructor(
    link: AmqpLink,
    options: AmqpSourceOptions,
    dialer: AmqpDialer,
    log: Log,
    jmsRefusal: { logged: boolean },
  ) {
    this.#link = link;
    this.#options = options;
    this.#dialer = dialer;
    this.#log = log;
    this.#jmsRefusal = jmsRefusal;
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
    const { channel, queue, exchanges } = await this.#within(
      this.#link.timeoutMs,
      this.#subscribe(sink, hint),
      stop,
    );
    if (this.#ended) return;
    this.#standing = true;
    this.#log.info(LOG_KEY, 'subscriber service for token revocation is started');
    sink.complete();

    const interval = this.#options.aliveIntervalMs ?? DEFAULT_ALIVE_INTERVAL_MS;
    for (;;) {
      await pause(interval, undefined, { signal: stop });
      const limit = Math.max(interval, SHORTEST_ANSWER_MS);
      const found = await this.#within(limit, channel.checkQueue(queue), stop);
      if (found.consumerCount < 1) throw new Error('the queue has lost its consumer');
      // Nobody tells when a binding is taken away. Binding again mends it and changes nothing else; where the exchange itself is gone it
      // is refused, and everything is set up anew.
      for (const exchange of exchanges)
        await this.#within(limit, channel.bindQueue(queue, exchange, this.#options.topic), stop);
      // Messages that wait in the queue may be revocations that are not known here yet.
      if (found.messageCount === 0) sink.alive();
    }
  }

  async #subscribe(
    sink: RevocationSink,
    hint: ReloadHint,
  ): Promise<{
    readonly channel: Channel;
    readonly queue: string;
    /** Those that the queue is bound to. */
    readonly exchanges: readonly string[];
  }> {
    const { topic, prefetch } = this.#options;
    const { maxPrefetch, topicExchange } = this.#dialer.url;
    const channel = await this.#link.model.createChannel();
    channel.on('error', this.#broken.reject);
    channel.on('close', () => {
      // Later, because a connection that ends closes its channels first, and its own reason says more.
      setImmediate(() => this.#broken.reject(new Error('the channel was closed')));
    });
    await channel.prefetch(Math.min(prefetch ?? maxPrefetch ?? DEFAULT_PREFETCH, MAX_PREFETCH));
    // WSO2's broker changes names, so only the answer tells what the queue is called.
    const { queue } = await channel.assertQueue('', {
      exclusive: true,
      autoDelete: true,
      durable: false,
    });
    await channel.bindQueue(queue, topicExchange, topic);
    const exchanges = [topicExchange];
    if (this.#link.isRabbitmq && (await this.#bindRabbitmqJms(queue)))
      exchanges.push(RABBITMQ_JMS_EXCHANGE);
    await channel.consume(queue, (message) => this.#deliver(channel, message, sink, hint));
    return { channel, queue, exchanges };
  }

  /**
   * RabbitMQ's own JMS client has topics on an exchange of its own, which the first to come declares. Each attempt has a channel to
   * itself, because a refusal closes it; without the right to declare, an exchange that is there already still serves. Resolves to
   * whether the queue is bound.
   */
  async #bindRabbitmqJms(queue: string): Promise<boolean> {
    const declare = (channel: Channel): Promise<unknown> =>
      channel.assertExchange(RABBITMQ_JMS_EXCHANGE, 'topic', { durable: true, autoDelete: false });
    const find = (channel: Channel): Promise<unknown> =>
      channel.checkExchange(RABBITMQ_JMS_EXCHANGE);
    let refusal: unknown;
    for (const prepare of [declare, find]) {
      const channel = await this.#link.model.createChannel();
      channel.on('error', () => undefined); // the rejection below tells
      try {
        await prepare(channel);
        await channel.bindQueue(queue, RABBITMQ_JMS_EXCHANGE, this.#options.topic);
        await channel.close();
        return true;
      } catch (error) {
        refusal ??= error;
      }
    }
    if (this.#jmsRefusal.logged) return false;
    this.#jmsRefusal.logged = true;
    const what = `Messages of RabbitMQ's JMS client are not received: exchange ${RABBITMQ_JMS_EXCHANGE} cannot be used.`;
    this.#log.warn(LOG_KEY, this.#dialer.failure(what, refusal, this.#link.broker).message);
    return false;
  }

  #deliver(
    channel: Channel,
    message: ConsumeMessage | null,
    sink: RevocationSink,
    hint: ReloadHint,
  ): void {
    if (this.#ended) return;
    if (message === null) {
      this.#broken.reject(new Error('the broker cancelled the consumer (was its queue deleted?)'));
      return;
    }
    this.#take(message, sink, hint);
    try {
      channel.ack(message);
    } catch (error) {
      this.#broken.reject(error);
    }
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
