import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../support/checkout.ts';
import { INVALID_CREDENTIALS } from '../support/product.ts';
import { codeBlocks, pages, readPage } from './markdown.ts';
import { place } from './place.ts';
import { runSteps, steps, type Step } from './shell.ts';

/** Pages whose every `sh` block is run, in order: by whom. */
const RUN_WHOLE: Readonly<Record<string, string>> = {
  'docs/petstore-walkthrough.md': 'test/docs/petstore-walkthrough.test.ts',
  'docs/project.md': 'test/docs/project.test.ts',
  'docs/operator.md': 'test/docs/operator.test.ts',
  'docs/certificates.md': 'test/docs/certificates.test.ts',
  'docs/deployment.md': 'test/docs/deployment.test.ts',
};

/**
 * Commands that other files run: where, and the text there that shows it. A command that is neither here nor in a block of
 * {@link RUN_HERE}, or here and on no page, fails.
 */
const RUN_ELSEWHERE: Readonly<Record<string, readonly [file: string, text: string]>> = {
  'npm run demo': ['test/docs/demo.test.ts', "['run', 'demo', '--', ...words]"],
  'npm run verify': ['.ci/run', 'npm run --silent verify'],
  'npm run check:faults': ['tools/verify.ts', "'check/run.ts'"],
  'npm run check:junk': ['test/e2e/junk-tokens.test.ts', "'check/junk-tokens.ts'"],
  'npm run check:slow': ['test/e2e/slow-clients.test.ts', "'check/slow-clients.ts'"],
  'npm run check:fuzz': ['test/check/fuzz.test.ts', "'check/fuzz.ts'"],
  'micro-gw token-service': [
    'test/token-service/command.test.ts',
    "'token-service', '--port', '0'",
  ],
};

/** How the `sh` blocks begin that this file runs. */
const RUN_HERE = {
  use: '# The service that the gateway stands in front of.',
  useToken: 'CA=${MGW_HOME',
  useRevoked: 'curl -s --cacert $CA -u shop',
  useRule: '# The exit code is 3',
  useEnd: 'kill $(jobs -p)',
  revoke: 'SECRET=$(node',
  redisProject: 'micro-gw init shop',
  redisRevoke: 'redis-cli XADD',
  bench: 'npm run bench\n',
  benchRevocation: 'npm run bench:revocation\n',
  someSteps: 'npm run verify -- ',
} as const;

/** Words that a line of an indented block begins with when it is a command. */
const PROGRAMS =
  /^(?:\$ |sudo |export |[A-Z_]+=\S* )*(?:[A-Z_]+=|apt-get|bash|cat|cp|curl|docker|etcd|etcdctl|gateway|git|keytool|kill|micro-gw|mkdir|node|npm|npx|openssl|rabbitmqctl|redis-cli|rm|sh|systemctl)(?: |$)/;

interface Command {
  readonly page: string;
  readonly line: number;
  readonly text: string;
}

/** What stands in `sh` blocks, and what looks like a command in blocks without a language. */
function otherCommands(): Command[] {
  return pages()
    .filter((page) => RUN_WHOLE[page] === undefined)
    .flatMap((page) =>
      codeBlocks(readPage(page)).flatMap(({ language, text, line }): Command[] => {
        assert.ok(
          !['bash', 'console', 'shell'].includes(language),
          `${page}:${line}: commands stand in blocks of the language sh`,
        );
        if (Object.values(RUN_HERE).some((start) => text.startsWith(start))) return [];
        return text
          .split('\n')
          .map((text, index) => ({ page, line: line + index, text: text.trim() }))
          .filter(({ text }) =>
            language === 'sh'
              ? text !== '' && !text.startsWith('#')
              : language === '' && PROGRAMS.test(text),
          );
      }),
    );
}

test('every command of every page is run by a test', () => {
  const seen = new Set<string>();
  for (const { page, line, text } of otherCommands()) {
    if (text.startsWith(RUN_HERE.someSteps)) continue;
    assert.ok(
      RUN_ELSEWHERE[text] !== undefined,
      `${page}:${line}: nobody runs this: run it in test/docs/, or say who does\n${text}`,
    );
    seen.add(text);
  }
  assert.deepEqual(Object.keys(RUN_ELSEWHERE).sort(), [...seen].sort(), 'no command left over');
});

test('whoever is said to run a command does', () => {
  for (const file of Object.values(RUN_WHOLE)) assert.ok(existsSync(join(ROOT, file)), file);
  for (const [command, [file, text]] of Object.entries(RUN_ELSEWHERE))
    assert.ok(readFileSync(join(ROOT, file), 'utf8').includes(text), `${command}: not in ${file}`);
});

/** The block of a page that begins so. */
function block(page: string, start: string): Step {
  const found = steps(page).filter(({ commands }) => commands.startsWith(start));
  const [step] = found;
  assert.ok(step !== undefined && found.length === 1, `${page}: ${found.length} blocks ${start}`);
  return step;
}

/** What a test adds before or after a page's commands. */
function added(commands: string, expected?: string): Step {
  return { page: import.meta.filename, line: 0, commands, expected };
}

/** Waits for a server that is starting. */
const UNTIL_200 = 'curl -s --retry 60 --retry-delay 1 --retry-all-errors -f -o /dev/null';

