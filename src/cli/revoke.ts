import type { RevokedView } from '../admin/views.ts';
import type { Io } from './io.ts';
import { callOperator, CLIENT_OPTIONS } from './operator-client.ts';
import { visible } from './table.ts';
import { readToken } from './token-argument.ts';
import { parse, splitOverrides, usage } from './words.ts';

const OPTIONS = {
  ...CLIENT_OPTIONS,
  token: { type: 'string', short: 't' },
  subject: { type: 'string' },
  session: { type: 'string' },
  client: { type: 'string' },
  issuer: { type: 'string' },
  claim: { type: 'string', multiple: true },
  'issued-before': { type: 'string' },
  'ends-at': { type: 'string' },
  reason: { type: 'string' },
  wait: { type: 'boolean' },
  timeout: { type: 'string' },
} as const;

/** The options that say what is revoked. */
const WHAT = ['token', 'subject', 'session', 'client', 'claim', 'issuer'] as const;

/** Milliseconds that `--wait` waits where `--timeout` does not say. */
const WAIT_MS = 5_000;

/**
 * `micro-gw revoke`.
 * @returns 0 when it is revoked here and went to every source that publishes, 1 when one of them failed or a thread did not confirm in time
 */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const { words, overrides } = splitOverrides(argv);
  const { values, positionals } = parse(words, OPTIONS);
  // Most likely a token: it is not repeated.
  if (positionals.length > 0)
    throw usage('Unexpected argument: what is revoked follows an option, as in --token <token>');
  const token = values.token === undefined ? undefined : await readToken(values.token, io);
  if (WHAT.every((option) => values[option] === undefined))
    throw usage(
      'Nothing says what is revoked: give --token, or any of --subject, --session, --client, --claim and --issuer',
    );
  const waitMs = values.wait === true ? milliseconds(values.timeout) : undefined;
  if (values.timeout !== undefined && waitMs === undefined) throw usage('--timeout needs --wait');
  const body = {
    ...optional('token', token),
    ...optional('subject', values.subject),
    ...optional('session', values.session),
    ...optional('client', values.client),
    ...optional('issuer', values.issuer),
    ...optional('claims', claimsOf(values.claim)),
    ...optional('issuedBefore', moment(values['issued-before'])),
    ...optional('endsAt', moment(values['ends-at'])),
    ...optional('reason', values.reason),
    ...(waitMs === undefined ? {} : { wait: 'threads', timeoutMs: waitMs }),
  };
  const done = await callOperator<RevokedView>(
    { method: 'POST', path: '/revocations', body, has: 'applied', extraMs: waitMs ?? 0 },
    { values, overrides },
    io,
  );
  if (values.json === true) io.out(`${JSON.stringify(done, undefined, 2)}\n`);
  else say(done, io);
  return complain(done, io);
}

function say(done: RevokedView, io: Io): void {
  const what = `${visible(done.kind)} ${visible(done.id)}`;
  const before =
    done.issuedBefore === undefined ? '' : `, tokens issued up to ${visible(done.issuedBefore)}`;
  io.out(
    `${done.applied === 'known' ? 'Was revoked already' : 'Revoked'}: ${what}${before}, kept until ${visible(done.endsAt)}\n`,
  );
  const published = done.published.filter(({ ok }) => ok).map(({ source }) => visible(source));
  if (published.length > 0) io.out(`Published to ${published.join(', ')}\n`);
  else if (done.published.length === 0)
    io.out('No source of this gateway publishes: other gateways do not hear of it from here\n');
  if (done.confirmedThreads !== undefined)
    io.out(
      `Confirmed by ${done.confirmedThreads.confirmed} of ${done.confirmedThreads.of} data-plane threads\n`,
    );
}

/** What is revoked here but did not get everywhere is no success. */
function complain({ published, confirmedThreads }: RevokedView, io: Io): number {
  const failed = published.filter(({ ok }) => !ok);
  for (const { source, reason } of failed)
    io.err(
      `micro-gw: [WARN] it holds here, but was not published to ${visible(source)}: ${visible(reason ?? 'unknown reason')}\n`,
    );
  const late = confirmedThreads !== undefined && confirmedThreads.confirmed < confirmedThreads.of;
  if (late) io.err('micro-gw: [WARN] not every data-plane thread confirmed in time\n');
  return failed.length > 0 || late ? 1 : 0;
}

function claimsOf(words: readonly string[] | undefined): Record<string, string> | undefined {
  if (words === undefined) return undefined;
  const claims = new Map<string, string>();
  for (const word of words) {
    const at = word.indexOf('=');
    if (at < 1) throw usage('--claim must be name=value');
    const name = word.slice(0, at);
    if (claims.has(name)) throw usage(`--claim names ${visible(name)} twice`);
    claims.set(name, word.slice(at + 1));
  }
  return Object.fromEntries(claims);
}

/** `now`, epoch milliseconds or RFC 3339, which the gateway reads. */
function moment(word: string | undefined): string | number | undefined {
  if (word === 'now') return Date.now();
  return word !== undefined && /^\d{1,15}$/.test(word) ? Number(word) : word;
}

function milliseconds(word: string | undefined): number {
  if (word === undefined) return WAIT_MS;
  const match = /^(\d{1,5})(ms|s)$/.exec(word);
  const value = Number(match?.[1]) * (match?.[2] === 's' ? 1_000 : 1);
  if (match === null || value < 1 || value > 30_000)
    throw usage('--timeout must be a time from 1ms to 30s, such as 500ms or 10s');
  return value;
}

function optional(name: string, value: unknown): Readonly<Record<string, unknown>> {
  return value === undefined ? {} : { [name]: value };
}
