import { setTimeout as pause } from 'node:timers/promises';
import type { ConfirmChannel } from 'amqplib';
import type { Log } from '../log.ts';
import { systemClock } from '../revocation/clock.ts';
import type {
  OutgoingRevocation,
  OutgoingRule,
  RevocationPublisher,
} from '../revocation/source.ts';
import { AmqpDialer, type AmqpLink, type AmqpPeerOptions } from './amqp-dialer.ts';
import { writeAmqpMap, type AmqpMapValue } from './decode/amqp-map.ts';
import { writeRuleText } from './decode/rule-text.ts';

export interface AmqpPublisherOptions extends AmqpPeerOptions {
  readonly name: string;
  /** JMS topic: the routing key. */
  readonly topic: string;
  /** Milliseconds to wait for the broker's confirm. Default 10,000. */
  readonly confirmTimeoutMs?: number;
  /** Milliseconds after which what was sent over a new connection until then is sent once more. Default 60,000. */
  readonly repeatAfterMs?: number;
}

/** WSO2's number for its super tenant `carbon.super`. */
const SUPER_TENANT = -1234;
/** `JMS_QPID_DESTTYPE` of a topic. */
const TOPIC = 2;
const DEFAULT_CONFIRM_TIMEOUT_MS = 10_000;
/** Gateways that lost the same broker come back within half a minute, and hear nothing of what was sent before. */
const DEFAULT_REPEAT_AFTER_MS = 60_000;
/** Revocations that wait to be sent once more. */
const MAX_REPEATS = 100_000;

interface Line {
  readonly link: AmqpLink;
  readonly channel: ConfirmChannel;
  /** By message id: called when the broker has nobody to give the message to. */
  readonly returned: Map<string, () => void>;
  /** Subscribers may still be on their way back to this broker. */
  isNew: boolean;
}

/** One message as it is sent, once or twice. */
interface Message {
  readonly eventId: string;
  readonly revokedToken: string;
  readonly type: string;
  /** Absent: every issuer's. The text of a rule says it itself. */
  readonly issuer?: string;
  /** Epoch milliseconds: after that it is not worth sending. */
  readonly endsAtMs: number;
  /** WSO2's field of this name, epoch milliseconds; 0 for what is no JWT. */
  readonly expiryTime: number;
}

/** The broker took the message and threw it away: a topic keeps nothing for later. */
class NobodyListens extends Error {}

/**
 * Publishes revocations to a JMS topic, as the MapMessage that WSO2's own gateway reads (content-type `amqp/map`): persistent, on a
 * confirm channel. A connection is made with the first message and again after it broke, each time to the next broker of the URL.
 *
 * A topic forgets what nobody hears, so a message that no subscriber got is refused here; and because some subscribers come back to a
 * broker later than others, what is sent soon after a connection was made is sent once more when all of them had the time.
 * @throws OperatorError `ERR_JMS_URL` when the URL cannot be used.
 */
export function createAmqpPublisher(options: AmqpPublisherOptions, log: Log): RevocationPublisher {
  const dialer = new AmqpDialer(options, log);
  const stop = new AbortController();
  const repeatAfterMs = options.repeatAfterMs ?? DEFAULT_REPEAT_AFTER_MS;
  let line: Promise<Line> | undefined;
  let repeats: Message[] = [];

  /** Nobody waits for a repeated message: its first copy was confirmed. */
  const repeat = (opened: Line): void => {
    opened.isNew = false;
    const again = repeats.filter(({ endsAtMs }) => endsAtMs > systemClock.earliest());
    repeats = [];
    try {
      for (const message of again)
        send(opened.channel, dialer.url.topicExchange, options.topic, message, false);
    } catch {
      // The channel has just been closed: the next connection's turn.
      repeats = [...again, ...repeats];
    }
  };

  const connect = (): Promise<Line> => {
    const opening = openLine(dialer, stop.signal);
    line = opening;
    const forget = (): void => {
      if (line === opening) line = undefined;
    };
    opening.then((opened) => {
      const timer = setTimeout(() => repeat(opened), repeatAfterMs);
      timer.unref();
      opened.link.lost.catch(() => {
        clearTimeout(timer);
        forget();
      });
    }, forget);
    return opening;
  };

  const deliver = async (message: Message): Promise<void> => {
    if (stop.signal.aborted) throw new Error('the publisher is closed');
    const used = line ?? connect();
    const opened = await used;
    const { link } = opened;
    const limit = options.confirmTimeoutMs ?? DEFAULT_CONFIRM_TIMEOUT_MS;
    try {
      await confirmed(opened, dialer.url.topicExchange, options.topic, message, limit);
      if (opened.isNew && repeats.length < MAX_REPEATS) repeats.push(message);
    } catch (error) {
      if (error instanceof NobodyListens) throw error;
      // Whether the broker has it is not known: a new channel is the only sure way to count confirms again.
      if (line === used) line = undefined;
      await link.close();
      throw dialer.failure('The revocation was not accepted.', error, link.broker);
    }
  };

  return {
    name: options.name,
    publish: (revocation) => deliver(messageOfToken(revocation)),
    publishRule: async (rule) => deliver(messageOfRule(rule)),
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
    const returned = new Map<string, () => void>();
    channel.on('return', ({ properties }) => returned.get(String(properties.messageId))?.());
    return { link, channel, returned, isNew: true };
  } catch (error) {
    await link.close();
    throw dialer.failure('Error while creating the jms session.', error, link.broker);
  }
}

