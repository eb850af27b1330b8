import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Log } from '../log.ts';
import type { HttpClient } from '../net/http-client.ts';
import type { RevocationSink, RevocationSource } from '../revocation/source.ts';
import { isJsonObject, parseJson, saysJson, statusReason } from './json-answer.ts';
import { Bell } from './rounds.ts';
import {
  basicAuthorization,
  parseSourceAddress,
  type SourceCredentials,
} from './source-address.ts';

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
  /** Milliseconds for one read. Default 60,000. */
  readonly timeoutMs?: number;
}

const LOG_KEY = 'RevokedJwtRetrievalTask';
const MAX_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 60_000;
/** Entries taken in one turn of the event loop, so that requests do not wait for a long list. */
const ENTRIES_PER_TURN = 2_000;

/**
 * WSO2's list of revoked tokens, `GET <url>/revokedjwt`: an array of `{jwt_signature, expiry_time}` (API Manager up to 4.2; camel case in
 * 3.1), or an object with that array as `revokedJWTList` (4.3 and newer). Read whole, then again every `reconcileIntervalMs`; anything but
 * a 200 with JSON of these shapes is an error, because an unread list must never pass for an empty one.
 * @throws OperatorError when the address cannot be used
 */
export function createEventHubSource(options: EventHubOptions): RevocationSource {
  const { name, log, reconcileIntervalMs } = options;
  const address = parseSourceAddress(options.url, name);
  const credentials = options.credentials ?? address.credentials;
  const { origin, pathname } = address.url;
  const url = `${origin}${pathname.replace(/\/+$/, '')}/revokedjwt`;
  const bell = new Bell();
  let succeededOnce = false;

  async function readAll(sink: RevocationSink, signal: AbortSignal): Promise<void> {
    const answer = await options.http.request({
      method: 'GET',
      url,
      headers: {
        accept: 'application/json',
        ...(credentials && { authorization: basicAuthorization(credentials) }),
      },
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      maxBytes: options.maxBytes ?? MAX_BYTES,
      signal,
    });
    if (answer.status !== 200) throw new Error(statusReason(answer.status));
    if (!saysJson(answer.headers)) throw new Error('the answer is not JSON');
    await addEntries(entriesOf(parseJson(answer.body), sink), sink, signal);
  }

  return {
    name,
    kind: 'list',
    reread: () => bell.ring(),
    async follow(sink, signal) {
      while (!signal.aborted) {
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

/** The list in any of its three shapes. Rules of newer API Managers deny whole clients and users: they are counted, not applied. */
function entriesOf(body: unknown, sink: RevocationSink): readonly unknown[] {
  if (Array.isArray(body)) return body;
  if (!isJsonObject(body)) throw new Error('the answer is cut off or not a list of revoked tokens');
  const list = body['revokedJWTList'];
  // An API Manager answers `{}` for a user of an inconsistent tenant: nothing was read then.
  if (!Array.isArray(list)) throw new Error('the answer has no list of revoked tokens in it');
  countRules(body['revokedJWTConsumerKeyList'], 'rule for a consumer key is not supported', sink);
  countRules(body['revokedJWTSubjectEntityList'], 'rule for a subject is not supported', sink);
  return list;
}

function countRules(list: unknown, reason: string, sink: RevocationSink): void {
  if (Array.isArray(list)) for (let rule = 0; rule < list.length; rule++) sink.drop(reason);
}

async function addEntries(
  entries: readonly unknown[],
  sink: RevocationSink,
  signal: AbortSignal,
): Promise<void> {
  for (let index = 0; index < entries.length; index++) {
    if (index % ENTRIES_PER_TURN === ENTRIES_PER_TURN - 1) await nextTurn();
    if (signal.aborted) return;
    addEntry(entries[index], sink);
  }
}

function addEntry(entry: unknown, sink: RevocationSink): void {
  if (!isJsonObject(entry)) {
    sink.drop('entry is not an object');
    return;
  }
  const token = entry['jwt_signature'] ?? entry['jwtSignature'];
  if (typeof token !== 'string' || token === '') {
    sink.drop('no token in it');
    return;
  }
  sink.add({ token, expiryTime: entry['expiry_time'] ?? entry['expiryTime'] });
}
