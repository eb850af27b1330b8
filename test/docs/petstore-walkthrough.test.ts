import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyCheckout, plainEnvironment } from '../support/checkout.ts';
import { startProgram, type Program } from '../support/program.ts';
import { codeBlocks, readPage } from './markdown.ts';

const PAGE = 'docs/petstore-walkthrough.md';
/** Generous: a busy machine is no failure. */
const DEADLINE_MS = 170_000;

interface Step {
  readonly line: number;
  readonly commands: string;
  /** What the page says is printed; undefined where it says nothing. */
  readonly expected: string | undefined;
}

function steps(): Step[] {
  const blocks = codeBlocks(readPage(PAGE));
  return blocks.flatMap(({ language, text, line }, index) => {
    const next = blocks[index + 1];
    if (language !== 'sh') return [];
    return [{ line, commands: text, expected: next?.language === 'text' ? next.text : undefined }];
  });
}

/** The page's output as a pattern: `...` stands for any text within a line; alone on its line, for any number of lines. */
function pattern(expected: string): RegExp {
  const lines = expected
    .trimEnd()
    .split('\n')
    .map((line) =>
      line === '...'
        ? String.raw`(?:.*\n)*?`
        : `${line
            .split('...')
            .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
            .join('.*')}\n`,
    );
  return new RegExp(`^${lines.join('')}$`);
}

/** Output as it looks on a terminal: one newline at the end, no carriage returns, no blanks at line ends. */
function tidied(output: string): string {
  return `${output.replace(/[ \t\r]+$/gm, '').replace(/^\n+|\n+$/g, '')}\n`;
}

/** Checks what each step printed, up to where the shell got; `marker` begins the line before each. */
function check(run: readonly Step[], program: Program, marker: string, how: number | string): void {
  const parts = program.output().split(new RegExp(`^${marker} \\d+\n`, 'm'));
  for (const [index, { line, commands, expected }] of run.entries()) {
    const printed = parts[index + 1];
    assert.ok(printed !== undefined, `the shell did not get to ${PAGE}:${line}\n${commands}`);
    const output = tidied(printed);
    if (how !== 0 && index === parts.length - 2)
      assert.fail(`${PAGE}:${line} failed (${how})\n${commands}\nprinted\n${output}`);
    if (expected !== undefined && !pattern(expected).test(output))
      assert.fail(
        `${PAGE}:${line}\n${commands}\nprinted\n${output}\nwhere the page says\n${expected}`,
      );
  }
  assert.equal(how, 0, program.output());
}

function shell(folder: string, name: string, run: readonly Step[], marker: string): string {
  const script = [`set -eo pipefail`];
  for (const [index, { commands }] of run.entries()) {
    const file = join(folder, `${name}-${index}.sh`);
    writeFileSync(file, commands);
    script.push(`printf '\\n${marker} ${index}\\n'`, `. ${file} < /dev/null`);
  }
  const file = join(folder, `${name}.sh`);
  writeFileSync(file, `${script.join('\n')}\n`);
  return file;
}

test('every command of the walkthrough prints what the page says, on real servers and the ports of the documentation', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-walkthrough-'));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
  const checkout = join(folder, 'checkout');
  copyCheckout(checkout);
  const home = join(folder, 'home');
  mkdirSync(home);
  // Packages were installed before this test runs; here apt only tells whether it would have anything to do.
  const apt = join(folder, 'apt.conf');
  writeFileSync(apt, 'APT::Get::Simulate "true";\nDir::Log::Terminal "/dev/null";\n');
  const env = { ...(await plainEnvironment(home)), APT_CONFIG: apt };
  const all = steps();
  const outside = all.findIndex(({ commands }) => commands.startsWith('npm install')) + 1;
  assert.ok(outside > 0, 'the page has no `npm install`');
  const marker = '@@ step';

  await t.test('what needs the network', async (t) => {
    const run = all.slice(0, outside);
    const program = startProgram('bash', [shell(folder, 'outside', run, marker)], {
      cwd: checkout,
      env,
    });
    t.after(() => program.stop());
    const how = await program.ended(DEADLINE_MS);
    check(run, program, marker, how);
    assert.match(program.output(), / 0 newly installed/);
  });

  await t.test('everything else, on a network of its own', async (t) => {
    const run = all.slice(outside);
    // A network of its own frees the ports; processes of its own die with the shell, whatever it started.
    const program = startProgram(
      'unshare',
      [
        ...(process.getuid?.() === 0 ? [] : ['--map-root-user']),
        ...['--net', '--pid', '--fork', '--mount-proc', '--kill-child', 'bash', '-c'],
        `ip link set lo up && . ${shell(folder, 'inside', run, marker)}`,
      ],
      { cwd: checkout, env },
    );
    t.after(() => program.signal('SIGKILL'));
    const how = await program.ended(DEADLINE_MS);
    check(run, program, marker, how);
  });
});
