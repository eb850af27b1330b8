import { systemClock } from '../revocation/clock.ts';
import type { RevocationSink } from '../revocation/source.ts';
import { EntryLimit } from './entry-limit.ts';
import { deliverEntry, entryHints, tokensOfV2Key } from './etcd-entry.ts';
import {
  ETCD_LOG_KEY,
  HistoryLosses,
  keepMs,
  READ_TIMEOUT_MS,
  type EtcdLink,
} from './etcd-link.ts';
import { headerOf, isJsonObject, parseJson, quoted, statusReason } from './json-answer.ts';
import { Round, together } from './rounds.ts';
import { basicAuthorization } from './source-address.ts';
import { readWholeAnswer } from './whole-answer.ts';

/** etcd's error codes in the bodies of API v2. */
const KEY_NOT_FOUND = 100;
const USER_REFUSED = 110;
const HISTORY_CLEARED = 401;

/** Actions that make a key say something; the others (delete, expire, compareAndDelete) never revive a token. */
const WRITES = new Set(['set', 'create', 'update', 'compareAndSwap']);

/** Nodes taken at a time, so that nobody waits for a long list. */
const NODES_PER_REST = 200;

/** So many long polls in a row may end without an event sooner than after `HASTY_MS` milliseconds. */
const MOST_HASTY_EMPTIES = 10;
const HASTY_MS = 1_000;

interface Position {
  /** First index that was not seen yet. */
  nextIndex: number;
  readonly clusterId: string | undefined;
}

/**
 * Follows a directory of etcd's API v2: a recursive read, then long polls from the index behind it. The history of v2 is 1,000 events of
 * the whole store; when it is cleared, or the cluster is another one, everything is read again.
 *
 * A poll is answered by one member from what it has, so it proves nothing; a read with `quorum`, every `reconcileIntervalMs`, does.
 */
export async function followEtcdV2(
  link: EtcdLink,
  sink: RevocationSink,
  signal: AbortSignal,
): Promise<void> {
  const store = new EtcdV2Directory(link, sink);
  const losses = new HistoryLosses(link.log);
  let position = await store.readAll(signal);
  link.log.info(
    ETCD_LOG_KEY,
    'The revoked tokens of etcd (API v2) were read; changes are followed',
  );

  await together(signal, [
    async (signal) => {
      while (!signal.aborted) {
        const lost = await store.watchOnce(position, signal);
        if (lost === undefined) continue;
        losses.note(lost);
        position = await store.readAll(signal);
      }
    },
    async (signal) => {
      for (;;) {
        await link.bell.pause(link.reconcileIntervalMs, signal);
        if (signal.aborted) return;
        const known = position.nextIndex;
        const fresh = await store.readAll(signal);
        if (fresh.clusterId !== position.clusterId)
          throw new Error('the endpoint belongs to another cluster now');
        if (fresh.nextIndex < known) throw new Error("the store's index went back");
        // What the list had, the watch need not tell again: a quiet directory in a busy store keeps its place in the history.
        position.nextIndex = Math.max(position.nextIndex, fresh.nextIndex);
      }
    },
  ]);
}

class EtcdV2Directory {
  readonly #link: EtcdLink;
  readonly #sink: RevocationSink;
  readonly #url: string;
  readonly #root: string;
  readonly #headers: Record<string, string>;
  #hastyEmpties = 0;

