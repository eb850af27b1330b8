import type { HttpClient } from '../net/http-client.ts';
import { systemClock } from '../revocation/clock.ts';
import type { OutgoingRevocation, RevocationPublisher } from '../revocation/source.ts';
import { parseEtcdAddress, readEtcdVersion } from './etcd-address.ts';
import { entryLifeSeconds, entryValue, v2KeyName } from './etcd-entry.ts';
import { EtcdV3Client, toBase64 } from './etcd-v3-client.ts';
import { isJsonObject, parseJson, quoted, statusReason } from './json-answer.ts';
import { basicAuthorization, type SourceCredentials } from './source-address.ts';

export interface EtcdPublisherOptions {
  readonly name: string;
  /** As for the source: one URL per endpoint, or several separated by commas. */
  readonly urls: string | readonly string[];
  readonly credentials?: SourceCredentials | undefined;
  /** Stays the caller's: `close` does not close it. */
  readonly http: HttpClient;
}

type Write = (revocation: OutgoingRevocation) => Promise<void>;

/**
 * Writes every revocation to etcd: with API v2 a key with a ttl, with API v3 a key with a lease, in either case `<dir>/<token>` and gone by
 * itself a minute after the token's end. Writing one twice changes nothing. Each failure moves on to the next endpoint.
 * @throws OperatorError when the address cannot be used
 */
export function createEtcdPublisher(options: EtcdPublisherOptions): RevocationPublisher {
  const { http, name } = options;
  const address = parseEtcdAddress(options.urls, name);
  const credentials = options.credentials ?? address.credentials;
  let attempt = 0;
  let write: Write | undefined;

  async function connect(): Promise<Write> {
    const base = address.bases[attempt % address.bases.length] ?? '';
    if (address.api === 'v2') return writeV2(base);
    const version = await readEtcdVersion(http, base);
    if ((address.api ?? version.api) === 'v2') return writeV2(base);
    return writeV3(new EtcdV3Client({ http, gateway: base + version.gateway, credentials }));
  }

  function writeV2(base: string): Write {
    const directory = address.directory.split('/').map(encodeURIComponent).join('/');
    const root = `${base}/v2/keys/${directory}${directory === '' ? '' : '/'}`;
    return async (revocation) => {
      const { status, body } = await http.request({
        method: 'PUT',
        url: root + encodeURIComponent(v2KeyName(revocation.token)),
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          ...(credentials && { authorization: basicAuthorization(credentials) }),
        },
        body: new URLSearchParams({
          value: entryValue(revocation),
          ttl: String(entryLifeSeconds(revocation, systemClock.earliest())),
        }).toString(),
      });
      if (status === 200 || status === 201) return;
      const answer = parseJson(body);
      const reason = isJsonObject(answer) ? `: ${quoted(answer['message'])}` : '';
      throw new Error(`etcd: ${statusReason(status)}${reason}`);
    };
  }

  function writeV3(client: EtcdV3Client): Write {
    const prefix = address.directory === '' ? '' : `${address.directory}/`;
    return async (revocation) => {
      const lease = await client.call('/lease/grant', {
        TTL: String(entryLifeSeconds(revocation, systemClock.earliest())),
      });
      if (typeof lease['ID'] !== 'string') throw new Error('etcd granted no lease');
      await client.call('/kv/put', {
        key: toBase64(prefix + revocation.token),
        value: toBase64(entryValue(revocation)),
        lease: lease['ID'],
      });
    };
  }

  return {
    name,
    async publish(revocation) {
      try {
        write ??= await connect();
        await write(revocation);
      } catch (error) {
        attempt++;
        write = undefined;
        throw error;
      }
    },
    close: () => Promise.resolve(),
  };
}
