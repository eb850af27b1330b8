import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { standStill } from '../support/stand-still.ts';
import {
  ENGINE,
  openApi,
  rawUpstream,
  type Stage,
  stage,
  statusOf,
  type Wire,
  wire,
} from './stage.ts';

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n';
const GET = 'GET /a HTTP/1.1\r\nHost: h\r\n\r\n';

/** A gateway before an upstream: one failure opens its circuit. */
async function before(t: TestContext, url: string): Promise<Stage> {
  return await stage(t, {
    apis: [openApi(url)],
    timeouts: { headersMs: 400, keepAliveMs: 400 },
    upstream: {
      headersTimeoutMs: 400,
      idleBodyTimeoutMs: 400,
      connectTimeoutMs: 400,
      circuitBreaker: { failures: 1, openForMs: 60_000 },
    },
  });
}

async function asked(client: Wire): Promise<number> {
  client.text = '';
  return statusOf(await client.send(GET).until(/hello/));
}

test('answers that came while the thread stood still are answers', async (t) => {
  let requests = 0;
  const { url } = await rawUpstream(t, (socket) => {
    socket.on('data', () => {
      const stands = ++requests % 2 === 0;
      socket.write(`${HEAD}hello`);
      if (stands) standStill(1_200);
    });
  });
  const { port } = await before(t, url);
  const client = await wire(t, port);
  for (let count = 0; count < 4; count++) assert.equal(await asked(client), 200);
});

test('so is the rest of a body', async (t) => {
  const { url } = await rawUpstream(t, (socket) => {
    socket.on('data', () => socket.write(`${HEAD}hel`));
    client.socket.on('data', () => {
      if (!client.text.endsWith('hel')) return;
      socket.write('lo');
      standStill(1_200);
    });
  });
  const { port } = await before(t, url);
  const client = await wire(t, port);
  for (let count = 0; count < 2; count++) assert.equal(await asked(client), 200);
});

/** With the own engine: node:http judges by deadlines of its own before it has read what came. */
if (ENGINE === 'own')
  test('and requests that came in that time are answered', async (t) => {
    const { url } = await rawUpstream(t, (socket) => {
      socket.on('data', () => socket.write(`${HEAD}hello`));
    });
    const { port } = await before(t, url);
    const [fresh, kept, half] = [await wire(t, port), await wire(t, port), await wire(t, port)];
    half.send(GET.slice(0, 20));
    assert.equal(await asked(kept), 200);
    kept.text = '';
    for (const client of [fresh, kept]) client.send(GET);
    half.send(GET.slice(20));
    standStill(1_200);
    for (const client of [fresh, kept, half]) {
      assert.equal(statusOf(await client.until(/hello/)), 200);
    }
  });
