import type { Log } from '../log.ts';
import type { HttpClient } from '../net/http-client.ts';
import type { RevocationSource } from '../revocation/source.ts';
import { parseEtcdAddress, readEtcdVersion } from './etcd-address.ts';
import type { EtcdLink } from './etcd-link.ts';
import { followEtcdV2 } from './etcd-v2.ts';
import { followEtcdV3 } from './etcd-v3.ts';
import { Bell } from './rounds.ts';
import type { SourceCredentials } from './source-address.ts';

export interface EtcdSourceOptions {
  readonly name: string;
  /** One URL per endpoint, or several separated by commas; see {@link parseEtcdAddress}. */
  readonly urls: string | readonly string[];
  /** User of etcd. Absent: none, or what a URL says. Harmless where etcd has no authentication. */
  readonly credentials?: SourceCredentials | undefined;
  readonly http: HttpClient;
  readonly log: Log;
  /** Milliseconds from one whole read to the next, beside the watch. Default 300,000 with API v3; 20,000 with v2, where nothing else proves. */
  readonly reconcileIntervalMs?: number | undefined;
  /** API v3: milliseconds between two questions whether the watch has told everything. Default 10,000. */
  readonly proofIntervalMs?: number | undefined;
  /** Entries that one read may have. Default: no limit. */
  readonly maxEntries?: number | undefined;
  /** Milliseconds of silence after which a watch is made anew. Default 30,000. */
  readonly watchQuietMs?: number;
  /** Bytes of one answer (v2: of the whole list). Default 64 MiB. */
  readonly maxBytes?: number;
}

const RECONCILE_INTERVAL_MS = { v2: 20_000, v3: 300_000 };
const PROOF_INTERVAL_MS = 10_000;
const WATCH_QUIET_MS = 30_000;
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * Revoked tokens kept in etcd, one key each. The URL says the API (`/v2/keys/...` or `/v3/keys/...`), else the server's `/version` does.
 * One endpoint is followed at a time; each failure moves on to the next.
 * @throws OperatorError when the address cannot be used
 */
export function createEtcdSource(options: EtcdSourceOptions): RevocationSource {
  const { name, http, log } = options;
  const address = parseEtcdAddress(options.urls, name);
  const credentials = options.credentials ?? address.credentials;
  const bell = new Bell();
  let attempt = 0;

  async function followEndpoint(base: string, ...[sink, signal]: FollowArguments): Promise<void> {
    const linkFor = (api: 'v2' | 'v3'): EtcdLink => ({
      http,
      base,
      directory: address.directory,
      credentials,
      log,
      reconcileIntervalMs: options.reconcileIntervalMs ?? RECONCILE_INTERVAL_MS[api],
      proofIntervalMs: options.proofIntervalMs ?? PROOF_INTERVAL_MS,
      maxEntries: options.maxEntries,
      watchQuietMs: options.watchQuietMs ?? WATCH_QUIET_MS,
      maxBytes: options.maxBytes ?? MAX_BYTES,
      bell,
    });
    if (address.api === 'v2') return followEtcdV2(linkFor('v2'), sink, signal);
    const version = await readEtcdVersion(http, base, signal);
    if ((address.api ?? version.api) === 'v2') return followEtcdV2(linkFor('v2'), sink, signal);
    return followEtcdV3(linkFor('v3'), version.gateway, sink, signal);
  }

  return {
    name,
    kind: 'list',
    reread: () => bell.ring(),
    async follow(sink, signal) {
      if (signal.aborted) return;
      const base = address.bases[attempt % address.bases.length] ?? '';
      try {
        await followEndpoint(base, sink, signal);
      } catch (error) {
        if (signal.aborted) return;
        attempt++;
        throw error;
      }
    },
  };
}

type FollowArguments = Parameters<RevocationSource['follow']>;
