import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Io } from '../../src/cli/io.ts';
import { main } from '../../src/cli/micro-gw-command.ts';
import { PETS, emptyFolder, write } from '../project/project-folder.ts';

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(cwd: string, line: string, colour = false): Promise<Outcome> {
  let out = '';
  let err = '';
  const io: Io = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    colour,
    cwd,
  };
  const code = await main(
    line.split(' ').filter((word) => word !== ''),
    io,
  );
  return { code, out, err };
}

describe('micro-gw init and build', () => {
  it('go from nothing to an artifact', async (t) => {
    const cwd = emptyFolder(t);
    write(cwd, { 'pets.yaml': PETS });
    assert.deepEqual(await run(cwd, 'init petstore -a pets.yaml'), {
      code: 0,
      out: `Project 'petstore' is initialized successfully.\n\n(Use "micro-gw build petstore" to build it)\n`,
      err: '',
    });
    assert.deepEqual(await run(cwd, 'init empty'), {
      code: 0,
      out: `Project 'empty' is initialized successfully.\n\n(Use "micro-gw build empty" after copying the api definitions)\n`,
      err: '',
    });
    assert.match(
      (await run(cwd, 'init unchecked -k -a https://127.0.0.1:1/pets.yaml')).err,
      /^micro-gw: \[WARN\] -k: .*not checked.*\nmicro-gw: .* cannot be fetched: .* \[ERR_DOWNLOAD\]\n$/,
    );
    const { code, out, err } = await run(cwd, 'build petstore/');
    const target = join(cwd, 'petstore/target/petstore.mjs');
    assert.deepEqual([code, err], [0, '']);
    assert.equal(
      out,
      `Generating sources... [DONE]\nBundling... [DONE]\n\nBUILD SUCCESSFUL\nTarget: ${target}\n`,
    );
    assert.ok(existsSync(target));
    const coloured = await run(cwd, 'build petstore', true);
    assert.ok(coloured.out.includes('\u001B[1;32mBUILD SUCCESSFUL\u001B[0m\n\u001B[1mTarget: '));
  });

  it('print warnings before the last lines', async (t) => {
    const cwd = emptyFolder(t);
    write(cwd, { 'pets.yaml': PETS.replace('x-wso2-basePath: /pets/v1\n', '') });
    await run(cwd, 'init petstore --api-definition pets.yaml');
    const { out } = await run(cwd, 'build petstore');
    assert.match(
      out,
      /\[DONE\]\n\[WARN\] : .*basePath not found in the open API 'pets\.yaml'\. Hence defaults to '\/'\n\nBUILD SUCCESSFUL\nTarget: .*\n$/,
    );
  });

  it('say what failed on standard error, and BUILD FAILED last', async (t) => {
    const cwd = emptyFolder(t);
    write(cwd, { 'pets.yaml': `${PETS}x-wso2-cors: {}\n` });
    await run(cwd, 'init petstore -a pets.yaml');
    assert.deepEqual(await run(cwd, 'build petstore'), {
      code: 1,
      out: 'Generating sources... [ERROR]\n\nBUILD FAILED\n',
      err: 'micro-gw: api_definitions/pets.yaml:9: x-wso2-cors (CORS) is not built yet. Remove it from the definition. [ERR_NOT_BUILT_YET]\n',
    });
    assert.deepEqual(await run(cwd, 'build nothing'), {
      code: 1,
      out: '\nBUILD FAILED\n',
      err: 'micro-gw: Project nothing does not exist. [ERR_PROJECT]\n',
    });
  });

  it('say every problem on a line of its own, with place and code', async (t) => {
    const cwd = emptyFolder(t);
    write(cwd, { 'pets.yaml': `${PETS}x-wso2-cors: {}\n` });
    await run(cwd, 'init petstore -a pets.yaml');
    write(cwd, { 'petstore/policies.yaml': 'a: [' });
    const { code, err } = await run(cwd, 'build petstore');
    assert.equal(code, 1);
    const [first, ...lines] = err.trimEnd().split('\n');
    assert.equal(first, 'micro-gw: 2 problems were found:');
    assert.equal(lines.length, 2);
    assert.match(
      lines[0] ?? '',
      /^ {2}api_definitions\/pets\.yaml:9: x-wso2-cors .* \[ERR_NOT_BUILT_YET\]$/,
    );
    assert.match(lines[1] ?? '', /^ {2}policies\.yaml:1: .* \[ERR_PROJECT\]$/);
  });

  it('refuse what is not built yet by name', async (t) => {
    const cwd = emptyFolder(t);
    for (const option of ['--docker', '--docker-image a:b', '--docker-base-image a', '-d x.toml']) {
      const { code, err } = await run(cwd, `build petstore ${option}`);
      assert.equal(code, 1);
      assert.match(err, /^micro-gw: The option --(?:docker|deployment)[a-z-]* is not built yet\./);
    }
    for (const command of ['import petstore -l x', 'reset']) {
      const { code, err } = await run(cwd, command);
      assert.equal(code, 1);
      assert.match(err, /^micro-gw: The command '(?:import|reset)' is not built yet\./);
    }
  });
});

