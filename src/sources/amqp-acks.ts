import { setTimeout as pause } from 'node:timers/promises';
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Log } from '../log.ts';
import type { RevocationSink } from '../revocation/source.ts';

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;
const LOG_KEY = 'TokenRevocationJMS';

/**
 * Acknowledges messages once what they said is on disk: all of them up to the last with one frame, so that a flood costs no more than a
 * message. While the disk fails nothing is acknowledged, and it is asked again with growing pauses; what was delivered acts all the same.
 * Only the newest message is held, whatever waits for its acknowledgement.
 */
export class Acks {
  readonly #channel: Channel;
  readonly #durable: () => Promise<void>;
  readonly #log: Log;
  readonly #broken: (error: unknown) => void;
  readonly #stop = new AbortController();
  #newest: ConsumeMessage | undefined;
  #running = false;

  /** @param broken called when an acknowledgement cannot be sent */
  constructor(
    channel: Channel,
    sink: Pick<RevocationSink, 'durable'>,
    log: Log,
    broken: (error: unknown) => void,
  ) {
    this.#channel = channel;
    this.#durable = () => sink.durable?.() ?? Promise.resolve();
    this.#log = log;
    this.#broken = broken;
  }

  /** `message` was taken: it is acknowledged, with all before it, as soon as that is true. */
  taken(message: ConsumeMessage): void {
    this.#newest = message;
    if (this.#running) return;
    this.#running = true;
    this.#run().catch(this.#broken);
  }

  /** From now on nothing is acknowledged: the broker delivers it again, where it keeps it. */
  end(): void {
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    while (this.#newest !== undefined) {
      const upTo = this.#newest;
      await this.#onDisk();
      if (this.#stop.signal.aborted) return;
      if (this.#newest === upTo) this.#newest = undefined;
      this.#channel.ack(upTo, true);
    }
    this.#running = false;
  }

  /** Resolves when everything taken so far is on disk, or nobody wants to know any more. */
  async #onDisk(): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await this.#durable();
        if (failures > 0) this.#log.info(LOG_KEY, 'Messages are acknowledged again');
        return;
      } catch {
        // The journal says itself what is wrong.
        if (failures === 0)
          this.#log.warn(
            LOG_KEY,
            'Messages are not acknowledged: what they revoke is enforced, but cannot be kept on disk',
          );
        const ms = Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS);
        await pause(ms, undefined, { signal }).catch(() => undefined);
      }
    }
  }
}
