import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { codeBlocks, readPage } from './markdown.ts';
import { place } from './place.ts';
import { runSteps, steps, type Step } from './shell.ts';

const PAGE = 'docs/deployment.md';

const DEFINITION = `openapi: 3.0.3
info: { title: Shop, version: v1 }
x-wso2-basePath: /shop
x-wso2-production-endpoints: { urls: ['http://127.0.0.1:8080'] }
paths:
  /hours: { get: { responses: { '200': { description: When it is open } } } }
`;

function added(commands: string, expected?: string): Step {
  return { page: import.meta.filename, line: 0, commands, expected };
}

/** What systemd does with the unit: `start` runs ExecStart and does not wait, `stop` sends SIGTERM and waits for the end. */
function systemctl(unit: string): string {
  const start = /^ExecStart=\S+\/(gateway) \S+\.mjs (.*%i.*)$/m.exec(unit);
  assert.ok(start !== null, unit);
  const words = (start[2] ?? '').replaceAll('%i', '$port');
  return `declare -A pids
systemctl() {
  local port=\${2#portcullis@}
  case $1 in
    start) gateway shop/target/shop.mjs ${words} > $port.log 2>&1 & pids[$port]=$! ;;
    stop) kill -TERM \${pids[$port]}; wait \${pids[$port]} ;;
    *) return 1 ;;
  esac
}
`;
}

test('a gateway takes over from another one in the steps of docs/deployment.md', async (t) => {
  const { cwd, scratch, env } = await place(t);
  const [takeover, ...more] = steps(PAGE);
  assert.ok(takeover !== undefined && more.length === 0);
  const [unit, ...others] = codeBlocks(readPage(PAGE)).filter((one) => one.language === 'ini');
  assert.ok(unit !== undefined && others.length === 0);
  await writeFile(join(cwd, 'shop.yaml'), DEFINITION);
  const ready = 'curl -s --retry 60 --retry-delay 1 --retry-all-errors -f -o /dev/null';

  await runSteps(
    t,
    [
      added('micro-gw init shop --api-definition shop.yaml\nmicro-gw build shop\n'),
      added(
        `${systemctl(unit.text)}systemctl start portcullis@9097\n${ready} http://127.0.0.1:9097/ready\n`,
      ),
      takeover,
      added(
        "grep -o 'the state folder is left to it' 9097.log; tail -n 1 9097.log\n",
        'the state folder is left to it\n... Ended\n',
      ),
      added(
        'micro-gw status --operatorConfig.port=9098\n',
        'Portcullis ...\nReady\n...\nJournal: healthy\n...\n',
      ),
      added(`${ready} http://127.0.0.1:9090/health\nsystemctl stop portcullis@9098\n`),
    ],
    { cwd, scratch, env, isolated: true },
  );
});
