import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { ListenAddress } from '../../src/gateway/options.ts';
import { AddressClaim, CAN_SHARE_ADDRESSES } from '../../src/threads/address-claim.ts';
import { AddressLock } from '../../src/threads/address-lock.ts';
import { freePort } from '../support/free-port.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';

const HOST = '127.0.0.1';
const shared = { skip: !CAN_SHARE_ADDRESSES };

function claim(t: TestContext, addresses: readonly ListenAddress[], takeover = false) {
  const log = recordedLog();
  const made = AddressClaim.of(addresses, { takeover, log }).then((own) => {
    t.after(() => own.release());
    return Object.assign(own, { log });
  });
  made.catch(() => undefined);
  return made;
}

const http = (port: number): ListenAddress => ({ kind: 'http', host: HOST, port });

async function listening(t: TestContext, port: number, reusePort: boolean): Promise<Server> {
  const server = createServer().listen({ port, host: HOST, reusePort });
  t.after(() => server.close());
  await once(server, 'listening');
  return server;
}

test('an address is free again for threads once it is claimed', async (t) => {
  const port = await freePort();
  await claim(t, [http(port), { kind: 'https', host: HOST, port: 0 }]);
  await listening(t, port, CAN_SHARE_ADDRESSES);
});

test('a port that another program has is refused, whether it shares it or not', async (t) => {
  for (const reusePort of CAN_SHARE_ADDRESSES ? [false, true] : [false]) {
    const port = await freePort();
    await listening(t, port, reusePort);
    await assert.rejects(claim(t, [http(port)]), {
      code: 'ERR_LISTEN',
      reason: 'EADDRINUSE',
      address: http(port),
      message: `http listener: cannot listen on ${HOST}:${port} (EADDRINUSE): another program has this port. End it, or set another port`,
    });
  }
});

test('an address that this machine has not, and a name that nobody knows, are refused', async (t) => {
  for (const [host, reason] of [
    ['192.0.2.1', 'EADDRNOTAVAIL'],
    ['nowhere.invalid', 'ENOTFOUND'],
  ] as const)
    for (const port of [0, await freePort()])
      await assert.rejects(claim(t, [{ kind: 'https', host, port }]), (error: Error) => {
        assert.match(
          error.message,
          new RegExp(`^https listener: cannot listen on ${host}:${port} `),
        );
        assert.ok([reason, 'EAI_AGAIN'].includes((error as Error & { reason: string }).reason));
        return true;
      });
});

test('an address is claimed once, even while nobody listens there', shared, async (t) => {
  const port = await freePort();
  const first = await claim(t, [http(port)]);
  await assert.rejects(claim(t, [http(port)]), {
    code: 'ERR_LISTEN',
    reason: 'EADDRINUSE',
    message: /\(EADDRINUSE\): another gateway has this port\. .*--takeover/,
  });
  await claim(t, [{ ...http(port), host: '127.0.0.2' }]);
  first.release();
  await claim(t, [http(port)]);
});

test('a refused claim lets go of what it had', shared, async (t) => {
  const [free, taken] = [await freePort(), await freePort()];
  await claim(t, [http(taken)]);
  await assert.rejects(claim(t, [http(free), http(taken)]));
  await claim(t, [http(free)]);
});

test('ports that the system chose are held as well', shared, async (t) => {
  const port = await freePort();
  const own = await claim(t, [http(0)]);
  await own.hold([http(0)], [{ kind: 'http', host: HOST, port }]);
  await until(
    () =>
      claim(t, [http(port)]).then(
        (other) => {
          other.release();
          return false;
        },
        () => true,
      ),
    'the port is held',
  );
});

test(
  'taking over: goes on beside the one that has the address, and has it when that one ends',
  shared,
  async (t) => {
    const port = await freePort();
    const first = await claim(t, [http(port)]);
    await listening(t, port, true);
    const second = await claim(t, [http(port)], true);
    assert.match(
      second.log.lines.join('\n'),
      /Sharing 127\.0\.0\.1:\d+ with the gateway that has it/,
    );
    await assert.rejects(claim(t, [http(port)]), { reason: 'EADDRINUSE' });
    first.release();
    const isHeld = async (): Promise<boolean> => {
      const probe = new AddressLock(HOST, port);
      const isTaken = !(await probe.take());
      probe.release();
      return isTaken;
    };
    await until(isHeld, 'the second has it');
    assert.ok(await isHeld());
    second.release();
    await until(async () => !(await isHeld()), 'nobody has it');
  },
);

test('a process that is killed leaves no lock behind, and who waits gets it', shared, async (t) => {
  const port = await freePort();
  const module = new URL('../../src/threads/address-lock.ts', import.meta.url).href;
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { AddressLock } from '${module}';
       if (!(await new AddressLock('${HOST}', ${port}).take())) process.exit(1);
       console.log('held');
       setInterval(() => undefined, 1000);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const waiting = new AddressLock(HOST, port);
  t.after(() => waiting.release());
  assert.equal(await new AddressLock(HOST, port).take(), false);
  let taken = false;
  const done = waiting.takeOver().then(() => {
    taken = true;
  });
  assert.equal(taken, false);
  child.kill('SIGKILL');
  // The waiting alone keeps no process alive.
  const keepAlive = setTimeout(() => undefined, 30_000);
  await done;
  clearTimeout(keepAlive);
  assert.equal(await new AddressLock(HOST, port).take(), false);
});
