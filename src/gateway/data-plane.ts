import type { Authenticator } from '../auth/authenticate.ts';
import type { ExtensionFilter } from '../extension.ts';
import type { Log } from '../log.ts';
import type { TrustedProxies } from './client-address.ts';
import type { Routes } from './routes.ts';
import type { HeaderPolicy } from './headers.ts';
import type { HeldBack } from './held-back.ts';
import type { Observer } from './observe.ts';
import type { Limits } from './options.ts';
import type { Tracer } from './trace-context.ts';
import type { Endpoints } from './upstream.ts';

/** What every request of one generation shares. Nothing of it changes but `draining`, `closing` and `shedding`. */
export interface DataPlane {
  readonly routes: Routes;
  /** The gateway is about to close: not ready any more, and every response is the last of its connection. */
  readonly draining: boolean;
  /** Connections are closed as soon as nothing is under way on them. */
  readonly closing: boolean;
  /** There is too much to do: requests are refused unread. */
  readonly shedding: boolean;
  readonly authenticator: Authenticator;
  readonly ready: () => boolean;
  readonly filter: ExtensionFilter | undefined;
  readonly keyManager: Endpoints | undefined;
  readonly policy: HeaderPolicy;
  readonly limits: Limits;
  readonly trustedProxies: TrustedProxies;
  /** Milliseconds; see {@link UpstreamOptions.idleBodyTimeoutMs}. */
  readonly idleBodyTimeoutMs: number;
  /** Milliseconds; see {@link Timeouts.webSocketIdleMs}. */
  readonly webSocketIdleMs: number;
  readonly realm: string;
  readonly keepAlive: boolean;
  readonly observer: Observer;
  /** Refusals that wait a little. */
  readonly heldBack: HeldBack;
  /** Undefined: what clients say of traces passes untouched. */
  readonly tracer: Tracer | undefined;
  readonly log: Log;
}
