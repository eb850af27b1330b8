import type { StatusView } from '../admin/views.ts';
import { styled, type Io } from './io.ts';
import { callOperator, CLIENT_OPTIONS } from './operator-client.ts';
import { table, visible } from './table.ts';
import { parse, splitOverrides, usage } from './words.ts';

/** `micro-gw status`. Resolves to 0 when the gateway answered, whatever it said. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const { words, overrides } = splitOverrides(argv);
  const { values, positionals } = parse(words, CLIENT_OPTIONS);
  if (positionals.length > 0) throw usage('`micro-gw status` takes options only');
  const status = await callOperator<StatusView>(
    { method: 'GET', path: '/status', has: 'sources' },
    { values, overrides },
    io,
  );
  if (values.json === true) io.out(`${JSON.stringify(status, undefined, 2)}\n`);
  else say(status, io);
  return 0;
}

function say(status: StatusView, io: Io): void {
  const { version, installation, startedAt, policy, stalenessMs, list, threads, journal } = status;
  io.out(
    `Portcullis ${visible(version)}, installation ${visible(installation)}, since ${visible(startedAt)}\n`,
  );
  io.out(
    `${status.ready ? styled(io, 'bold green', 'Ready') : styled(io, 'bold red', 'NOT ready')}\n`,
  );
  for (const { code, message, source, since } of status.reasons) {
    const named = source !== undefined && message.startsWith(`${source} `);
    const more = [
      named ? undefined : source,
      since === undefined ? undefined : `since ${since}`,
    ].filter((part) => part !== undefined);
    const place = more.length === 0 ? '' : ` (${more.join(', ')})`;
    io.out(`  ${visible(`${code}: ${message}${place}`)}\n`);
  }
  const known =
    stalenessMs === undefined ? 'nothing is known yet' : `known up to ${seconds(stalenessMs)} ago`;
  io.out(
    `Revocations: ${known}; allowed: ${seconds(policy.maxStalenessMs)}, then ${visible(policy.whenStale)}\n`,
  );
  io.out(
    `List: ${list.tokens} tokens and ${list.rules} rules of at most ${list.maxEntries}, ${memory(list.residentBytes)}\n`,
  );
  io.out(`Threads: ${threads.live} of ${threads.wanted}, ${threads.replaced} replaced\n`);
  io.out(
    `Journal: ${journal.healthy ? 'healthy' : `NOT healthy: ${visible(journal.trouble ?? '')}`}\n`,
  );
  if (status.sources.length === 0) io.out('No source of revocations is enabled.\n');
  else io.out(`\n${sources(status)}`);
}

function sources({ sources }: StatusView): string {
  return table(
    ['SOURCE', 'TYPE', 'STATE', 'FRESH AS OF', 'NOTES'],
    sources.map((source) => [
      source.name,
      source.type,
      source.state,
      source.freshAsOf ?? 'never',
      [
        ...(source.required ? ['required'] : []),
        ...(source.publishes ? ['publishes'] : []),
        ...(source.gap ? ['gap'] : []),
        ...(source.trouble === undefined ? [] : [source.trouble]),
      ].join(', '),
    ]),
  );
}

function memory(bytes: number): string {
  return bytes < 2 ** 20
    ? `${Math.ceil(bytes / 2 ** 10)} KiB`
    : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
