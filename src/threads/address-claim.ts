import { lookup } from 'node:dns/promises';
import { createServer, isIP } from 'node:net';
import { describeError } from '../errors.ts';
import { type Bound, type ListenAddress, ListenError } from '../gateway/options.ts';
import type { Log } from '../log.ts';
import { AddressLock } from './address-lock.ts';

const LOG_KEY = 'DataPlane';

/**
 * Whether several threads may listen on one address. Elsewhere than on Linux either the system has no `SO_REUSEPORT` that shares out
 * connections, or nothing that a lock could be made of (address-lock.ts): there one thread listens, and the port itself is the lock.
 */
export const CAN_SHARE_ADDRESSES = process.platform === 'linux';

export interface ClaimOptions {
  /** True: another gateway may have the addresses, and is about to end. */
  readonly takeover: boolean;
  readonly log: Log;
}

/** That this process, and no other gateway, serves some addresses. */
export class AddressClaim {
  readonly #locks: AddressLock[] = [];
  readonly #log: Log;

  private constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Claims the addresses before any thread listens on them: locks each, then binds it once by itself, without sharing, and lets go again.
   * Taking over, addresses that are in use are left for the threads to share; the lock is taken when its holder ends.
   * @throws ListenError when somebody else has one
   */
  static async of(
    addresses: readonly ListenAddress[],
    { takeover, log }: ClaimOptions,
  ): Promise<AddressClaim> {
    const claim = new AddressClaim(log);
    try {
      for (const address of addresses) await claim.#claim(address, takeover);
      return claim;
    } catch (error) {
      claim.release();
      throw error;
    }
  }

  /** Locks also the ports that the system chose. */
  async hold(addresses: readonly ListenAddress[], bound: readonly Bound[]): Promise<void> {
    if (!CAN_SHARE_ADDRESSES) return;
    for (const { kind, host, port } of bound) {
      const asked = addresses.find((address) => address.kind === kind);
      if (asked?.port === 0) this.#takeOver(this.#lock(host, port));
    }
  }

  release(): void {
    for (const lock of this.#locks) lock.release();
  }

  async #claim(address: ListenAddress, takeover: boolean): Promise<void> {
    const { host, port } = address;
    const ip = isIP(host) === 0 ? await resolve(address) : host;
    let isLocked: boolean | undefined;
    if (CAN_SHARE_ADDRESSES && port !== 0) {
      const lock = this.#lock(ip, port);
      isLocked = await lock.take().catch((error: unknown) => this.#sayUnlocked(error));
      if (isLocked === false) {
        if (!takeover)
          throw new ListenError(
            address,
            { code: 'EADDRINUSE', message: 'locked' },
            'another gateway has this port. End it, or start this one with --takeover, which shares the port until that one ends',
          );
        const where = `${host}:${port}`;
        this.#log.info(
          LOG_KEY,
          `Sharing ${where} with the gateway that has it, until that one ends`,
        );
        this.#takeOver(lock);
      }
    }
    // With our own lock on it, no gateway has it: another program may.
    if (!(takeover && CAN_SHARE_ADDRESSES) || isLocked === true) await bindOnce(address, takeover);
  }

  #lock(host: string, port: number): AddressLock {
    const lock = new AddressLock(host, port);
    this.#locks.push(lock);
    return lock;
  }

  /** In the background: what serves does not wait for it. */
  #takeOver(lock: AddressLock): void {
    lock.takeOver().catch((error: unknown) => this.#sayUnlocked(error));
  }

  /** A port that is in use is still found, but not two gateways that start at the same moment. */
  #sayUnlocked(error: unknown): undefined {
    this.#log.warn(
      LOG_KEY,
      `An address cannot be locked against other gateways: ${describeError(error)}`,
    );
  }
}

async function resolve(address: ListenAddress): Promise<string> {
  try {
    return (await lookup(address.host)).address;
  } catch (error) {
    throw new ListenError(address, error as NodeJS.ErrnoException);
  }
}

/**
 * Whether the address can be had, by having it for a moment.
 * @param shared also beside a gateway that has it under another name: `0.0.0.0`
 * @throws ListenError
 */
function bindOnce(address: ListenAddress, shared: boolean): Promise<void> {
  const { host, port } = address;
  return new Promise((done, fail) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error) => fail(new ListenError(address, error)));
    const reusePort = shared && CAN_SHARE_ADDRESSES;
    server.listen({ host, port, exclusive: true, reusePort }, () => server.close(() => done()));
  });
}
