import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { shown, table } from '../measurement.ts';
import { LOAD_CORE, underLoad, type Target } from '../stage.ts';
import { PETS_PATH, writeWrkScript, wrk } from '../wrk.ts';
import type { BenchCase } from './case.ts';
import { FEW_FIELDS, urlOf } from './wrk-case.ts';

const CONNECTIONS = 10_000;
/** Opened at one time: no queue of a listener is longer. */
const AT_ONCE = 100;
/** Within which memory comes to rest. */
const SETTLING_MS = 2_000;

/** Memory of a process that is really there, in bytes. */
function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(kilobytes?.[1]) * 1024;
}

/** A connection on which one request was answered. */
function used(target: Target, request: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(target.port, '127.0.0.1', () => socket.write(request));
    let text = '';
    socket.setEncoding('latin1');
    socket.on('error', reject);
    socket.on('data', (more: string) => {
      text += more;
      const head = text.indexOf('\r\n\r\n');
      const length = /\r\ncontent-length: *(\d+)/i.exec(text);
      if (head < 0 || text.length < head + 4 + Number(length?.[1])) return;
      if (text.startsWith('HTTP/1.1 200 ')) resolve(socket);
      else reject(new Error(`${target.title} answered ${text}`));
      text = '';
    });
  });
}

/** Bytes by which the process grows with each connection that is kept open. */
async function bytesEach(target: Target, request: string): Promise<number> {
  const sockets: Socket[] = [];
  const openTo = async (count: number): Promise<void> => {
    while (sockets.length < count)
      sockets.push(
        ...(await Promise.all(Array.from({ length: AT_ONCE }, () => used(target, request)))),
      );
    await pause(SETTLING_MS);
  };
  try {
    // The first ones grow what all of them share.
    await openTo(AT_ONCE);
    const before = residentBytes(target.pid);
    await openTo(AT_ONCE + CONNECTIONS);
    const closed = sockets.filter((socket) => socket.destroyed || socket.readableEnded).length;
    if (closed > 0) throw new Error(`${target.title} closed ${closed} idle connections`);
    return (residentBytes(target.pid) - before) / CONNECTIONS;
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

/** Memory of connections that nobody sends on, in processes that did nothing else before but serve for a while. */
export const idle: BenchCase = {
  name: 'idle',
  title: '10,000 idle connections',
  async run(stage) {
    const { around, settings, token } = stage;
    const script = writeWrkScript(around.folder, 'idle', {
      path: PETS_PATH,
      fields: FEW_FIELDS,
      tokens: around.tokens.tokens,
      once: false,
    });
    const found = new Map<string, number>();
    const rows: string[][] = [];
    const names = (['haproxy-jwt', 'own', 'node', 'fastify'] as const).filter((name) =>
      stage.isWanted(name),
    );
    for (const name of names) {
      const target = await stage.start(name, 1);
      const url = urlOf(target, false);
      const seconds = Math.max(1, settings.warmUpSeconds);
      await underLoad(target, () => wrk({ url, script, seconds, cores: LOAD_CORE }));
      const request = `GET ${PETS_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\nAccept: application/json\r\n\r\n`;
      const bytes = await bytesEach(target, request);
      console.log(`${target.title.padEnd(34)} ${(bytes / 1000).toFixed(1)} KB each`);
      found.set(name, bytes / 1000);
      rows.push([target.title, shown(bytes / 1000, 1)]);
      await target.stop();
    }
    return {
      text: `${table(['program', 'resident KB per connection'], rows)}\n\nGrowth of the process's resident memory from ${AT_ONCE} connections to ${(CONNECTIONS + AT_ONCE).toLocaleString('en')}, without TLS, one request answered on each; a program with a garbage collector has what those requests left in it too.`,
      aims: [
        {
          what: 'resident memory per idle connection, KB',
          atMost: '20',
          own: found.get('own') ?? Number.NaN,
          node: found.get('node') ?? Number.NaN,
        },
      ],
    };
  },
};
