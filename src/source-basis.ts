import { createHmac } from 'node:crypto';
import type { SourceConfig } from './config/config.ts';

/** What may hold a secret: a digest of it could be tried out. */
const SECRET = /pass|secret|credential|key/i;
const USER_INFO = /\/\/[^/@]*@/g;

/**
 * Says which sources are followed, and how, so that it can be told whether an earlier run followed the same: the same digest comes of the same
 * configuration, passwords aside.
 * @param key of this installation
 */
export function basisOf(
  sources: readonly SourceConfig[],
  longestTokenLifeMs: number,
  key: Uint8Array,
): string {
  const text = JSON.stringify([longestTokenLifeMs, sources], (name, value: unknown) => {
    if (SECRET.test(name)) return undefined;
    return typeof value === 'string' ? value.replace(USER_INFO, '//') : value;
  });
  return createHmac('sha256', key).update(`followed sources\n${text}`).digest('base64url');
}
