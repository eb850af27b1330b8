import { setTimeout as pause } from 'node:timers/promises';
import type { ConfirmChannel } from 'amqplib';
import type { Log } from '../log.ts';
import type { OutgoingRevocation, RevocationPublisher } from '../revocation/source.ts';
import { AmqpDialer, type AmqpLink, type AmqpPeerOptions } from './amqp-dialer.ts';
import { writeAmqpMap, type AmqpMapValue } from './decode/amqp-map.ts';

export interface AmqpPublisherOptions extends AmqpPeerOptions {
  readonly name: string;
  /** JMS topic: the routing key. */
  readonly topic: string;
  /** Milliseconds to wait for the broker's confirm. Default 10,000. */
  readonly confirmTimeoutMs?: number;
}

/** WSO2's number for its super tenant `carbon.super`. */
const SUPER_TENANT = -1234;
/** `JMS_QPID_DESTTYPE` of a topic. */
const TOPIC = 2;
const DEFAULT_CONFIRM_TIMEOUT_MS = 10_000;

interface Line {
  readonly link: AmqpLink;
  readonly channel: ConfirmChannel;
}

/**
 * Publishes revocations to a JMS topic, as the MapMessage that WSO2's own gateway reads (content-type `amqp/map`): persistent, on a
 * confirm channel. A connection is made with the first message and again after it broke, each time to the next broker of the URL.
 * @throws OperatorError `ERR_JMS_URL` when the URL cannot be used.
 */
export function createAmqpPublisher(options: AmqpPublisherOptions, log: Log): RevocationPublisher {
  const dialer = new AmqpDialer(options, log);
  const stop = new AbortController();
  let line: Promise<Line> | undefined;

  const connect = (): Promise<Line> => {
    const opening = openLine(dialer, stop.signal);
    line = opening;
    const forget = (): void => {
      if (line === opening) line = undefined;
    };
    opening.then(({ link }) => link.lost.catch(forget), forget);
    return opening;
  };

  return {
    name: options.name,
    publish: async (revocation) => {
      if (stop.signal.aborted) throw new Error('the publisher is closed');
      const used = line ?? connect();
      const { channel, link } = await used;
      const limit = options.confirmTimeoutMs ?? DEFAULT_CONFIRM_TIMEOUT_MS;
      try {
        await confirmed(channel, dialer.url.topicExchange, options.topic, revocation, limit);
      } catch (error) {
        // Whether the broker has it is not known: a new channel is the only sure way to count confirms again.
        if (line === used) line = undefined;
        await link.close();
        throw dialer.failure('The revocation was not accepted.', error, link.broker);
      }
    },
    close: async () => {
      stop.abort();
      const opened = await line?.catch(() => undefined);
      await opened?.link.close();
    },
  };
}

async function openLine(dialer: AmqpDialer, signal: AbortSignal): Promise<Line> {
  const link = await dialer.open(signal);
  try {
    const late = pause(link.timeoutMs, undefined, { signal, ref: false }).then(() => {
      throw new Error(`the broker did not answer within ${link.timeoutMs} ms`);
    });
    const channel = await Promise.race([link.model.createConfirmChannel(), late]);
    channel.on('error', () => undefined); // told by the confirm that fails
    // A channel that is closed confirms nothing more, so the connection goes with it.
    channel.on('close', () => void link.close());
    return { link, channel };
  } catch (error) {
    await link.close();
    throw dialer.failure('Error while creating the jms session.', error, link.broker);
  }
}

async function confirmed(
  channel: ConfirmChannel,
  exchange: string,
  topic: string,
  revocation: OutgoingRevocation,
  limitMs: number,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error(`no confirm within ${limitMs} ms`)), limitMs);
  try {
    channel.publish(
      exchange,
      topic,
      mapMessageOf(revocation, Date.now()),
      {
        contentType: 'amqp/map',
        persistent: true,
        messageId: `ID:${revocation.eventId}`,
        headers: { JMS_QPID_DESTTYPE: TOPIC },
      },
      (error: unknown) => {
        if (error === null || error === undefined) resolve();
        else reject(error instanceof Error ? error : new Error('the broker refused it'));
      },
    );
    await promise;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * WSO2's six fields, `ttl` in seconds as text and `expiryTime` in epoch milliseconds, and `issuer` beside them, which WSO2's readers pass
 * over. `now` is epoch milliseconds.
 */
function mapMessageOf(revocation: OutgoingRevocation, now: number): Buffer {
  const seconds = Math.max(1, Math.ceil((revocation.expiresAtMs - now) / 1000));
  return writeAmqpMap(
    new Map<string, AmqpMapValue>([
      ['eventId', revocation.eventId],
      ['revokedToken', revocation.token],
      ['ttl', String(seconds)],
      ['expiryTime', BigInt(Math.ceil(revocation.expiresAtMs))],
      ['type', revocation.tokenType === 'JWT' ? 'JWT' : 'Opaque'],
      ['tenantId', SUPER_TENANT],
      ['issuer', revocation.issuer],
    ]),
  );
}
