import type { Fields, FieldValue } from './byte-reader.ts';
import { isRuleType, readRuleText, type RuleReading } from './rule-text.ts';

/** One revoked token as its message tells of it: a `RevocationEvent`. Lifetimes are as received, unit and all. */
export interface RevokedToken {
  readonly token: string;
  readonly issuer?: string;
  readonly ttl?: number | string;
  readonly expiryTime?: number | string;
}

/** One revocation of a token, one rule, or why there is neither. */
export type RevocationReading =
  | { readonly kind: 'revocation'; readonly event: RevokedToken }
  | RuleReading
  | {
      readonly kind: 'drop';
      /** A fixed phrase without content of the message. */
      readonly reason: string;
      /** It did tell of a revocation, though not of one that can be kept from it: the stores know more. */
      readonly reload: boolean;
    };

/** WSO2's words for an event that names no token. */
export const NO_TOKEN = 'No keys named revokedToken and ttl';

const MAX_TOKEN_BYTES = 8 * 1024;

/** Of WSO2 API Manager from 2026 on: many tokens were revoked, and only its list says which. */
const BATCH_TYPE = 'token_revocation_batch';

/** What the fields of one event say. Never throws. */
export function readFields(fields: Fields): RevocationReading {
  const type = fields.get('type');
  const typeName = typeof type === 'string' ? type.trim().toLowerCase() : '';
  // First of all: a batch event may carry a consumer key where a token is expected.
  if (typeName === BATCH_TYPE) return drop('batch revocation event, the stores know which', true);
  const revoked = fields.get('revokedToken');
  const rule = typeof revoked === 'string' ? readRuleText(revoked) : undefined;
  if (rule !== undefined) return rule;
  if (isRuleType(typeName)) return drop('revocation rule could not be read', true);
  const token = tokenOf(revoked);
  if (typeof token !== 'string') return token;
  const issuer = fields.get('issuer');
  const ttl = lifetimeOf(fields.get('ttl'));
  const expiryTime = lifetimeOf(fields.get('expiryTime'));
  return {
    kind: 'revocation',
    event: {
      token,
      // Anything but a text is as good as none, which covers every issuer: the wider denial.
      ...(typeof issuer === 'string' && issuer !== '' ? { issuer } : {}),
      ...(ttl === undefined ? {} : { ttl }),
      ...(expiryTime === undefined ? {} : { expiryTime }),
    },
  };
}

function drop(reason: string, reload: boolean): RevocationReading & { kind: 'drop' } {
  return { kind: 'drop', reason, reload };
}

/** The token as its exact text, or why there is none. STOMP's and others' JSON make numbers of tokens of digits. */
function tokenOf(value: FieldValue): string | (RevocationReading & { kind: 'drop' }) {
  if (value === undefined || value === null) return drop(NO_TOKEN, false);
  let token: string;
  if (typeof value === 'string') token = value;
  else if (typeof value === 'bigint') token = String(value);
  else if (typeof value === 'number') {
    if (!Number.isSafeInteger(value))
      return drop('revokedToken is a number that is not exact', true);
    token = String(value);
  } else return drop('revokedToken is neither text nor number', false);
  if (token.trim() === '') return drop('revokedToken is empty', false);
  if (Buffer.byteLength(token) > MAX_TOKEN_BYTES) return drop('revokedToken is too long', true);
  if (!token.isWellFormed()) return drop('revokedToken is not well-formed text', true);
  return token;
}

/** Number or numeric text, as it came; whoever keeps the list judges it. */
function lifetimeOf(value: FieldValue): number | string | undefined {
  if (typeof value === 'bigint') return String(value);
  return typeof value === 'number' || typeof value === 'string' ? value : undefined;
}
