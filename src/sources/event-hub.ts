import type { Log } from '../log.ts';
import type { HttpClient } from '../net/http-client.ts';
import { systemClock } from '../revocation/clock.ts';
import type { RevocationSink, RevocationSource } from '../revocation/source.ts';
import { readRuleObject } from './decode/rule-text.ts';
import { EntryLimit } from './entry-limit.ts';
import { isJsonObject, parseJson, saysJson, statusReason } from './json-answer.ts';
import { Bell } from './rounds.ts';
import {
  basicAuthorization,
  parseSourceAddress,
  type SourceCredentials,
} from './source-address.ts';
import { readWholeAnswer } from './whole-answer.ts';

export interface EventHubOptions {
  readonly name: string;
  /** Base URL, as `https://localhost:9443/internal/data/v1`. */
  readonly url: string;
  /** HTTP Basic. Absent: none, or what the URL says. */
  readonly credentials?: SourceCredentials | undefined;
  readonly http: HttpClient;
  readonly log: Log;
  /** Milliseconds from one whole read to the next. */
  readonly reconcileIntervalMs: number;
  /** Bytes of one answer. Default 64 MiB. */
  readonly maxBytes?: number;
  /** Entries that one answer may have. Default: no limit. */
  readonly maxEntries?: number | undefined;
  /** Milliseconds for one read. Default 60,000. */
  readonly timeoutMs?: number;
}

const LOG_KEY = 'RevokedJwtRetrievalTask';
const MAX_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 60_000;
/** Entries taken at a time, so that nobody waits for a long list. */
const ENTRIES_PER_REST = 200;
/** Kept beyond the next two reads: what a slow answer takes. */
const SPARE_MS = 60_000;
/** From here on a number is epoch milliseconds; a smaller one counts seconds from now, which is the longer reading. */
const FIRST_EPOCH_MS = 1e12;

/**
 * WSO2's list of revoked tokens, `GET <url>/revokedjwt`: an array of `{jwt_signature, expiry_time}` (API Manager up to 4.2; camel case in
 * 3.1), or an object with that array as `revokedJWTList` and two lists of rules beside it (4.3 and newer). Read whole, then again every
 * `reconcileIntervalMs`; anything but a 200 with JSON of these shapes is an error, because an unread list must never pass for an empty one. An
 * entry that is listed is revoked, whatever its `expiry_time`: it holds until the list was read twice more.
 * @throws OperatorError when the address cannot be used
 */
export function createEventHubSource(options: EventHubOptions): RevocationSource {
  const { name, log, reconcileIntervalMs } = options;
  const address = parseSourceAddress(options.url, name);
  const credentials = options.credentials ?? address.credentials;
  const { origin, pathname } = address.url;
  const url = `${origin}${pathname.replace(/\/+$/, '')}/revokedjwt`;
  const keepMs = 2 * reconcileIntervalMs + SPARE_MS;
  const bell = new Bell();
  let succeededOnce = false;

  async function readAll(sink: RevocationSink, signal: AbortSignal): Promise<void> {
    const headers = {
      accept: 'application/json',
      ...(credentials && { authorization: basicAuthorization(credentials) }),
    };
    const answer = await readWholeAnswer(
      options.http,
      { method: 'GET', url, headers },
      {
        intervalMs: reconcileIntervalMs,
        timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
        maxBytes: options.maxBytes ?? MAX_BYTES,
      },
      signal,
    );
    if (answer.status !== 200) throw new Error(statusReason(answer.status));
    if (!saysJson(answer.headers)) throw new Error('the answer is not JSON');
    const { tokens, rules } = listsOf(parseJson(answer.body));
    const limit = new EntryLimit(options.maxEntries);
    for (const list of [tokens, ...rules]) limit.count(list.length);
    await addEntries(tokens, (entry) => addEntry(entry, sink, keepMs), sink, signal);
    for (const list of rules) await addEntries(list, (entry) => addRule(entry, sink), sink, signal);
  }

  return {
    name,
    kind: 'list',
    reread: () => bell.ring(),
    async follow(sink, signal) {
      while (!signal.aborted) {
        const askedAt = performance.now();
        try {
          await readAll(sink, signal);
        } catch (error) {
          if (signal.aborted) return;
          const reason = error instanceof Error ? error.message : 'unknown';
          log.error(LOG_KEY, `Error while retrieving revoked jwts. Retry after a pause: ${reason}`);
          throw error;
        }
        if (signal.aborted) return;
        sink.complete();
        sink.alive(askedAt);
        if (!succeededOnce) announce();
        succeededOnce = true;
        await bell.pause(reconcileIntervalMs, signal);
      }
    },
  };

  function announce(): void {
    log.info(LOG_KEY, 'Revoked jwt retrieval successful. Stopping the timer task ...');
    log.info(LOG_KEY, 'Revoked jwt retrieval task stopped successfully');
    log.info(
      LOG_KEY,
      `The list of revoked jwts is read again every ${reconcileIntervalMs / 1000} seconds`,
    );
  }
}

