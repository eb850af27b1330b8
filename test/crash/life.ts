import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { nameOfRule } from '../../src/revocation/rule.ts';
import { fingerprint, open, subjectRule } from '../revocation/journal/stage.ts';
import { fingerprintText } from '../../src/revocation/journal/record.ts';

const WRITER = fileURLToPath(new URL('journal-writer.ts', import.meta.url));
const DEADLINE_MS = 60_000;

/** How a life of a journal ended. */
export interface Life {
  /** What was said, a line each. */
  readonly said: readonly string[];
  readonly signal: NodeJS.Signals | null;
  readonly code: number | null;
}

/** Names of files that a journal may use, so that strace can be told which calls are meant: its own, and no others of the process. */
const FILES = [
  '',
  ...['secret', 'installation', 'committed', 'gaps'].flatMap((name) => [
    `/${name}`,
    `/${name}.tmp`,
  ]),
  '/segment.tmp',
  ...Array.from({ length: 9 }, (_, i) => `/segment-000000000${i}`),
  '/snapshot',
  '/snapshot.tmp',
  // Of https://issuer.example.
  ...['', '.tmp'].map((end) => `/keys-ffb55acfff1cbc1b78adb75565bb3ff6${end}`),
];

/** Words of strace for a folder: its files, or its lock. */
export function pathWords(folder: string, what: 'files' | 'lock'): string[] {
  const names = what === 'lock' ? ['/lock'] : FILES;
  return names.flatMap((name) => ['-P', folder + name]);
}

/**
 * Runs the writer under strace. All of its asynchronous calls to the file system come from one thread, so that the n-th call of a kind is
 * the same one each time; io_uring would hide them.
 */
export async function live(
  folder: string,
  firstToken: number,
  length: 'short' | 'long',
  straceWords: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<Life> {
  const words = [
    '-f',
    '-qq',
    ...straceWords,
    process.execPath,
    WRITER,
    folder,
    String(firstToken),
    length,
  ];
  const child = spawn('strace', words, {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: {
      ...process.env,
      ...environment,
      NODE_TEST_CONTEXT: undefined,
      UV_USE_IO_URING: '0',
      UV_THREADPOOL_SIZE: '1',
    },
    signal: AbortSignal.timeout(DEADLINE_MS),
    killSignal: 'SIGKILL',
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { said: text.split('\n').filter((line) => line !== ''), signal, code };
}

/** Starts from what a life left, as a gateway would, and holds it to what was said; goes on from there, on demand with a snapshot. */
export async function check(
  folder: string,
  earlier: number,
  life: Life,
  where: string,
  merged: boolean,
): Promise<void> {
  const of = (word: string): string[] =>
    life.said
      .filter((line) => line.startsWith(`${word} `))
      .map((line) => line.slice(word.length + 1));
  await using opened = await open(folder);
  const { restored, memory, journal } = opened;
  assert.deepEqual(restored.damage, [], `${where}: a process that is killed damages nothing`);
  assert.equal(restored.whole, true, where);
  const acknowledged = [
    ...Array.from({ length: earlier }, (_, i) => i),
    ...of('durable').map(Number),
  ];
  for (const number of acknowledged) {
    assert.ok(
      memory.tokens.has(fingerprintText(fingerprint(number), 0)),
      `${where}: token ${number}`,
    );
    const name = nameOfRule(subjectRule(`s${number}`, 0));
    assert.equal(memory.rules.get(name)?.issuedBeforeMs, number, `${where}: rule ${number}`);
    const found = await journal.find(fingerprint(number), 0);
    assert.equal(found?.learntAtMs, number + 1, `${where}: token ${number}`);
  }
  // What is claimed to be known was learnt before.
  const knownAsOf = restored.knownAsOfWallMs;
  if (knownAsOf !== undefined)
    assert.ok(
      memory.tokens.has(fingerprintText(fingerprint(knownAsOf - 1000), 0)),
      `${where}: known as of ${knownAsOf}`,
    );
  const [keys] = of('keys').slice(-1);
  const [set] = await journal.loadKeySets();
  if (keys !== undefined) assert.equal(set?.jwks, keys, `${where}: key set`);
  const [gap] = of('gap').slice(-1);
  if (gap !== undefined)
    assert.deepEqual(await journal.loadGaps(), new Map([['topic', Number(gap)]]), where);
  for (const name of readdirSync(folder))
    assert.ok(
      !name.startsWith('segment.tmp') && !name.startsWith('snapshot.tmp'),
      `${where}: ${name}`,
    );

  // And it goes on from there.
  journal.token(fingerprint(1_000_000), 0, 4_000_000_000, 'after', 1);
  await journal.durable();
  if (merged) await journal.snapshot();
  const page = await journal.list({ limit: 1000, kind: 'token' });
  assert.equal(page.records.length, memory.tokens.size + 1, where);
}

/** Kinds of calls in a log of strace, with how often each was made by one thread at most. */
export function callsIn(logFile: string): Map<string, number> {
  const perThread = new Map<string, number>();
  const most = new Map<string, number>();
  for (const line of readFileSync(logFile, 'utf8').split('\n')) {
    const [, thread, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (thread === undefined || call === undefined) continue;
    const count = (perThread.get(`${thread} ${call}`) ?? 0) + 1;
    perThread.set(`${thread} ${call}`, count);
    most.set(call, Math.max(most.get(call) ?? 0, count));
  }
  return most;
}
