import { connect, type Options } from 'amqplib';

/** A message as a JMS client would put it on the wire. */
export interface TopicMessage {
  readonly body: Buffer | string;
  readonly properties?: Options.Publish;
  /** Default `amq.topic`. */
  readonly exchange?: string;
  /** Default `tokenRevocation`. */
  readonly topic?: string;
}

/** Where to publish: a broker that `guest` (or whoever is named) may use. */
export interface TopicBroker {
  readonly port: number;
  readonly vhost?: string;
  readonly username?: string;
  readonly password?: string;
}

/**
 * Publishes in this order on one channel and resolves when the broker has taken everything.
 * @returns which of the messages the broker routed to nobody
 */
export async function publish(
  { port, vhost = '/', username = 'guest', password = 'guest' }: TopicBroker,
  ...messages: readonly TopicMessage[]
): Promise<readonly TopicMessage[]> {
  const connection = await connect({ hostname: '127.0.0.1', port, vhost, username, password });
  // A broker that goes away: the channel's answers, or their absence, say so.
  const lost = new Promise<never>((_resolve, reject) => connection.once('error', reject));
  lost.catch(() => undefined);
  try {
    const channel = await connection.createConfirmChannel();
    const unrouted: TopicMessage[] = [];
    const failed = new Promise<never>((_resolve, reject) => channel.once('error', reject));
    failed.catch(() => undefined);
    channel.on('return', (message) => {
      const returned = messages[Number(message.properties.headers?.['x-test-index'])];
      if (returned !== undefined) unrouted.push(returned);
    });
    for (const [index, { body, properties, exchange, topic }] of messages.entries())
      channel.publish(
        exchange ?? 'amq.topic',
        topic ?? 'tokenRevocation',
        Buffer.from(body as string),
        {
          ...properties,
          mandatory: true,
          headers: { ...(properties?.headers as object), 'x-test-index': index },
        },
      );
    await Promise.race([channel.waitForConfirms(), failed, lost]);
    return unrouted;
  } finally {
    await connection.close().catch(() => undefined);
  }
}

/** A revocation as WSO2's API Manager 4 publishes it. */
export function revocationMessage(revokedToken: string, ttl = '3600'): TopicMessage {
  return {
    body: JSON.stringify({ event: { payloadData: { revokedToken, ttl } } }),
    properties: { contentType: 'text/plain' },
  };
}