test('what the README shows ends in a token that is good, and rejected once it is revoked', async (t) => {
  const { cwd, scratch, env } = await place(t);
  // Nothing but what is written there: whoever types it in gets the same.
  const { use, useToken, useRevoked, useRule, useEnd } = RUN_HERE;
  const written = [use, useToken, useRevoked, useRule, useEnd];
  const run = written.map((start) => block('README.md', start));
  assert.match(run[1]?.expected ?? '', /^HTTP\/2 200\n/);
  assert.match(run[2]?.expected ?? '', /^HTTP\/2 401\n/);
  assert.ok(run[2]?.expected?.endsWith(`${INVALID_CREDENTIALS}\n`));
  // What is no JWT is asked about with credentials that the token service knows.
  const junk = (run[1]?.commands ?? '').replace('$TOKEN"', 'junk"').replace(/^TOKEN=.*$/m, '');
  run.splice(2, 0, added(junk, run[2]?.expected));
  await runSteps(t, run, { cwd, scratch, env, isolated: true });
});

test('the token service issues and revokes as docs/token-service.md says', async (t) => {
  const { cwd, scratch, env } = await place(t);
  const list = `curl -s --cacert ~/.portcullis/security/local-ca.pem -u admin:$(node -p 'JSON.parse(fs.readFileSync(0)).admin.password' < ~/.portcullis/token-service/token-service-credentials.json) https://localhost:9443/internal/data/v1/revokedjwt`;
  await runSteps(
    t,
    [
      added('micro-gw token-service > token-service.log 2>&1 &\n'),
      added(`${UNTIL_200} -k https://localhost:9443/health\n`),
      added(`${list}\n`, '[]\n'),
      block('docs/token-service.md', RUN_HERE.revoke),
      added(`${list}\n`, '[{"jwt_signature":"...\n'),
    ],
    { cwd, scratch, env, isolated: true },
  );
});

test('the Redis example is built, and revoked in, as its page says', async (t) => {
  const { scratch, env } = await place(t);
  await cp(join(ROOT, 'examples'), join(scratch, 'examples'), { recursive: true });
  const options = { cwd: join(scratch, 'examples/redis-revocations'), scratch, env };
  const page = 'examples/redis-revocations/README.md';
  const built = await runSteps(t, [block(page, RUN_HERE.redisProject)], {
    ...options,
    isolated: false,
  });
  assert.match(built, /\nBUILD SUCCESSFUL\nTarget: .*\/shop\/target\/shop\.mjs\n$/);
  await runSteps(
    t,
    [
      added(
        `redis-server --save '' > redis.log 2>&1 &\nuntil redis-cli ping; do sleep 0.1; done\n`,
      ),
      block(page, RUN_HERE.redisRevoke),
      added('redis-cli XLEN revocations\n', '1\n'),
    ],
    { ...options, isolated: true },
  );
});

test('some steps of `npm run verify` can be run alone, and unknown ones are refused', async (t) => {
  const { scratch, env } = await place(t);
  const contributing = block('CONTRIBUTING.md', '# Everything');
  const some = contributing.commands
    .split('\n')
    .filter((line) => line.startsWith(RUN_HERE.someSteps));
  assert.equal(some.length, 1);
  const output = await runSteps(
    t,
    [
      added(`${some[0]}\n`),
      added('! npm run verify -- nonsense\n', '...\nNo such step: nonsense...\n...\n'),
    ],
    { cwd: ROOT, scratch, env, isolated: false },
  );
  assert.match(output, /== build: [^]*== servers: [^]*verify: everything passed/);
});

test('the benchmark runs and prints a row for each program, and what is aimed at', async (t) => {
  const { scratch, env } = await place(t);
  const { commands } = block('docs/benchmarks.md', RUN_HERE.bench);
  const few = '--case live,latency --rounds 1 --seconds 1 --warm-up 0 --again 0';
  const output = await runSteps(
    t,
    [
      added(commands.replace('npm run bench', `$& -- ${few}`)),
      added(
        '! npm run bench -- --case nonsense\n',
        '...\nno case nonsense; there are live, ...\n...\n',
      ),
    ],
    { cwd: ROOT, scratch, env, isolated: false },
  );
  for (const name of [
    'HAProxy, plain proxy',
    'HAProxy, jwt_verify \\+ map',
    'HAProxy, jwt_verify \\+ map, log',
    'Portcullis, engine "own"',
    'Portcullis, engine "node"',
    '@fastify/http-proxy \\+ @fastify/jwt',
  ])
    assert.match(output, new RegExp(`^\\| ${name} \\| \\d`, 'm'));
  for (const aim of ['3 header fields: CPU, to HAProxy with JWT', 'p99 at half of .* with JWT'])
    assert.match(
      output,
      new RegExp(`^\\| .*${aim} \\| [\\d.]+ \\| \\d+\\.\\d+ \\| \\d+\\.\\d+ \\|$`, 'm'),
    );
});

test('the benchmark of revocations runs and prints each of its tables', async (t) => {
  const { scratch, env } = await place(t);
  const { commands } = block('docs/benchmarks.md', RUN_HERE.benchRevocation);
  const few = commands.replace('npm run bench:revocation', '$& -- --entries 20000 --rounds 1');
  const options = { cwd: ROOT, scratch, env, isolated: false };
  const output = await runSteps(t, [added(few)], options);
  for (const row of [
    '20,000 \\| Portcullis \\|',
    '20,000 \\| Map of ids',
    '20,000 \\| Bloom filters',
    '10,000 \\| Linear scan',
    '20,000 \\| \\d',
    'idle \\| denied on every data-plane thread',
    'loaded \\| bare amqplib consumer',
    'takes in 20,000 revocations',
  ])
    assert.match(output, new RegExp(`^\\| ${row}`, 'm'));
});
