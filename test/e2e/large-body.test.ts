import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startHttpServer } from '../support/http-server.ts';
import { testIssuer } from '../support/issuer.ts';
import { buildPetstore, owned, startGateway, type Gateway } from '../support/product.ts';

/** A gigabyte on request: PORTCULLIS_LARGE_BODY=1000000000. */
const BYTES = Number(process.env['PORTCULLIS_LARGE_BODY'] ?? 256_000_000);
/** Begins anew after a prime number of bytes: no buffer's size fits it, so what is lost, doubled or moved shows. */
const PATTERN = randomBytes(1_048_573);
/**
 * By how much a gateway may grow meanwhile. It holds the chunks of one read; but V8 lets 64 MB of buffers that nobody holds any more come together
 * before it looks, and the sizes of its heap follow. A body that is held would show.
 */
const MOST_GROWTH = 160_000_000;
/** What the kernel's buffers of four sockets hold at most, and what this process has handed to them. */
const MOST_UNDER_WAY = 32_000_000;
/** What has not moved for so long is stuck. */
const STUCK_MS = 300;

const file = { after };
const issuer = testIssuer();

/** Sends {@link BYTES} of the pattern as fast as they are taken. */
class Sender {
  sent = 0;

  async write(to: ServerResponse | ReturnType<typeof httpRequest>): Promise<void> {
    while (this.sent < BYTES) {
      const at = this.sent % PATTERN.length;
      const piece = PATTERN.subarray(at, Math.min(PATTERN.length, at + BYTES - this.sent));
      this.sent += piece.length;
      if (!to.write(piece)) await once(to, 'drain');
    }
    to.end();
  }

  /** Resolves once nobody takes any more; there is more. */
  async stuck(): Promise<void> {
    for (let before = -1; this.sent !== before || before === 0;) {
      before = this.sent;
      await pause(STUCK_MS);
    }
    assert.ok(this.sent < MOST_UNDER_WAY, `${this.sent} bytes are held somewhere`);
  }
}

/** Reads to the end; every byte must be the pattern's. */
async function readAll(from: IncomingMessage): Promise<number> {
  let count = 0;
  for await (const chunk of from as AsyncIterable<Buffer>)
    for (let at = 0; at < chunk.length;) {
      const begin = count % PATTERN.length;
      const length = Math.min(chunk.length - at, PATTERN.length - begin);
      const difference = chunk.compare(PATTERN, begin, begin + length, at, at + length);
      assert.equal(difference, 0, `another byte after ${count} bytes`);
      at += length;
      count += length;
    }
  return count;
}

function memory(gateway: Gateway, field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${gateway.program.pid}/status`, 'utf8');
  const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
  return Number(kilobytes) * 1024;
}

/** Resolves with the bytes by which its resident memory was larger than now at any moment of `use` (proc(5): clear_refs). */
async function growth(gateway: Gateway, use: () => Promise<void>): Promise<number> {
  writeFileSync(`/proc/${gateway.program.pid}/clear_refs`, '5');
  const before = memory(gateway, 'VmRSS');
  await use();
  return memory(gateway, 'VmHWM') - before;
}

/** What the upstream does with a request; the tests say. */
let serve: (request: IncomingMessage, response: ServerResponse) => void;
const upstream = await startHttpServer((request, response) => serve(request, response));
owned(file, () => upstream.close());
const { artifact } = await buildPetstore(file, { upstreamPort: upstream.port });

for (const engine of ['own', 'node'])
  test(`large bodies pass whole, and are never held: ${engine}`, async (t) => {
    serve = (_request, response) => void response.end();
    const gateway = await startGateway(t, {
      artifact,
      issuers: [issuer],
      config: `[server]
          httpEngine = "${engine}"
          threads = 1
        [tokenRevocationConfig]
          whenUnknown = "allow"`,
    });
    const token = issuer.token();
    await gateway.untilStatus(token, 200);
    const headers = { authorization: `Bearer ${token}` };

    await t.test('an answer, whose client waits before it reads', async () => {
      const sender = new Sender();
      serve = (_request, response) => {
        response.writeHead(200, { 'content-length': BYTES });
        void sender.write(response);
      };
      const grown = await growth(gateway, async () => {
        const request = httpRequest(`${gateway.http}/petstore/v1/pet/1`, { headers, agent: false });
        request.end();
        const [response] = (await once(request, 'response')) as [IncomingMessage];
        assert.equal(response.headers['content-length'], String(BYTES));
        await sender.stuck();
        assert.equal(await readAll(response), BYTES);
      });
      assert.ok(grown < MOST_GROWTH, `grew by ${grown} bytes`);
    });

    await t.test('an upload in chunks, whose upstream waits before it reads', async () => {
      const sender = new Sender();
      serve = (request, response) => {
        void sender
          .stuck()
          .then(() => readAll(request))
          .then(
            (count) => response.end(String(count)),
            (error: unknown) => response.writeHead(500).end(String(error)),
          );
      };
      const grown = await growth(gateway, async () => {
        const request = httpRequest(`${gateway.http}/petstore/v1/pet`, {
          method: 'POST',
          headers,
          agent: false,
        });
        const answered = once(request, 'response') as Promise<[IncomingMessage]>;
        await sender.write(request);
        const [response] = await answered;
        let text = '';
        for await (const chunk of response.setEncoding('utf8')) text += String(chunk);
        assert.deepEqual([response.statusCode, text], [200, String(BYTES)]);
      });
      assert.ok(grown < MOST_GROWTH, `grew by ${grown} bytes`);
    });
  });
