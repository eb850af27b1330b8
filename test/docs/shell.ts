import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inOwnNetwork } from '../support/own-network.ts';
import { owned, type Owner } from '../support/product.ts';
import { startProgram, type Program } from '../support/program.ts';
import { codeBlocks, readPage } from './markdown.ts';

/** Generous: a busy machine is no failure. */
const DEADLINE_MS = 170_000;
const MARKER = '@@ step';

/** A block of commands of a page, and what the page says that it prints. */
export interface Step {
  readonly page: string;
  readonly line: number;
  readonly commands: string;
  /** The `text` block right after it; undefined where there is none. */
  readonly expected: string | undefined;
}

/** Every `sh` block of a page, in order. */
export function steps(page: string): Step[] {
  const blocks = codeBlocks(readPage(page));
  return blocks.flatMap(({ language, text, line }, index) => {
    const next = blocks[index + 1];
    if (language !== 'sh') return [];
    const expected = next?.language === 'text' ? next.text : undefined;
    return [{ page, line, commands: text, expected }];
  });
}

export interface ShellOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where the script is written. */
  readonly scratch: string;
  /** True for a network of its own, with nothing but its loopback: all ports are free, and whatever was started dies with the shell. */
  readonly isolated: boolean;
}

/** Runs steps one after the other in one bash, and checks what each prints; the first command that fails ends it. */
export async function runSteps(
  owner: Owner,
  run: readonly Step[],
  options: ShellOptions,
): Promise<string> {
  const script = ['set -eo pipefail'];
  for (const [index, { commands }] of run.entries()) {
    const file = join(options.scratch, `step-${index}.sh`);
    writeFileSync(file, commands);
    script.push(`printf '\\n${MARKER} ${index}\\n'`, `. ${file} < /dev/null`);
  }
  const file = join(options.scratch, 'steps.sh');
  writeFileSync(file, `${script.join('\n')}\n`);
  const program = options.isolated
    ? startProgram(...inOwnNetwork('bash', file), options)
    : startProgram('bash', [file], options);
  owned(owner, () => {
    program.signal('SIGKILL');
    return program.ended();
  });
  const how = await program.ended(DEADLINE_MS);
  check(run, program, how);
  return program.output();
}

function check(run: readonly Step[], program: Program, how: number | string): void {
  const [before, ...printed] = program.output().split(new RegExp(`^${MARKER} \\d+\n`, 'm'));
  for (const [index, { page, line, commands, expected }] of run.entries()) {
    const text = printed[index];
    assert.ok(text !== undefined, `the shell did not get to ${page}:${line}: ${how}\n${before}`);
    const output = tidied(text);
    if (how !== 0 && index === printed.length - 1)
      assert.fail(`${page}:${line} failed (${how})\n${commands}\nprinted\n${output}`);
    if (expected !== undefined && !pattern(expected).test(output))
      assert.fail(
        `${page}:${line}\n${commands}\nprinted\n${output}\nwhere the page says\n${expected}`,
      );
  }
  assert.equal(how, 0, program.output());
}

/** What a page says is printed, as a pattern: `...` stands for any text within a line; alone on its line, for any number of lines. */
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

/** Output as it looks on a terminal: no empty lines around it, no blanks at line ends. */
function tidied(output: string): string {
  return `${output.replace(/[ \t\r]+$/gm, '').replace(/^\n+|\n+$/g, '')}\n`;
}
