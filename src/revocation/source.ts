import type { RevocationEvent } from './revocation.ts';
import type { Lift, Rule } from './rule.ts';
import type { RuleEvent } from './rule-event.ts';

/**
 * Somewhere revocations come from: a broker, a store, an event stream, an extension. Adapters never retry and never remember: `follow`
 * (follow.ts) restarts any of them with jittered back-off and keeps what each last proved.
 */
export interface RevocationSource {
  /** Name for logs and counters, unique within one gateway. */
  readonly name: string;
  /**
   * `list`: reads everything that is revoked, then changes. `events`: only hears of changes from now on, so a gap in it must be closed
   * by a `list` source.
   */
  readonly kind: 'list' | 'events';
  /**
   * Delivers what is already revoked (list), then every change, until `signal` aborts (resolves then). Rejects when the link breaks or
   * nothing sensible was answered; the error's message is logged and must hold no secret.
   */
  follow(sink: RevocationSink, signal: AbortSignal): Promise<void>;
  /** Asks a `list` source that is being followed for a whole new read, soon: called after an `events` source came back. */
  reread?(): void;
}

/** Where an adapter puts what it hears. All calls are synchronous and cheap; none throws. */
export interface RevocationSink {
  /** One revocation, from the list or as a change. Only ever adds: nothing a source says revives a token. */
  add(event: RevocationEvent): void;
  /** One rule, or one that an operator of another gateway took back: taken where the source's `rules` allow its kind. */
  rule(event: RuleEvent): void;
  /** One message or entry that carries no usable revocation. Counted; `reason` is a fixed phrase without content of the message. */
  drop(reason: string): void;
  /**
   * `list`: everything that is revoked was added. `events`: the subscription stands. From now on nothing is missed. `gapless` says that
   * nothing was missed before either, since the last time it stood: a durable subscription.
   */
  complete(gapless?: boolean): void;
  /**
   * Proof that nothing was missed up to a moment. `sinceMs` is that moment as `performance.now()`: when the question was asked that the
   * proof answers, never when the answer came. Absent: now, for what the other side sends by itself.
   */
  alive(sinceMs?: number): void;
  /**
   * Resolves when everything added so far is on disk; rejects while the disk fails, and whoever has to know asks again after a pause. What
   * the other side keeps until it is acknowledged is acknowledged only then. Absent: nothing is kept on disk, nothing to wait for.
   */
  durable?(): Promise<void>;
  /**
   * Resolves when more of the same may follow. Whoever has a whole store to tell of waits for it between portions of some hundred entries, so
   * that the threads that answer requests keep their processors. Absent: nobody does.
   */
  rest?(): Promise<void>;
}

/** A revocation of one token on its way out: of the token service, or of a gateway's operator. */
export interface OutgoingRevocation {
  /** UUID; the same for every copy of one revocation. */
  readonly eventId: string;
  /** `jti` for a JWT that has one, otherwise what was given: the token itself, or one of its names. */
  readonly token: string;
  /** `opaque` only where that is known: of a bare value nobody can say that it is no `jti`, so it counts as a JWT's. */
  readonly tokenType: 'JWT' | 'opaque';
  /** Issuer whose tokens are meant. Absent: every issuer's. */
  readonly issuer?: string;
  /** End of the token's life, epoch milliseconds. */
  readonly expiresAtMs: number;
}

/** A rule, or the lifting of one, on its way from an operator to the other gateways. */
export interface OutgoingRule {
  /** UUID; the same for every copy. */
  readonly eventId: string;
  readonly action: 'revoke' | 'lift';
  readonly rule: Rule | Lift;
}

/** One outgoing channel of the token service or of a gateway. */
export interface RevocationPublisher {
  readonly name: string;
  /** Resolves when the other side has accepted it (broker confirm, store write); rejects otherwise, and whoever calls tries again. */
  publish(revocation: OutgoingRevocation): Promise<void>;
  /** The same for rules. Absent where the channel has no form for them. */
  publishRule?(rule: OutgoingRule): Promise<void>;
  close(): Promise<void>;
}
