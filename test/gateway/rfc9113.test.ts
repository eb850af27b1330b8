import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { Http2Peer } from './http2-frames.ts';
import { watched } from './recording-upstream.ts';
import { type Case, get, type Right } from './rfc9113-case.ts';
import { CONNECTION_CASES, FRAME_CASES } from './rfc9113-frames.ts';
import { FORBIDDEN, MESSAGE_CASES } from './rfc9113-messages.ts';
import { localCertificate, openApi } from './stage.ts';

const CASES: readonly Case[] = [...CONNECTION_CASES, ...FRAME_CASES, ...MESSAGE_CASES];

/** Of a good request that is sent after each case. */
const PROBE = 1_001;

const MAX_STREAMS = 10;

/** Cases that are played at one time. */
const AT_ONCE = 60;

/** Milliseconds that something is waited for which may never come. */
const PATIENCE_MS = 2_000;

interface Server {
  readonly port: number;
  readonly ca: string;
}

/** Node's own server, that takes what Node takes. */
async function bare(t: TestContext): Promise<Server> {
  const { cert, key } = await localCertificate();
  const settings = { maxConcurrentStreams: MAX_STREAMS };
  const server = createSecureServer({ cert, key, settings }, (request, response) => {
    request.on('error', () => undefined).resume();
    request.on('end', () => response.end('ok'));
  });
  server.on('sessionError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, ca: cert };
}

/** What a server makes of a case, in the words of {@link Right}. */
async function play(t: TestContext, { port, ca }: Server, case_: Case, path: string) {
  const peer = await Http2Peer.connect(t, port, ca);
  const { greeting, frames, afterwards, right, stream = 1 } = case_;
  const first = peer.answer(stream);
  const probe = peer.answer(PROBE);
  if (greeting === undefined) peer.greet();
  else peer.send(...greeting);
  peer.send(...frames(path));
  if (afterwards !== undefined) {
    await peer.until(() => first.ended || peer.closed);
    peer.send(...afterwards(path));
  }
  peer.send(get('/probe', PROBE));
  const failed = (): boolean => peer.closed || (peer.goaway ?? 'NO_ERROR') !== 'NO_ERROR';
  await peer.until(() => failed() || probe.status > 0 || probe.reset !== undefined);
  if (!right.includes('ignored')) {
    await peer.until(() => failed() || first.status > 0 || first.reset !== undefined, PATIENCE_MS);
  }
  if (first.status === 200 && case_.check !== undefined) {
    await peer.until(() => failed() || case_.check?.(peer) === true, PATIENCE_MS);
  }
  const came = outcome(peer, stream, failed() && (await peer.until(() => peer.closed)));
  const checked = case_.check === undefined || case_.check(peer);
  peer.socket.destroy();
  return { came, good: checked && right.some((one) => agrees(came, one)) };
}

/** @param over whether a connection that has failed was closed */
function outcome(peer: Http2Peer, stream: number, over: boolean): string {
  const { status, reset } = peer.answer(stream);
  if (peer.goaway !== undefined && peer.goaway !== 'NO_ERROR') {
    return `connection ${peer.goaway}${over ? '' : ', left open'}`;
  }
  if (over) return 'connection closed';
  if (peer.answer(PROBE).status !== 200) return `of no use (${peer.answer(PROBE).status})`;
  if (reset !== undefined && reset !== 'NO_ERROR') return `stream ${reset}`;
  return status === 0 ? 'ignored' : String(status);
}

function agrees(came: string, right: Right): boolean {
  if (right === '4xx') return /^4\d\d$/.test(came);
  if (came === 'connection closed') return /^(connection|stream) /.test(right);
  return came === right || came === right.replace('stream', 'connection');
}

test('what RFC 9113 forbids is refused at least as well as by the server of Node alone', async (t) => {
  const { cert, key } = await localCertificate();
  const { port, seen } = await watched(t, (url) => ({
    apis: [openApi(url)],
    listeners: [{ kind: 'https', host: '127.0.0.1', port: 0, tls: { cert, key } }],
    limits: { maxStreams: MAX_STREAMS },
  }));
  const node = await bare(t);
  const ours: Server = { port, ca: cert };
  const worse: string[] = [];
  const shared: string[] = [];
  const better: string[] = [];
  const compare = async (case_: Case): Promise<void> => {
    const path = `/case-${CASES.indexOf(case_)}`;
    const name = `${case_.section} ${case_.name}`;
    const [mine, its] = await Promise.all([play(t, ours, case_, path), play(t, node, case_, path)]);
    const line = `${name}: ${mine.came}, Node ${its.came}, right: ${case_.right.join(' or ')}`;
    if (!mine.good) (its.good ? worse : shared).push(line);
    else if (!its.good) better.push(name);
  };
  for (let at = 0; at < CASES.length; at += AT_ONCE) {
    await Promise.all(CASES.slice(at, at + AT_ONCE).map(compare));
  }
  for (const line of shared) t.diagnostic(`as Node: ${line}`);
  t.diagnostic(`${CASES.length} cases; better than Node: ${better.join(', ')}`);
  assert.deepEqual(worse, []);
  assert.ok(!JSON.stringify(seen).includes(FORBIDDEN), 'a field that may not be was sent on');
  for (const { line } of seen) {
    const [, at = ''] = /^(?:GET|POST) \/(?:probe|case-(\d+))$/.exec(line) ?? assert.fail(line);
    const case_ = CASES[Number(at === '' ? -1 : at)];
    assert.ok(case_?.refused !== true, `${line} came to the upstream: ${case_?.name}`);
  }
  const probes = seen.filter(({ line }) => line === 'GET /probe').length;
  assert.ok(probes > CASES.length / 3, `${probes} good requests came through`);
});
