import { createHash } from 'node:crypto';
import { nameOfRule } from '../rule.ts';
import { RECORD_WORDS } from './format.ts';
import {
  combineTokens,
  fingerprintText,
  fingerprintWords,
  type LiftRecord,
  type RuleRecord,
  type TokenRecord,
} from './record.ts';
import { learntAtMs, readRecords, type RecordVisitor, sourceOf } from './record-codec.ts';
import { RuleBook } from './rule-book.ts';
import { SegmentFile, type SegmentPart } from './segment-file.ts';
import { Slices } from './slices.ts';
import { lowerBound, SnapshotFile } from './snapshot-file.ts';
import type { StateFolder } from './state-folder.ts';

/** The journal as it was at one moment, for reading. */
export interface JournalView {
  readonly folder: StateFolder;
  readonly parts: readonly SegmentPart[];
  /** Records that are not on the disk yet, frame by frame; only good until the first await. */
  readonly pending: readonly Buffer[];
}

/** What to list. */
export interface ListQuery {
  /** `next` of the page before. */
  readonly cursor?: string;
  /** Most records in the page: 1 to 1000. */
  readonly limit?: number;
  readonly kind?: 'token' | 'rule' | 'lift';
  /** Name of the source that a record came from first. */
  readonly source?: string;
}

/** One page: rules, then lifts, then tokens. With a filter it may hold fewer than `limit`, even none, and still have a `next`. */
export interface ListPage {
  readonly records: readonly (TokenRecord | RuleRecord | LiftRecord)[];
  readonly next: string | undefined;
}

const MOST_PER_PAGE = 1000;
const DEFAULT_PER_PAGE = 100;
/** With a filter, so many tokens are looked at for one page. */
const LOOKED_AT = 20_000;
const CURSOR = /^(?:[rl]\.[0-9a-f]{32}|t\.[0-9a-f]{24})$/;

/** What the journal has of one fingerprint. Rejects when what would have to be read is damaged. */
export async function findToken(
  view: JournalView,
  fingerprints: Uint32Array,
  at: number,
): Promise<TokenRecord | undefined> {
  const wanted = fingerprints.slice(at, at + 3);
  let found: TokenRecord | undefined;
  const take = (record: TokenRecord): void => {
    found = found === undefined ? record : combineTokens(found, record);
  };
  await readNewestFirst(view, {
    token: (words, endSeconds, source, learntAtMs) => {
      if (words[0] === wanted[0] && words[1] === wanted[1] && words[2] === wanted[2])
        take(tokenRecord(words, endSeconds, source, learntAtMs));
    },
  });
  await withSnapshot(view, async (snapshot, sources) => {
    if (snapshot.blocks === 0) return;
    const block = await snapshot.block(await snapshot.blockOf(wanted));
    if (block === undefined) throw new Error('the snapshot is damaged');
    const to = lowerBound(block, wanted);
    if (to < block.count * RECORD_WORDS && sameFingerprint(block.words, to, wanted))
      take(snapshotRecord(block.words, to, sources));
  });
  return found;
}

/** Rules in force and lifts. */
export async function readBook(view: JournalView): Promise<RuleBook> {
  const book = new RuleBook();
  const visitor: RecordVisitor = {
    token: () => undefined,
    rule: (record) => book.rule(record),
    lift: (record) => book.lift(record),
  };
  await readNewestFirst(view, visitor);
  await withSnapshot(view, async () => undefined, visitor);
  return book;
}

/**
 * One page of what is in force at `nowMs` (epoch milliseconds).
 * @throws RangeError when cursor or limit are none
 */
export async function listPage(
  view: JournalView,
  query: ListQuery,
  nowMs: number,
): Promise<ListPage> {
  const { cursor, limit = DEFAULT_PER_PAGE, kind, source } = query;
  if (cursor !== undefined && !CURSOR.test(cursor)) throw new RangeError('no such cursor');
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST_PER_PAGE)
    throw new RangeError(`limit is a number from 1 to ${MOST_PER_PAGE}`);
  const wanted = (record: { source: string }): boolean =>
    source === undefined || record.source === source;

  // Both read what is pending before their first await.
  const inTokens = cursor?.startsWith('t.') === true;
  const after = inTokens ? cursor.slice(2) : undefined;
  const lookedAt = source === undefined ? limit : Math.max(limit, LOOKED_AT);
  const readingTokens =
    kind === undefined || kind === 'token' ? tokensAfter(view, after, lookedAt) : undefined;
  // Settled here in any case; where it failed, the await below says so.
  readingTokens?.catch(() => undefined);
  const records: (TokenRecord | RuleRecord | LiftRecord)[] = [];
  if (!inTokens && kind !== 'token')
    for (const [key, record] of bookEntries(await readBook(view), nowMs)) {
      if (cursor !== undefined && key <= orderOf(cursor)) continue;
      if ((kind !== undefined && record.kind !== kind) || !wanted(record)) continue;
      if (records.length === limit) return { records, next: cursorOf(records.at(-1)) };
      records.push(record);
    }
  if (readingTokens === undefined) return { records, next: undefined };
  const { tokens, more } = await readingTokens;
  let last: string | undefined;
  for (const token of tokens) {
    if (records.length === limit)
      return { records, next: last === undefined ? cursorOf(records.at(-1)) : `t.${last}` };
    last = token.fingerprint;
    if (token.endSeconds * 1000 > nowMs && wanted(token)) records.push(token);
  }
  return { records, next: more && last !== undefined ? `t.${last}` : undefined };
}

