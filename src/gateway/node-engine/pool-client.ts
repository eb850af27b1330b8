import type { Socket } from 'node:net';
import { type buildConnector, Client, type Dispatcher } from 'undici';
import { UndiciCall } from './undici-call.ts';

/**
 * One connection of a pool. The pool gives a call to whichever is free, and cannot be asked for one that has served nothing: for a call that
 * needs that, the one at hand is closed, and undici connects anew.
 */
export class PoolClient extends Client {
  #socket: Socket | undefined;

  constructor(
    origin: string | URL,
    connect: buildConnector.connector,
    options: Omit<Client.Options, 'connect'>,
  ) {
    super(origin, {
      ...options,
      connect: (target, callback) => {
        connect(target, (...result) => {
          this.#socket = result[1] ?? undefined;
          callback(...result);
        });
      },
    });
    // Also when it has become a WebSocket's.
    this.on('disconnect', () => {
      this.#socket = undefined;
    });
  }

  override dispatch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
  ): boolean {
    if (handler instanceof UndiciCall && handler.fresh) this.#socket?.destroy();
    return super.dispatch(options, handler);
  }
}
