import type { Log } from '../log.ts';
import type { TokenDatabase } from './database.ts';
import type { Settings } from './options.ts';
import type { Principals } from './principals.ts';
import type { RevocationRecords } from './revocation-records.ts';
import type { SigningKeys } from './signing-keys.ts';
import type { TokenRecords } from './token-records.ts';

/** What the endpoints of one running token service share. */
export interface ServiceState {
  readonly settings: Settings;
  readonly issuer: string;
  readonly principals: Principals;
  readonly database: TokenDatabase;
  readonly tokens: TokenRecords;
  readonly revocations: RevocationRecords;
  readonly keys: SigningKeys;
  readonly log: Log;
}
