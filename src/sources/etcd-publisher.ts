import type { HttpClient } from '../net/http-client.ts';
import { systemClock } from '../revocation/clock.ts';
import type { RevocationPublisher } from '../revocation/source.ts';
import { writeRuleText } from './decode/rule-text.ts';
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

/** One key to write. */
interface Entry {
  /** Below the directory: a token, or the text of a rule. */
  readonly name: string;
  readonly value: string;
  /** Epoch milliseconds. */
  readonly expiresAtMs: number;
}

type Write = (entry: Entry) => Promise<void>;

/**
 * Writes every revocation to etcd: with API v2 a key with a ttl, with API v3 a key with a lease, in either case `<dir>/<token>` and gone by
 * itself a minute after the token's end. A rule is a key as well, named by its text. Writing one twice changes nothing. Each failure moves on to
 * the next endpoint.
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
    return async ({ name, value, expiresAtMs }) => {
      const { status, body } = await http.request({
        method: 'PUT',
        url: root + encodeURIComponent(v2KeyName(name)),
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          ...(credentials && { authorization: basicAuthorization(credentials) }),
        },
        body: new URLSearchParams({
          value,
          ttl: String(entryLifeSeconds(expiresAtMs, systemClock.earliest())),
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
    return async ({ name, value, expiresAtMs }) => {
      const lease = await client.call('/lease/grant', {
        TTL: String(entryLifeSeconds(expiresAtMs, systemClock.earliest())),
      });
      if (typeof lease['ID'] !== 'string') throw new Error('etcd granted no lease');
      await client.call('/kv/put', {
        key: toBase64(prefix + name),
        value: toBase64(value),
        lease: lease['ID'],
      });
    };
  }

  async function put(entry: Entry): Promise<void> {
    try {
      write ??= await connect();
      await write(entry);
    } catch (error) {
      attempt++;
      write = undefined;
      throw error;
    }
  }

  return {
    name,
    publish: (revocation) => {
      const { token, expiresAtMs } = revocation;
      return put({ name: token, value: entryValue(revocation), expiresAtMs });
    },
    async publishRule(rule) {
      const expiresAtMs = rule.rule.endsAtMs;
      await put({
        name: writeRuleText(rule).text,
        value: entryValue({ expiresAtMs }),
        expiresAtMs,
      });
    },
    close: () => Promise.resolve(),
  };
}
