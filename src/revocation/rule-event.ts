/** What a source says of a rule, as received: nothing in it is trusted or checked yet. */
export interface RuleEvent {
  readonly action: 'revoke' | 'lift';
  /** Issuer whose tokens are meant. Absent: every issuer's. */
  readonly issuer?: string;
  /** Claim names and the value each must have; `client` stands for every name of a client id. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** Cut-off: epoch milliseconds, as number or numeric text. */
  readonly issuedBefore: unknown;
  /** When it ends: epoch milliseconds. Absent: a longest token life after the cut-off. */
  readonly endsAt?: unknown;
  /** Of a lift: cut-offs in the future that are lifted too, as sources said them: a list of times. */
  readonly saidBefore?: unknown;
}
