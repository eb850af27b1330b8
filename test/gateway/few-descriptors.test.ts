import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { createServer } from 'node:net';
import { bind } from '../../src/gateway/bind.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';
import { ENGINE, openApi, rawUpstream, stage, statusOf, wire } from './stage.ts';

const HEALTH = 'GET /health HTTP/1.1\r\nHost: h\r\n\r\n';
const ASK = 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n';

/** A shell that was started while there were descriptors for it. */
async function shell(t: TestContext): Promise<(command: string) => Promise<string>> {
  const child = spawn('bash', [], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const run = async (command: string): Promise<string> => {
    text = '';
    child.stdin.write(`${command}\necho done\n`);
    await until(() => text.endsWith('done\n'), command);
    return text.slice(0, -'done\n'.length);
  };
  const self = `prlimit --pid ${process.pid}`;
  const before = (await run(`${self} --nofile -o SOFT --noheadings`)).trim();
  t.after(async () => {
    await run(`${self} --nofile=${before}:`);
    child.stdin.end();
    await ended;
  });
  return (command) =>
    run(
      command.replace('TAKE', `${self} --nofile=1:`).replace('GIVE', `${self} --nofile=${before}:`),
    );
}

test(`a call upstream that gets no descriptor is answered 503, and says nothing against the upstream: ${ENGINE}`, async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
  });
  const { port, log } = await stage(t, {
    apis: [openApi(upstream.url)],
    upstream: { circuitBreaker: { failures: 2, openForMs: 30_000 } },
  });
  const run = await shell(t);
  const clients = await Promise.all(Array.from({ length: 4 }, () => wire(t, port)));
  for (const client of clients) await client.send(HEALTH).until(/\}$/); // it is accepted by now
  await run('TAKE');
  for (const client of clients) {
    client.text = '';
    const answer = await client.send(ASK).until(/\}$/);
    assert.equal(statusOf(answer), 503);
    assert.match(answer, /\r\nRetry-After: 1\r\n/i);
  }
  await run('GIVE');
  assert.equal(upstream.connections(), 0);
  const [client] = clients;
  if (client === undefined) throw new Error('no client');
  client.text = '';
  assert.equal(statusOf(await client.send(ASK).until(/ok$/)), 200, log.lines.join('\n'));
});

test(`a client that comes while there is no descriptor for it is served as soon as there is, and others meanwhile: ${ENGINE}`, async (t) => {
  const { port, url } = await stage(t, {});
  const run = await shell(t);
  const here = await wire(t, port);
  await here.send(HEALTH).until(/\}$/);
  here.text = '';
  // From another process: a connection of this one would have its descriptor before there is none.
  await run(
    `TAKE; exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'GET /health HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n' >&3`,
  );
  assert.equal(statusOf(await here.send(HEALTH).until(/\}$/)), 200);
  assert.match(await run('GIVE; head -n1 <&3'), /^HTTP\/1\.1 200 /);
  assert.equal((await fetch(`${url}/health`)).status, 200);
});

test('what goes wrong with a listener is survived, and said once a second', async () => {
  const server = createServer();
  const log = recordedLog();
  const options = { kind: 'http', host: '127.0.0.1', port: 0 } as const;
  const bound = await bind(server, options, {}, log);
  try {
    for (let count = 0; count < 100; count++) server.emit('error', new Error('accept EMFILE'));
    assert.deepEqual(log.lines, [
      `ERROR [Gateway] [-] http listener on port ${bound.port}: accept EMFILE`,
    ]);
    await assert.rejects(bind(createServer(), { ...options, port: bound.port }, {}, log), {
      code: 'ERR_LISTEN',
    });
  } finally {
    server.close();
  }
});
