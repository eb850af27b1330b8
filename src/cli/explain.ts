import type { VerdictView } from '../admin/views.ts';
import type { Io } from './io.ts';
import { callOperator, CLIENT_OPTIONS } from './operator-client.ts';
import { linesOf } from './revocations.ts';
import { visible } from './table.ts';
import { readToken } from './token-argument.ts';
import { parse, splitOverrides, usage } from './words.ts';

/** Exit code for a token that would be refused: told apart from a command that failed. */
const REFUSED = 3;

/**
 * `micro-gw explain <token|->`.
 * @returns 0 when the token would pass, 3 when it would be refused
 */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const { words, overrides } = splitOverrides(argv);
  const { values, positionals } = parse(words, CLIENT_OPTIONS);
  const [word, ...more] = positionals;
  if (word === undefined) throw usage('Give a token, or - to read it from standard input');
  if (more.length > 0) throw usage('Give one token');
  const token = await readToken(word, io);
  const verdict = await callOperator<VerdictView>(
    { method: 'POST', path: '/revocations/explain', body: { token }, has: 'verdict' },
    { values, overrides },
    io,
  );
  if (values.json === true) io.out(`${JSON.stringify(verdict, undefined, 2)}\n`);
  else say(verdict, io);
  return verdict.verdict === 'pass' ? 0 : REFUSED;
}

function say({ verdict, reason, status, detail, revocation, source, since }: VerdictView, io: Io) {
  io.out(
    verdict === 'pass'
      ? `It would pass: ${visible(detail)}\n`
      : `It would be refused with ${status ?? 'an error'} (${visible(reason)}): ${visible(detail)}\n`,
  );
  if (source !== undefined) io.out(`source  ${visible(source)}\n`);
  if (since !== undefined) io.out(`since   ${visible(since)}\n`);
  if (revocation !== undefined) io.out(linesOf(revocation));
}
