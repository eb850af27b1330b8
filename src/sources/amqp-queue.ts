import type { Channel } from 'amqplib';
import type { Log } from '../log.ts';
import { OperatorError } from '../errors.ts';
import { digestOf } from '../revocation/token-key.ts';
import type { AmqpDialer, AmqpLink } from './amqp-dialer.ts';

/** A queue that the topic's messages come to. */
export interface TopicQueue {
  /** As the broker calls it. */
  readonly name: string;
  /** The exchanges that it is bound to. */
  readonly exchanges: readonly string[];
  /** It was there, and bound to this topic on these exchanges, before: what was published meanwhile is in it. */
  readonly kept: boolean;
}

export interface TopicQueueOptions {
  /** Routing key of its messages. */
  readonly topic: string;
  /** Name of the durable subscription; absent: the queue lives as long as the connection. */
  readonly durableSubscription?: string | undefined;
  /** Milliseconds without a consumer after which RabbitMQ deletes the queue of a durable subscription. Default 30 days. */
  readonly durableExpiresMs?: number | undefined;
}

const LOG_KEY = 'TokenRevocationJMS';
const RABBITMQ_JMS_EXCHANGE = 'jms.durable.topic';
const SUBSCRIPTION_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const DEFAULT_EXPIRES_MS = 30 * 86_400_000;
/** RabbitMQ keeps `x-expires` in 32 bits. */
const LONGEST_EXPIRES_MS = 2 ** 32 - 1;
const NOT_FOUND = 404;
/** Digits of base64url that tell one binding from another in the name of its mark. */
const MARK_DIGITS = 16;

/** @throws OperatorError `ERR_DURABLE_SUBSCRIPTION` */
export function checkDurableSubscription(name: string | undefined): void {
  if (name === undefined || SUBSCRIPTION_NAME.test(name)) return;
  throw new OperatorError(
    'ERR_DURABLE_SUBSCRIPTION',
    'durableSubscription is not the name of a subscription',
  );
}

/** Makes sure of queues for one topic, over any number of connections. */
export class TopicQueues {
  readonly #options: TopicQueueOptions;
  readonly #dialer: AmqpDialer;
  readonly #log: Log;
  #jmsRefusalLogged = false;

  constructor(options: TopicQueueOptions, dialer: AmqpDialer, log: Log) {
    this.#options = options;
    this.#dialer = dialer;
    this.#log = log;
  }

  /** Declares and binds on `channel`; what may be refused has a channel of its own. */
  async open(link: AmqpLink, channel: Channel): Promise<TopicQueue> {
    const { durableSubscription } = this.#options;
    if (durableSubscription !== undefined)
      return this.#openDurable(link, channel, durableSubscription);
    // WSO2's broker changes names, so only the answer tells what the queue is called.
    const { queue } = await channel.assertQueue('', {
      exclusive: true,
      autoDelete: true,
      durable: false,
    });
    return { name: queue, exchanges: await this.#bind(link, channel, queue), kept: false };
  }

  /**
   * The queue stays when the connection goes, so what it finds there was kept. On RabbitMQ that it is there does not say that it was ever
   * bound to this topic: the mark of this binding does. RabbitMQ deletes exclusive queues with their connection, so there only the consumer
   * is exclusive; other brokers get what the JMS clients declare.
   */
  async #openDurable(link: AmqpLink, channel: Channel, subscription: string): Promise<TopicQueue> {
    const { isRabbitmq } = link;
    const wanted = isRabbitmq
      ? `portcullis.${subscription}`
      : `${this.#dialer.url.vhost.replace(/^\//, '')}:${subscription}`;
    const there = await this.#isThere(link, (side) => side.checkQueue(wanted));
    if (isRabbitmq && !there) await this.#removeMarks(channel, wanted);
    // What is there already is taken with whatever arguments it was made.
    const name = there ? wanted : await this.#declareDurable(link, channel, wanted);
    const exchanges = await this.#bind(link, channel, name);
    const marked = !isRabbitmq || (await this.#mark(link, channel, name, exchanges));
    return { name, exchanges, kept: there && marked };
  }

  /**
   * Marks a queue as bound to these exchanges, once it is: by an exchange of its own, which nothing is published to. RabbitMQ deletes it with
   * the queue, whose binding keeps it, so no mark speaks for a queue that was made later. A queue keeps its bindings, and so their marks.
   * @returns whether it was marked before
   */
  async #mark(
    link: AmqpLink,
    channel: Channel,
    queue: string,
    exchanges: readonly string[],
  ): Promise<boolean> {
    const mark = this.#markOf(queue, exchanges);
    const marked = await this.#isThere(link, (side) => side.checkExchange(mark));
    if (!marked) await channel.assertExchange(mark, 'fanout', { durable: true, autoDelete: true });
    // Also when it was there: whoever made it may have died before this.
    await channel.bindQueue(queue, mark, '');
    return marked;
  }

