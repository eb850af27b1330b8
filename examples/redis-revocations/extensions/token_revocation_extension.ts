import type { RevocationExtension } from 'portcullis';
import { createClient } from 'redis';

/** Entries asked for at a time while the stream is read. */
const PAGE = 1000;
/** Milliseconds that a read waits for a new entry: shows often enough that Redis is still there. */
const WAIT_MS = 5000;

/**
 * Revoked tokens in a Redis stream: each entry has `token`, and may have `ttl` or `expiryTime`, and `issuer`. A stream is a list and its
 * changes in one: it is read from its first entry, and then from the last one read, so that nothing can fall between the two.
 *
 * Keys of `[tokenRevocationConfig.persistent]`: `endpointURL` (`redis://host:6379`, or `rediss://` for TLS), `username`, `password`, and `stream`
 * (default `revocations`).
 */
const followRedis: RevocationExtension = async (sink, { config, signal, log }) => {
  const stream = text(config['stream']) ?? 'revocations';
  const username = text(config['username']);
  const password = text(config['password']);
  const client = createClient({
    url: text(config['endpointURL']) ?? text(config['hostname']) ?? 'redis://127.0.0.1:6379',
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    // Whoever loses Redis throws: the gateway calls this function again after a pause, and the whole stream is read again.
    socket: { reconnectStrategy: false, connectTimeout: 3000, socketTimeout: 3 * WAIT_MS },
    disableOfflineQueue: true,
  });
  // Without a listener, an error between two commands would end the process. The next command rejects with it.
  client.on('error', () => undefined);
  // A client that is still connecting cannot be destroyed without losing its socket: `connect` comes back soon.
  const disconnect = (): void => {
    if (client.isReady) client.destroy();
  };
  signal.addEventListener('abort', disconnect, { once: true });

  try {
    await client.connect();
    if (!signal.aborted) await warnOfEviction();
    let last = '0-0';
    for (let caughtUp = false; !signal.aborted;) {
      const streams = await client.xRead(
        { key: stream, id: last },
        caughtUp ? { COUNT: PAGE, BLOCK: WAIT_MS } : { COUNT: PAGE },
      );
      const entries = messagesOf(streams);
      for (const { id, message } of entries) {
        const { token, ttl, expiryTime, issuer } = message;
        // What is missing in an entry is missing here too: the gateway counts an entry without a token.
        sink.add({
          ...(token === undefined ? {} : { token }),
          ...(ttl === undefined ? {} : { ttl }),
          ...(expiryTime === undefined ? {} : { expiryTime }),
          ...(issuer === undefined ? {} : { issuer }),
        });
        last = id;
      }
      // Nothing newer: everything that is revoked now was added.
      if (entries.length === 0) {
        caughtUp = true;
        sink.complete();
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', disconnect);
    if (client.isOpen) client.destroy();
  }

  /** A Redis that may evict any key may forget the stream. */
  async function warnOfEviction(): Promise<void> {
    try {
      const { 'maxmemory-policy': policy } = await client.configGet('maxmemory-policy');
      if (policy?.startsWith('allkeys-') === true)
        log.warn(
          'RedisRevocations',
          `Redis may evict the stream: its maxmemory-policy is ${policy}`,
        );
    } catch {
      // Users without CONFIG may follow the stream all the same.
    }
  }
};

export default followRedis;

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

interface StreamMessage {
  readonly id: string;
  readonly message: Readonly<Record<string, string | undefined>>;
}

/** The entries of the one stream that was asked for; none when nothing came. */
function messagesOf(streams: unknown): readonly StreamMessage[] {
  if (!Array.isArray(streams)) return [];
  const [first] = streams as { messages: StreamMessage[] }[];
  return first?.messages ?? [];
}
