import { quoted, isJsonObject, parseJson, type JsonObject } from './json-answer.ts';
import { int64, refusalOf } from './etcd-v3-client.ts';

/** One message of a watch of API v3. */
export interface WatchMessage {
  /** The answer to the request; its revision says nothing about what was delivered. */
  readonly created: boolean;
  /** The server's revision; undefined where it said none. */
  readonly revision: number | undefined;
  readonly clusterId: string | undefined;
  /** Set when the revision asked for was compacted: everything must be read again. */
  readonly compacted: boolean;
  readonly events: readonly unknown[];
}

/** Splits a body of newline-separated JSON into lines, whatever the chunks. @throws Error for a line beyond `maxBytes` */
export async function* jsonLines(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<string> {
  let held: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      held.push(chunk.subarray(from, end));
      const line = Buffer.concat(held).toString('utf8');
      held = [];
      size = 0;
      from = end + 1;
      if (line.trim() !== '') yield line;
    }
    if (from < chunk.length) held.push(chunk.subarray(from));
    size += chunk.length - from;
    if (size > maxBytes) throw new Error("etcd's event is too large");
  }
  if (size > 0) throw new Error("etcd's watch ended within an event");
}

/** Reads one line of a watch. @throws EtcdRefusal when the watch was refused or ended by the server, Error for what is no message */
export function parseWatchMessage(line: string): WatchMessage {
  const value = parseJson(line);
  if (!isJsonObject(value)) throw new Error("etcd's answer to a watch is not etcd's");
  const result = value['result'];
  if (!isJsonObject(result)) throw refusalOf(value, "etcd's answer to a watch has no result");
  const header: JsonObject = isJsonObject(result['header']) ? result['header'] : {};
  const compacted = (int64(result['compact_revision']) ?? 1) !== 0;
  if (result['canceled'] === true && !compacted)
    throw refusalOf({}, `etcd ended the watch: ${quoted(result['cancel_reason'])}`);
  const { events, revision } = { events: result['events'] ?? [], revision: header['revision'] };
  if (!Array.isArray(events)) throw new Error("etcd's events are no list");
  const clusterId = header['cluster_id'];
  return {
    created: result['created'] === true,
    revision: revision === undefined ? undefined : int64(revision),
    clusterId: typeof clusterId === 'string' ? clusterId : undefined,
    compacted,
    events,
  };
}
