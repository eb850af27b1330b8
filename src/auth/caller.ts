import type { TokenIdentity } from '../revocation/token-identity.ts';

/** Who is calling: what a verified token says. May be cached; the revocation decision never is. */
export interface Caller {
  readonly tokenType: 'jwt' | 'opaque';
  readonly issuer: string | undefined;
  readonly subject: string | undefined;
  readonly clientId: string | undefined;
  readonly scopes: ReadonlySet<string>;
  /** `SANDBOX` exactly when the token's claim `keytype` says so. */
  readonly keyType: 'PRODUCTION' | 'SANDBOX';
  readonly identity: TokenIdentity;
  /** End of the token's life, epoch milliseconds. */
  readonly expiresAtMs: number;
}
