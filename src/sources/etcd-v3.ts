import type { RevocationSink } from '../revocation/source.ts';
import { EntryLimit } from './entry-limit.ts';
import { ETCD_LOG_KEY, HistoryLosses, type EtcdLink } from './etcd-link.ts';
import { EtcdRefusal, EtcdV3Client, int64 } from './etcd-v3-client.ts';
import { EtcdV3Prefix, type Position } from './etcd-v3-prefix.ts';
import { jsonLines, parseWatchMessage, type WatchMessage } from './etcd-v3-watch.ts';
import { isJsonObject } from './json-answer.ts';
import { Bell, Round, together } from './rounds.ts';

/** A prefix that the user may read, and how far it was read. */
interface Followed {
  readonly prefix: EtcdV3Prefix;
  position: Position;
}

/**
 * Follows a prefix of etcd's API v3 through its JSON gateway: pages at one revision R, then a watch from R + 1 that is made anew after every
 * silence, from behind the last event that was applied. Compaction, another cluster or a revision that went back: everything is read again.
 * It is also read again every `reconcileIntervalMs`, because etcd 3.4 can lose events of a watch (etcd pull request 17617).
 *
 * What a watch tells proves nothing, however lively it is: it may be late. Every `proofIntervalMs` the store itself is asked for what was
 * written behind the last event.
 * @param gateway path of the JSON gateway, as `/v3`
 */
export async function followEtcdV3(
  link: EtcdLink,
  gateway: string,
  sink: RevocationSink,
  signal: AbortSignal,
): Promise<void> {
  const { http, base, credentials, log } = link;
  const client = new EtcdV3Client({ http, gateway: base + gateway, credentials });
  const askedAt = performance.now();
  const followed = await readFirst(link, client, sink, signal);
  if (signal.aborted) return;
  sink.complete();
  sink.alive(askedAt);
  log.info(ETCD_LOG_KEY, 'The revoked tokens of etcd (API v3) were read; changes are followed');

  const watch = (one: Followed) => async (signal: AbortSignal) => {
    const losses = new HistoryLosses(log);
    while (!signal.aborted) {
      const lost = await watchRound(link, client, one, signal);
      if (lost === undefined || signal.aborted) continue;
      losses.note(lost);
      one.position = await one.prefix.readAll(new EntryLimit(link.maxEntries), signal);
      if (!signal.aborted) sink.complete();
    }
  };
  await together(signal, [
    ...followed.map(watch),
    async (signal) => {
      for (;;) {
        await link.bell.pause(link.reconcileIntervalMs, signal);
        if (signal.aborted) return;
        const askedAt = performance.now();
        const limit = new EntryLimit(link.maxEntries);
        for (const { prefix, position } of followed) {
          const known = position.nextRevision;
          const fresh = await prefix.readAll(limit, signal);
          if (fresh.clusterId !== position.clusterId)
            throw new Error('the endpoint belongs to another cluster now');
          if (fresh.nextRevision < known) throw new Error("the store's revision went back");
          // What the list had, the watch need not tell again.
          position.nextRevision = Math.max(position.nextRevision, fresh.nextRevision);
        }
        if (signal.aborted) return;
        sink.complete();
        sink.alive(askedAt);
      }
    },
    async (signal) => {
      const pause = new Bell();
      for (;;) {
        await pause.pause(link.proofIntervalMs, signal);
        if (signal.aborted) return;
        const askedAt = performance.now();
        let caughtUp = true;
        for (const { prefix, position } of followed)
          caughtUp = (await prefix.catchUp(position, signal)) && caughtUp;
        if (signal.aborted) return;
        if (caughtUp) sink.alive(askedAt);
        else link.bell.ring();
      }
    },
  ]);
}

/** Reads `<dir>/` and `/<dir>/`: the documentation of WSO2 shows URLs with both. One that the user may not read is left out. */
async function readFirst(
  link: EtcdLink,
  client: EtcdV3Client,
  sink: RevocationSink,
  signal: AbortSignal,
): Promise<Followed[]> {
  const { directory } = link;
  const prefixes = directory === '' ? [''] : [`${directory}/`, `/${directory}/`];
  const followed: Followed[] = [];
  const limit = new EntryLimit(link.maxEntries);
  let refusal: EtcdRefusal | undefined;
  for (const text of prefixes) {
    const prefix = new EtcdV3Prefix(link, client, sink, text);
    try {
      followed.push({ prefix, position: await prefix.readAll(limit, signal) });
    } catch (error) {
      if (!(error instanceof EtcdRefusal) || !error.forbidden) throw error;
      refusal = error;
    }
  }
  if (followed.length === 0 && refusal !== undefined) throw refusal;
  return followed;
}

/** Watches until a silence. Returns why everything must be read again, if it must. */
async function watchRound(
  link: EtcdLink,
  client: EtcdV3Client,
  { prefix, position }: Followed,
  signal: AbortSignal,
): Promise<string | undefined> {
  const round = new Round(signal, link.watchQuietMs);
  const asked = position.nextRevision;
  let created = false;
  try {
    const body = await client.stream(
      '/watch',
      {
        create_request: {
          ...prefix.range,
          start_revision: String(asked),
          progress_notify: true,
          // A deleted or expired entry never revives a token: nobody needs to hear of it.
          filters: ['NODELETE'],
        },
      },
      { signal: round.signal, idleTimeoutMs: link.watchQuietMs * 2 },
    );
    for await (const line of jsonLines(body, link.maxBytes)) {
      round.touch();
      const message = parseWatchMessage(line);
      const lost = lossOf(message, position.clusterId, asked);
      if (lost !== undefined) return lost;
      created ||= message.created;
      await apply(message, prefix, position, signal);
      if (signal.aborted) return undefined;
    }
    throw new Error('etcd ended the watch');
  } catch (error) {
    if (signal.aborted) return undefined;
    if (!round.quiet) throw error;
    if (!created) throw new Error('etcd does not answer the watch', { cause: error });
  } finally {
    round.close();
  }
  return undefined;
}

function lossOf(message: WatchMessage, clusterId: string, asked: number): string | undefined {
  if (message.compacted) return 'the history of changes was compacted';
  if (message.clusterId !== undefined && message.clusterId !== clusterId)
    return 'the endpoint belongs to another cluster now';
  if (message.created && message.revision !== undefined && message.revision < asked - 1)
    return "the store's revision went back";
  return undefined;
}

/** Adds the events of one message, and only then moves on. All events of one revision come in one message. */
async function apply(
  message: WatchMessage,
  prefix: EtcdV3Prefix,
  position: Position,
  signal: AbortSignal,
): Promise<void> {
  const written: unknown[] = [];
  let newest = 0;
  for (const event of message.events) {
    const kv = isJsonObject(event) ? event['kv'] : undefined;
    const revision = isJsonObject(kv) ? int64(kv['mod_revision']) : undefined;
    if (!isJsonObject(event) || revision === undefined)
      throw new Error("etcd's event has no usable revision");
    if (event['type'] === undefined || event['type'] === 'PUT') written.push(kv);
    newest = Math.max(newest, revision);
  }
  await prefix.addAll(written, signal);
  if (signal.aborted) return;
  // A message without events is a progress notification: everything up to its revision was delivered.
  if (!message.created && message.events.length === 0) newest = message.revision ?? 0;
  position.nextRevision = Math.max(position.nextRevision, newest + 1);
}