interface Lists {
  readonly tokens: readonly unknown[];
  /** Whole clients and users (4.3 and newer), entries as {@link readRuleObject} takes them. */
  readonly rules: readonly (readonly unknown[])[];
}

/** The list in any of its three shapes. */
function listsOf(body: unknown): Lists {
  if (Array.isArray(body)) return { tokens: body, rules: [] };
  if (!isJsonObject(body)) throw new Error('the answer is cut off or not a list of revoked tokens');
  const tokens = body['revokedJWTList'];
  // An API Manager answers `{}` for a user of an inconsistent tenant: nothing was read then.
  if (!Array.isArray(tokens)) throw new Error('the answer has no list of revoked tokens in it');
  const rules = ['revokedJWTConsumerKeyList', 'revokedJWTSubjectEntityList'].map((name) => {
    const list = body[name] ?? [];
    if (!Array.isArray(list)) throw new Error('a list of revoked clients or users is no list');
    return list as unknown[];
  });
  return { tokens, rules };
}

/** @throws Error when there are entries and none of them could be read: this is a list of something else, not an empty one */
async function addEntries(
  entries: readonly unknown[],
  add: (entry: unknown) => boolean,
  sink: RevocationSink,
  signal: AbortSignal,
): Promise<void> {
  let added = 0;
  for (let index = 0; index < entries.length; index++) {
    if (index % ENTRIES_PER_REST === ENTRIES_PER_REST - 1) await sink.rest?.();
    if (signal.aborted) return;
    if (add(entries[index])) added++;
  }
  if (entries.length > 0 && added === 0)
    throw new Error(`none of the ${entries.length} entries could be read`);
}

/** Whether it could be read; a rule for a kind of entity that is not known here was, though nothing follows from it. */
function addRule(entry: unknown, sink: RevocationSink): boolean {
  const reading = isJsonObject(entry) ? readRuleObject(entry) : undefined;
  if (reading?.kind === 'rule') sink.rule(reading.event);
  else sink.drop(reading?.reason ?? 'entry is not a revocation rule');
  return reading !== undefined;
}

function addEntry(entry: unknown, sink: RevocationSink, keepMs: number): boolean {
  if (!isJsonObject(entry)) {
    sink.drop('entry is not an object');
    return false;
  }
  const token = entry['jwt_signature'] ?? entry['jwtSignature'];
  if (typeof token !== 'string' || token === '') {
    sink.drop('no token in it');
    return false;
  }
  sink.add({ token, expiryTime: heldUntil(entry['expiry_time'] ?? entry['expiryTime'], keepMs) });
  return true;
}

/** `expiry` as epoch milliseconds, at least `keepMs` from now; what is no lifetime stays as it is, for the revocation list to judge. */
function heldUntil(expiry: unknown, keepMs: number): unknown {
  const number = typeof expiry === 'string' && expiry.trim() !== '' ? Number(expiry) : expiry;
  if (typeof number !== 'number' || !Number.isFinite(number) || number <= 0) return expiry;
  const now = systemClock.latest();
  return Math.max(number < FIRST_EPOCH_MS ? now + number * 1000 : number, now + keepMs);
}