  /** Before a queue is made: a mark whose maker died before the queue was bound to it did not go with that queue. */
  async #removeMarks(channel: Channel, queue: string): Promise<void> {
    const { topicExchange } = this.#dialer.url;
    for (const exchanges of [[topicExchange], [topicExchange, RABBITMQ_JMS_EXCHANGE]])
      await channel.deleteExchange(this.#markOf(queue, exchanges));
  }

  #markOf(queue: string, exchanges: readonly string[]): string {
    const bound = digestOf(JSON.stringify([this.#options.topic, ...exchanges]));
    return `${queue}.bound.${bound.slice(0, MARK_DIGITS)}`;
  }

  async #declareDurable(link: AmqpLink, channel: Channel, wanted: string): Promise<string> {
    const { durableExpiresMs = DEFAULT_EXPIRES_MS } = this.#options;
    const { queue } = await channel.assertQueue(wanted, {
      durable: true,
      autoDelete: false,
      exclusive: !link.isRabbitmq,
      ...(link.isRabbitmq && {
        expires: Math.max(1, Math.min(Math.ceil(durableExpiresMs), LONGEST_EXPIRES_MS)),
      }),
    });
    return queue;
  }

  /** Whether a passive declaration finds what it names. A refusal closes its channel. */
  async #isThere(link: AmqpLink, check: (side: Channel) => Promise<unknown>): Promise<boolean> {
    const side = await link.model.createChannel();
    side.on('error', () => undefined); // the rejection below tells
    try {
      await check(side);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === NOT_FOUND) return false;
      throw error;
    }
    await side.close();
    return true;
  }

  async #bind(link: AmqpLink, channel: Channel, queue: string): Promise<readonly string[]> {
    const { topicExchange } = this.#dialer.url;
    await channel.bindQueue(queue, topicExchange, this.#options.topic);
    if (link.isRabbitmq && (await this.#bindRabbitmqJms(link, queue)))
      return [topicExchange, RABBITMQ_JMS_EXCHANGE];
    return [topicExchange];
  }

  /**
   * RabbitMQ's own JMS client has topics on an exchange of its own, which the first to come declares. Each attempt has a channel to
   * itself, because a refusal closes it; without the right to declare, an exchange that is there already still serves. Resolves to
   * whether the queue is bound.
   */
  async #bindRabbitmqJms(link: AmqpLink, queue: string): Promise<boolean> {
    const declare = (channel: Channel): Promise<unknown> =>
      channel.assertExchange(RABBITMQ_JMS_EXCHANGE, 'topic', { durable: true, autoDelete: false });
    const find = (channel: Channel): Promise<unknown> =>
      channel.checkExchange(RABBITMQ_JMS_EXCHANGE);
    let refusal: unknown;
    for (const prepare of [declare, find]) {
      const channel = await link.model.createChannel();
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
    if (this.#jmsRefusalLogged) return false;
    this.#jmsRefusalLogged = true;
    const what = `Messages of RabbitMQ's JMS client are not received: exchange ${RABBITMQ_JMS_EXCHANGE} cannot be used.`;
    this.#log.warn(LOG_KEY, this.#dialer.failure(what, refusal, link.broker).message);
    return false;
  }
}