  constructor(link: EtcdLink, sink: RevocationSink) {
    this.#link = link;
    this.#sink = sink;
    const path = link.directory.split('/').map(encodeURIComponent).join('/');
    this.#url = `${link.base}/v2/keys/${path}${path === '' ? '' : '/'}?recursive=true`;
    this.#root = link.directory === '' ? '/' : `/${link.directory}/`;
    this.#headers = {
      accept: 'application/json',
      ...(link.credentials && { authorization: basicAuthorization(link.credentials) }),
    };
  }

  /** Adds everything that is there and says from where to watch. */
  async readAll(signal: AbortSignal): Promise<Position> {
    const askedAt = performance.now();
    const { http, maxBytes, reconcileIntervalMs } = this.#link;
    const { status, headers, body } = await readWholeAnswer(
      http,
      { method: 'GET', url: `${this.#url}&quorum=true`, headers: this.#headers },
      { intervalMs: reconcileIntervalMs, timeoutMs: READ_TIMEOUT_MS, maxBytes },
      signal,
    );
    const value = parseJson(body);
    const missing = status === 404 && errorCodeOf(value) === KEY_NOT_FOUND;
    if (status !== 200 && !missing) throw refusal(status, value);
    const index = Number(headerOf(headers, 'x-etcd-index'));
    if (!isJsonObject(value) || !Number.isSafeInteger(index) || index < 0)
      throw new Error("etcd's answer to a read is cut off or not etcd's");
    if (!missing) {
      if (!isJsonObject(value['node']))
        throw new Error("etcd's answer to a read has no node in it");
      await this.#addTree(value['node'], signal);
    }
    if (!signal.aborted) {
      this.#sink.complete();
      this.#sink.alive(askedAt);
    }
    return { nextIndex: index + 1, clusterId: headerOf(headers, 'x-etcd-cluster-id') };
  }

  /** One long poll. Returns why everything must be read again, if it must. */
  async watchOnce(position: Position, signal: AbortSignal): Promise<string | undefined> {
    const round = new Round(signal, this.#link.watchQuietMs);
    const { nextIndex } = position;
    const askedAt = performance.now();
    let answered = false;
    try {
      const { status, headers, body } = await this.#link.http.stream({
        method: 'GET',
        url: `${this.#url}&wait=true&waitIndex=${nextIndex}`,
        headers: this.#headers,
        idleTimeoutMs: this.#link.watchQuietMs * 2,
        signal: round.signal,
      });
      answered = true;
      if (headerOf(headers, 'x-etcd-cluster-id') !== position.clusterId && status === 200)
        return 'the endpoint belongs to another cluster now';
      // The index at which the poll began.
      const index = Number(headerOf(headers, 'x-etcd-index'));
      if (status === 200 && index < nextIndex - 1) return "the store's index went back";
      const text = await this.#readText(body);
      if (text.trim() === '' && status === 200) {
        this.#noteEmpty(performance.now() - askedAt);
        return undefined;
      }
      const value = parseJson(text);
      if (errorCodeOf(value) === HISTORY_CLEARED) return 'the history of changes was cleared';
      if (status !== 200) throw refusal(status, value);
      this.#applyEvent(value, position, nextIndex);
      return undefined;
    } catch (error) {
      if (signal.aborted || (round.quiet && answered)) return undefined;
      if (round.quiet) throw new Error('etcd does not answer the watch', { cause: error });
      throw error;
    } finally {
      round.close();
    }
  }

  /** etcd ends a long poll without an event when it times out or stops; something in between that always does would be asked in a circle. */
  #noteEmpty(afterMs: number): void {
    this.#hastyEmpties = afterMs < HASTY_MS ? this.#hastyEmpties + 1 : 0;
    if (this.#hastyEmpties > MOST_HASTY_EMPTIES)
      throw new Error('etcd ends every watch at once without an event');
  }

  #applyEvent(value: unknown, position: Position, asked: number): void {
    const node = isJsonObject(value) ? value['node'] : undefined;
    if (!isJsonObject(value) || !isJsonObject(node))
      throw new Error("etcd's answer to a watch is not etcd's");
    const index = node['modifiedIndex'];
    if (typeof index !== 'number' || !Number.isSafeInteger(index) || index < asked)
      throw new Error("etcd's answer to a watch has no usable index");
    if (WRITES.has(String(value['action']))) this.#addNode(node);
    position.nextIndex = Math.max(position.nextIndex, index + 1);
    this.#hastyEmpties = 0;
  }

  /** Walks nested directories without recursion, so that no nesting is too deep. */
  async #addTree(root: unknown, signal: AbortSignal): Promise<void> {
    const limit = new EntryLimit(this.#link.maxEntries);
    const waiting: unknown[] = [root];
    let taken = 0;
    while (waiting.length > 0) {
      const node = waiting.pop();
      if (++taken % NODES_PER_REST === 0) await this.#sink.rest?.();
      if (signal.aborted) return;
      if (!isJsonObject(node)) {
        this.#sink.drop('entry is not an object');
      } else if (node['dir'] === true) {
        const children = node['nodes'] ?? [];
        if (Array.isArray(children)) for (const child of children) waiting.push(child);
        else this.#sink.drop('directory has no list in it');
      } else {
        limit.count(1);
        this.#addNode(node);
      }
    }
  }

  #addNode(node: Readonly<Record<string, unknown>>): void {
    const { key, value, ttl } = node;
    if (node['dir'] === true) return;
    if (typeof key !== 'string' || !key.startsWith(this.#root)) {
      this.#sink.drop('entry has no key');
      return;
    }
    const hints = entryHints(
      typeof value === 'string' ? value : '',
      typeof ttl === 'number' ? ttl : undefined,
      keepMs(this.#link),
      systemClock.latest(),
    );
    const tokens = tokensOfV2Key(key.slice(this.#root.length));
    if (tokens.size === 0) this.#sink.drop('no token in it');
    deliverEntry(this.#sink, tokens, hints);
  }

  async #readText(body: AsyncIterable<Uint8Array>): Promise<string> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of body) {
      size += chunk.length;
      if (size > this.#link.maxBytes) throw new Error("etcd's event is too large");
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
  }
}

function errorCodeOf(value: unknown): unknown {
  return isJsonObject(value) ? value['errorCode'] : undefined;
}

function refusal(status: number, value: unknown): Error {
  if (status === 404 && value === undefined)
    return new Error(
      'etcd does not serve API v2 (it needs --enable-v2=true, or a URL with /v3/keys/)',
    );
  if (errorCodeOf(value) === USER_REFUSED)
    return new Error('etcd refuses the user name or password, or the user may not read there');
  const reason = isJsonObject(value) ? `: ${quoted(value['message'])}` : '';
  return new Error(`etcd: ${statusReason(status)}${reason}`);
}