describe('micro-gw says how it is called', () => {
  it('on standard error with exit code 1 when it was called wrongly', async (t) => {
    const cwd = emptyFolder(t);
    const cases: [string, string, string][] = [
      ['', 'Command not specified', ''],
      ['start', "Unknown command 'start' [ERR_USAGE]\n", ''],
      ['constructor', "Unknown command 'constructor' [ERR_USAGE]\n", ''],
      ['biuld pets', "Unknown command 'biuld': did you mean 'build'? [ERR_USAGE]\n", ''],
      ['INIT pets', "Unknown command 'INIT': did you mean 'init'? [ERR_USAGE]\n", ''],
      ['init', 'Project name is not given', ' init'],
      ['init a b', "Unexpected argument 'b'", ' init'],
      ['init ../a -f', "'../a' is not a project name", ' init'],
      ['init . --force', "'.' is not a project name", ' init'],
      ['init a --bad', "Unknown option '--bad'", ' init'],
      [
        'init a --headers x',
        'Provided number of header and number of values is different',
        ' init',
      ],
      ['init a --headers x,y --values 1', 'Provided number of header', ' init'],
      ['init a --headers x: --values 1', "'x:' is not a header name", ' init'],
      [
        'init a --headers x --values s3cr\u00e9t',
        'The value of the header x is malformed',
        ' init',
      ],
      ['build', 'Project name is not given', ' build'],
      ['build a --nope', "Unknown option '--nope'", ' build'],
      ['version x --y', "Unknown option '--y'", ' version'],
      [
        'help nope',
        'unknown help topic `nope`. There is help on init, build, token-service, revoke, revocations, explain, status, version, help [ERR_USAGE]\n',
        '',
      ],
      [
        'help buidl',
        "unknown help topic `buidl`: did you mean 'build'? There is help on init, ",
        '',
      ],
    ];
    for (const [line, message, topic] of cases) {
      const { code, err } = await run(cwd, line);
      assert.equal(code, 1, line);
      assert.ok(err.startsWith(`micro-gw: ${message}`), err);
      assert.ok(err.endsWith(`Run 'micro-gw help${topic}' for usage.\n`), err);
      assert.doesNotMatch(err, /s3cr/);
    }
  });

  it('on standard output when it is asked', async (t) => {
    const cwd = emptyFolder(t);
    for (const line of ['help', '--help', '-h', '?']) {
      const { code, out } = await run(cwd, line);
      assert.equal(code, 0);
      assert.match(out, /^Usage: micro-gw <command>/);
    }
    for (const line of ['help init', 'init --help', 'init -h', 'init ?']) {
      const { code, out } = await run(cwd, line);
      assert.equal(code, 0);
      assert.match(out, /^Usage: micro-gw init/);
    }
    assert.match((await run(cwd, 'help build')).out, /--allow-remote-refs/);
  });

  it('and which version it is, more of it with --verbose', async (t) => {
    const cwd = emptyFolder(t);
    const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    const { version } = JSON.parse(text) as { version: string };
    assert.deepEqual(await run(cwd, 'version'), { code: 0, out: `${version}\n`, err: '' });
    const verbose = await run(cwd, 'version --verbose');
    assert.match(verbose.err, /^micro-gw: \[verbose\] Portcullis /);
    const failed = await run(cwd, '--verbose build nothing');
    assert.match(
      failed.err,
      /micro-gw: Project nothing does not exist\. \[ERR_PROJECT\]\n.*\n +at /,
    );
  });
});

describe('the executable', () => {
  it('runs through a link in the folder it is called from', async (t) => {
    const cwd = emptyFolder(t);
    const script = fileURLToPath(new URL('../../src/cli/micro-gw.ts', import.meta.url));
    symlinkSync(script, join(cwd, 'micro-gw'));
    const execute = promisify(execFile);
    const { stdout } = await execute(process.execPath, ['micro-gw', 'init', 'shop'], { cwd });
    assert.match(stdout, /^Project 'shop' is initialized successfully\./);
    assert.ok(existsSync(join(cwd, 'shop/policies.yaml')));
    await assert.rejects(execute(process.execPath, ['micro-gw', 'build', 'shop'], { cwd }), {
      code: 1,
      stdout: 'Generating sources... [ERROR]\n\nBUILD FAILED\n',
    });
  });

  it('that can say nothing to anybody ends with 1, and without a stack', async () => {
    const script = fileURLToPath(new URL('../../src/cli/micro-gw.ts', import.meta.url));
    const run = (command: string) =>
      promisify(execFile)('sh', ['-c', command, process.execPath, script]);
    await assert.rejects(run('exec "$0" "$1" help > /dev/full'), {
      code: 1,
      stderr: 'micro-gw: standard output cannot be written: ENOSPC\n',
    });
    // The reader is gone before the command begins.
    const { stderr } = await run('{ sleep 0.2; "$0" "$1" help; } | true');
    assert.equal(stderr, '');
  });
});
