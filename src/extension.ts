import type { Log } from './log.ts';
import type { RevocationEvent } from './revocation/revocation.ts';
import type { RuleEvent } from './revocation/rule-event.ts';

/** Values of one section of micro-gw.conf, as TOML has them. */
export type ConfigSection = Readonly<Record<string, unknown>>;

/**
 * All tokens that have these claims and were issued no later than `issuedBefore`: `{ claims: { sub: 'alice' }, issuedBefore: revokedAt }`,
 * where `revokedAt` is the time of the revocation and not of its reading. docs/rules.md says what else a rule can name.
 */
export type RevocationRule = Omit<RuleEvent, 'action'> & Partial<Pick<RuleEvent, 'action'>>;

/** What a revocation extension may call. The same calls that the built-in sources make. */
export interface ExtensionSink {
  /**
   * One revoked token: `token` is a jti, signature, whole JWT or opaque token. Throws when more was added since the last `complete` than
   * the gateway may hold; the call has failed then.
   */
  add(event: RevocationEvent): void;
  /** One rule, of a kind that `rules` of the section allows; `lift` as `action` takes one back, where that is allowed. */
  rule(event: RevocationRule): void;
  /**
   * Everything that is revoked now has been added: call it once the whole store was read, and after every full re-read. Throws when something
   * was added and nothing of it is a revocation: such a list was not understood. It proves how fresh the list is: everything is known that was
   * revoked before the last call, or before the extension was called.
   */
  complete(): void;
}

export interface RevocationExtensionContext {
  /** `[tokenRevocationConfig.persistent]`, own keys included. */
  readonly config: ConfigSection;
  /** Aborted when the gateway stops, and when a whole new read is wanted: return then; in the second case the extension is called again. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/**
 * Default export of `extensions/token_revocation_extension.ts`: runs for every `type` but `default`, `etcd` and `event-stream`. Adds
 * what is revoked, calls `complete`, then keeps following until the signal aborts; an error thrown out of it restarts it later. One that
 * returns after `complete` is called again every `reconcileInterval`; one that stays and has not called `complete` again by then is told to
 * return, and called again.
 */
export type RevocationExtension = (
  sink: ExtensionSink,
  context: RevocationExtensionContext,
) => Promise<void>;

/**
 * Default export of `extensions/startup_extension.ts`: called once, before the listeners open. Throwing stops the start, and so does
 * taking longer than 60 seconds: what is to go on must not be awaited. `signal` aborts when the gateway stops.
 */
export type StartupExtension = (context: {
  readonly log: Log;
  readonly signal: AbortSignal;
}) => void | Promise<void>;

/** A request on its way to the upstream: one that passed authentication, or whose operation needs none. */
export interface FilterRequest {
  readonly method: string;
  /** Path and query, as they will be matched and forwarded. */
  readonly target: string;
  /** Header fields that go upstream; names in lower case. May be changed: hop-by-hop and framing fields are not in it. */
  readonly headers: Map<string, string>;
  readonly requestId: string;
  /** `sub` of the caller's token, when the operation is secured. */
  readonly subject: string | undefined;
}

/** The head of a response on its way to the client: the upstream's, the filter's own answer, or one of the gateway's own faults. */
export interface FilterResponse {
  status: number;
  /** Names in lower case; may be changed. */
  readonly headers: Map<string, string>;
  readonly requestId: string;
}

/** An answer in place of the upstream's. */
export interface FilterAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/**
 * Default export of `extensions/extension_filter.ts`. Both parts are optional; without them it costs nothing. The gateway has several
 * threads, and each loads the module for itself: what it keeps in variables is not shared.
 */
export interface ExtensionFilter {
  /**
   * Called for every request that passed authentication or needs none, before it is forwarded; an answer ends it there. What HTTP does not
   * allow in the headers is answered with 500, and so is an error thrown here.
   */
  filterRequest?(
    request: FilterRequest,
  ): FilterAnswer | undefined | Promise<FilterAnswer | undefined>;
  /** Called with every response head before it is sent, the gateway's own faults included. Its errors are answered with 500. */
  filterResponse?(response: FilterResponse): void | Promise<void>;
}