async function confirmed(
  { channel, returned }: Line,
  exchange: string,
  topic: string,
  message: Message,
  limitMs: number,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error(`no confirm within ${limitMs} ms`)), limitMs);
  const id = messageIdOf(message);
  returned.set(id, () => reject(new NobodyListens(`nobody listens to the topic ${topic}`)));
  try {
    send(channel, exchange, topic, message, true, (error: unknown) => {
      if (error === null || error === undefined) resolve();
      else reject(error instanceof Error ? error : new Error('the broker refused it'));
    });
    await promise;
  } finally {
    returned.delete(id);
    clearTimeout(timer);
  }
}

/** @param mandatory the broker returns what it can give to nobody, before it confirms it */
function send(
  channel: ConfirmChannel,
  exchange: string,
  topic: string,
  message: Message,
  mandatory: boolean,
  onConfirm?: (error: unknown) => void,
): void {
  const properties = {
    contentType: 'amqp/map',
    persistent: true,
    mandatory,
    messageId: messageIdOf(message),
    headers: { JMS_QPID_DESTTYPE: TOPIC },
  };
  channel.publish(
    exchange,
    topic,
    mapMessageOf(message, systemClock.earliest()),
    properties,
    onConfirm,
  );
}

function messageIdOf({ eventId }: Message): string {
  return `ID:${eventId}`;
}

function messageOfToken(revocation: OutgoingRevocation): Message {
  const { eventId, token, tokenType, issuer, expiresAtMs } = revocation;
  return {
    eventId,
    revokedToken: token,
    type: tokenType === 'JWT' ? 'JWT' : 'Opaque',
    ...(issuer !== undefined && { issuer }),
    endsAtMs: expiresAtMs,
    expiryTime: Math.ceil(expiresAtMs),
  };
}

/** A rule is text in the place of a token, as WSO2's API Manager 4.3 sends it. @throws Error when it is too long */
function messageOfRule(outgoing: OutgoingRule): Message {
  const { type, text } = writeRuleText(outgoing);
  const { endsAtMs } = outgoing.rule;
  return { eventId: outgoing.eventId, revokedToken: text, type, endsAtMs, expiryTime: 0 };
}

/**
 * WSO2's six fields, `ttl` in seconds as text and `expiryTime` in epoch milliseconds, and `issuer` beside them, where one is meant, which WSO2's
 * readers pass over. `now` is epoch milliseconds.
 */
function mapMessageOf(message: Message, now: number): Buffer {
  const seconds = Math.max(1, Math.ceil((message.endsAtMs - now) / 1000));
  return writeAmqpMap(
    new Map<string, AmqpMapValue>([
      ['eventId', message.eventId],
      ['revokedToken', message.revokedToken],
      ['ttl', String(seconds)],
      ['expiryTime', BigInt(message.expiryTime)],
      ['type', message.type],
      ['tenantId', SUPER_TENANT],
      ...(message.issuer === undefined ? [] : [['issuer', message.issuer] as const]),
    ]),
  );
}
