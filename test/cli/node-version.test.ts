import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { stripTypeScriptTypes } from 'node:module';
import { describe, it } from 'node:test';
import { nodeRefusal } from '../../src/cli/node-version.ts';
import { emptyFolder, write } from '../project/project-folder.ts';

const CLI = new URL('../../src/cli/', import.meta.url);

/** Makes any Node.js say that it is this old one. */
const OLD = '20.20.2';
const PRETEND = `data:text/javascript,Object.defineProperty(process.versions,'node',{value:'${OLD}'})`;

interface Outcome {
  readonly code: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, words: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(program, words, { timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    );
  });
}

/** The starters and the check as JavaScript, without anything else of Portcullis: whoever imports more before the check fails. */
function starters(): Record<string, string> {
  const files: Record<string, string> = { 'package.json': '{"type":"module"}' };
  for (const name of ['gateway', 'micro-gw', 'node-version']) {
    const text = stripTypeScriptTypes(readFileSync(new URL(`${name}.ts`, CLI), 'utf8'));
    files[`${name}.js`] = text.replaceAll(/\.ts'/g, ".js'");
  }
  return files;
}

/** Programs called `node` on the path that are too old for Portcullis. */
function oldNodes(): Map<string, string> {
  const found = new Map<string, string>();
  for (const folder of new Set([...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin'])) {
    try {
      const program = join(folder, 'node');
      const version = execFileSync(program, ['--version'], { encoding: 'utf8' }).trim().slice(1);
      if (nodeRefusal(version) !== undefined && Number.parseInt(version, 10) >= 16)
        found.set(version, program);
    } catch {
      // No program of that name in this folder.
    }
  }
  return found;
}

describe('a Node.js that is too old', () => {
  it('is one before 22.18', () => {
    for (const version of ['22.18.0', '22.20.1', '23.0.0', '24.21.0', '100.0.0'])
      assert.equal(nodeRefusal(version), undefined, version);
    for (const version of ['22.17.9', '22.2.0', '20.20.2', '9.0.0'])
      assert.equal(
        nodeRefusal(version),
        `Portcullis needs Node.js 22.18 or newer, this is ${version}`,
      );
  });

  it('is the one that package.json names', () => {
    const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    const { engines } = JSON.parse(text) as { engines: { node: string } };
    assert.equal(engines.node, '>=22.18');
  });

  it('is told so by both commands, before anything else is imported', async (t) => {
    const folder = emptyFolder(t);
    write(folder, starters());
    const programs: (readonly [string, readonly string[], string])[] = [
      [process.execPath, ['--import', PRETEND], OLD],
      ...[...oldNodes()].map(([version, program]) => [program, [], version] as const),
    ];
    for (const [program, words, version] of programs)
      for (const command of ['gateway.js', 'micro-gw.js'])
        assert.deepEqual(await run(program, [...words, join(folder, command), 'version']), {
          code: 1,
          stdout: '',
          stderr: `Portcullis needs Node.js 22.18 or newer, this is ${version}\n`,
        });
  });
});