/** The first `most` tokens behind a fingerprint, in order. */
async function tokensAfter(
  view: JournalView,
  after: string | undefined,
  most: number,
): Promise<{ tokens: TokenRecord[]; more: boolean }> {
  const found = new Map<string, TokenRecord>();
  /** Only those up to here are complete: beyond, some were let go. */
  let horizon: string | undefined;
  const afterWords = after === undefined ? undefined : fingerprintWords(after);
  const take = (record: TokenRecord): void => {
    const known = found.get(record.fingerprint);
    found.set(record.fingerprint, known === undefined ? record : combineTokens(known, record));
    if (found.size < 4 * most + 1000) return;
    const kept = [...found.keys()].sort().slice(0, most + 1);
    horizon = kept.at(-1);
    for (const key of found.keys()) if (horizon !== undefined && key > horizon) found.delete(key);
  };
  await readNewestFirst(view, {
    token: (words, endSeconds, source, learntAtMs) => {
      const key = fingerprintText(words, 0);
      if ((after !== undefined && key <= after) || (horizon !== undefined && key > horizon)) return;
      take(tokenRecord(words, endSeconds, source, learntAtMs));
    },
  });
  await withSnapshot(view, async (snapshot, sources) => {
    let taken = 0;
    const from = afterWords ?? new Uint32Array(3);
    for (
      let n = snapshot.blocks === 0 ? 0 : await snapshot.blockOf(from);
      n < snapshot.blocks;
      n++
    ) {
      const block = await snapshot.block(n);
      if (block === undefined) throw new Error('the snapshot is damaged');
      for (let at = lowerBound(block, from); at < block.count * RECORD_WORDS; at += RECORD_WORDS) {
        const record = snapshotRecord(block.words, at, sources);
        if (record.fingerprint === after) continue;
        if (taken > most || (horizon !== undefined && record.fingerprint > horizon)) return;
        const known = found.get(record.fingerprint);
        found.set(record.fingerprint, known === undefined ? record : combineTokens(known, record));
        taken++;
      }
    }
  });
  const sorted = [...found.keys()].sort();
  const tokens = sorted.slice(0, most).map((key) => found.get(key) as TokenRecord);
  return { tokens, more: sorted.length > most };
}

/** What is pending, then the segments from the newest to the oldest. */
async function readNewestFirst(view: JournalView, visitor: RecordVisitor): Promise<void> {
  for (const records of view.pending.toReversed()) readRecords(records, visitor);
  const slices = new Slices();
  for (const part of view.parts.toReversed()) {
    const segment = await SegmentFile.open(view.folder, part.number, view.folder.identity);
    if (!(segment instanceof SegmentFile)) throw new Error(`${segment.file} ${segment.detail}`);
    try {
      const { goodBytes } = await segment.read(part.bytes, visitor, slices);
      if (goodBytes < part.bytes) throw new Error(`${segment.name} is damaged`);
    } finally {
      await segment.close();
    }
  }
}

async function withSnapshot(
  view: JournalView,
  read: (snapshot: SnapshotFile, sources: ReadonlyMap<number, string>) => Promise<void>,
  visitor: RecordVisitor = { token: () => undefined },
): Promise<void> {
  const snapshot = await SnapshotFile.open(view.folder, view.folder.identity);
  if (snapshot === undefined) return;
  if (!(snapshot instanceof SnapshotFile)) throw new Error(`${snapshot.file} ${snapshot.detail}`);
  try {
    const sources = new Map<number, string>();
    const whole = await snapshot.tail({
      ...visitor,
      source: (number, name) => void sources.set(number, name),
    });
    if (!whole) throw new Error('the snapshot is damaged');
    await read(snapshot, sources);
  } finally {
    await snapshot.close();
  }
}

/** Rules, then lifts, that have not ended, by their cursors. */
function bookEntries(
  book: RuleBook,
  nowMs: number,
): [cursor: string, record: RuleRecord | LiftRecord][] {
  const live: (RuleRecord | LiftRecord)[] = [
    ...[...book.rules()].map(([, record]) => record).filter(({ rule }) => rule.endsAtMs > nowMs),
    ...[...book.lifts()].map(([, record]) => record).filter(({ lift }) => lift.endsAtMs > nowMs),
  ];
  return live
    .map((record): [string, RuleRecord | LiftRecord] => [orderOf(cursorOf(record) ?? ''), record])
    .sort(([left], [right]) => (left < right ? -1 : 1));
}

/** A cursor names its record by a digest: names of rules hold claims, and cursors are in addresses that get logged. */
function cursorOf(record: TokenRecord | RuleRecord | LiftRecord | undefined): string | undefined {
  if (record === undefined) return undefined;
  if (record.kind === 'token') return `t.${record.fingerprint}`;
  const name = nameOfRule(record.kind === 'rule' ? record.rule : record.lift);
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 32);
  return `${record.kind === 'rule' ? 'r' : 'l'}.${digest}`;
}

/** Cursors in the order of the list: rules before lifts. */
function orderOf(cursor: string): string {
  return cursor.startsWith('r.') ? `0${cursor}` : `1${cursor}`;
}

function tokenRecord(
  words: Uint32Array,
  endSeconds: number,
  source: string,
  learntAtMs: number,
): TokenRecord {
  return { kind: 'token', fingerprint: fingerprintText(words, 0), endSeconds, source, learntAtMs };
}

function snapshotRecord(
  words: Uint32Array,
  at: number,
  sources: ReadonlyMap<number, string>,
): TokenRecord {
  return {
    kind: 'token',
    fingerprint: fingerprintText(words, at),
    endSeconds: words[at + 3] ?? 0,
    source: sources.get(sourceOf(words, at)) ?? '',
    learntAtMs: learntAtMs(words, at),
  };
}

function sameFingerprint(words: Uint32Array, at: number, wanted: Uint32Array): boolean {
  return words[at] === wanted[0] && words[at + 1] === wanted[1] && words[at + 2] === wanted[2];
}
