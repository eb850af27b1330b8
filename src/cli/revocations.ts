import type { LiftedView, PageView, RecordView } from '../admin/views.ts';
import type { Io } from './io.ts';
import { callOperator, CLIENT_OPTIONS, type ClientValues } from './operator-client.ts';
import { table, visible } from './table.ts';
import { parse, splitOverrides, usage } from './words.ts';

const OPTIONS = {
  ...CLIENT_OPTIONS,
  kind: { type: 'string' },
  source: { type: 'string' },
  limit: { type: 'string' },
  reason: { type: 'string' },
} as const;

/** Records that one call may bring. */
const PAGE = 1_000;
const DEFAULT_LIMIT = 100;

interface Words {
  readonly values: ClientValues & {
    readonly kind?: string;
    readonly source?: string;
    readonly limit?: string;
    readonly reason?: string;
    readonly json?: boolean;
  };
  readonly overrides: readonly string[];
}

/** `micro-gw revocations`, `micro-gw revocations show <id>`, `micro-gw revocations lift <id> --reason <why>`. Resolves to the exit code. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const { words, overrides } = splitOverrides(argv);
  const { values, positionals } = parse(words, OPTIONS);
  const [action, id, ...more] = positionals;
  const given = { values, overrides };
  if (action === undefined) return list(given, io);
  if (action !== 'show' && action !== 'lift')
    throw usage('Unknown action: there are show and lift');
  if (id === undefined || more.length > 0)
    throw usage(`Write: micro-gw revocations ${action} <id>`);
  // An id has nothing that would have to be escaped; what has is no id.
  if (!/^[rlt]-[A-Za-z0-9_-]{16}$/.test(id))
    throw usage('That is no id: `micro-gw revocations` lists them');
  return action === 'show' ? show(id, given, io) : lift(id, given, io);
}

async function list(words: Words, io: Io): Promise<number> {
  const { values } = words;
  if (values.reason !== undefined) throw usage('--reason is for `micro-gw revocations lift`');
  const limit = values.limit ?? String(DEFAULT_LIMIT);
  if (!/^[1-9]\d{0,6}$/.test(limit)) throw usage('--limit must be a whole number from 1');
  const records: RecordView[] = [];
  let next: string | undefined;
  do {
    const query = new URLSearchParams({
      limit: String(Math.min(PAGE, Number(limit) - records.length)),
    });
    if (values.kind !== undefined) query.set('kind', values.kind);
    if (values.source !== undefined) query.set('source', values.source);
    if (next !== undefined) query.set('cursor', next);
    const path = `/revocations?${query.toString()}`;
    const page = await callOperator<PageView>(
      { method: 'GET', path, has: 'revocations' },
      words,
      io,
    );
    records.push(...page.revocations);
    next = page.next;
  } while (next !== undefined && records.length < Number(limit));
  if (values.json === true) {
    const more = next === undefined ? {} : { next };
    io.out(`${JSON.stringify({ revocations: records, ...more }, undefined, 2)}\n`);
    return 0;
  }
  const all = values.kind === undefined && values.source === undefined;
  if (records.length === 0)
    io.out(all ? 'Nothing is revoked.\n' : 'Nothing of this kind or source is revoked.\n');
  else io.out(table(['ID', 'KIND', 'WHAT', 'UNTIL', 'SOURCE'], records.map(rowOf)));
  if (next !== undefined) io.out(`There are more: --limit ${Number(limit) * 10}\n`);
  return 0;
}

function rowOf(record: RecordView): string[] {
  return [record.id, record.kind, whatOf(record), record.endsAt, record.source];
}

/** The tokens that a rule is about; of a single token there is nothing to show. */
function whatOf({ claims, issuer, issuedBefore }: RecordView): string {
  if (issuedBefore === undefined) return '';
  const parts = Object.entries(claims ?? {}).map(([name, value]) => `${name}=${value}`);
  if (issuer !== undefined) parts.push(`issuer=${issuer}`);
  return `${parts.join(' ')} before ${issuedBefore}`;
}

async function show(id: string, words: Words, io: Io): Promise<number> {
  const record = await callOperator<RecordView>(
    { method: 'GET', path: `/revocations/${id}`, has: 'kind' },
    words,
    io,
  );
  io.out(
    words.values.json === true ? `${JSON.stringify(record, undefined, 2)}\n` : linesOf(record),
  );
  return 0;
}

/** One member a line. */
export function linesOf(record: RecordView): string {
  const lines: readonly (readonly [string, string | undefined])[] = [
    ['id', record.id],
    ['kind', record.kind],
    ['what', whatOf(record) || undefined],
    ['until', record.endsAt],
    ['source', record.source],
    ['learnt', record.learntAt],
    ['by', record.by],
    ['reason', record.reason],
  ];
  return lines
    .flatMap(([name, value]) =>
      value === undefined ? [] : [`${name.padEnd(6)}  ${visible(value)}\n`],
    )
    .join('');
}

async function lift(id: string, words: Words, io: Io): Promise<number> {
  const { reason, json } = words.values;
  if (reason === undefined) throw usage('Say why: --reason <text>');
  const done = await callOperator<LiftedView>(
    { method: 'DELETE', path: `/revocations/${id}`, body: { reason }, has: 'lifted' },
    words,
    io,
  );
  if (json === true) io.out(`${JSON.stringify(done, undefined, 2)}\n`);
  else {
    io.out(`Lifted: ${visible(done.lifted)} has no effect any more\n`);
    const published = done.published.filter(({ ok }) => ok).map(({ source }) => visible(source));
    if (published.length > 0) io.out(`Published to ${published.join(', ')}\n`);
  }
  const failed = done.published.filter(({ ok }) => !ok);
  for (const { source, reason } of failed)
    io.err(
      `micro-gw: [WARN] it is lifted here, but that was not published to ${visible(source)}: ${visible(reason ?? 'unknown reason')}\n`,
    );
  return failed.length > 0 ? 1 : 0;
}
