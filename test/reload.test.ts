import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OperatorError } from '../src/errors.ts';
import type { Loaded, Materials } from '../src/loaded.ts';
import { needsRestart } from '../src/needs-restart.ts';
import { Reloads } from '../src/reload.ts';
import { load } from './config/fixture.ts';
import { recordedLog } from './support/recorded-log.ts';

/** Reloads that can be let fail, one after the other. */
function failing() {
  const log = recordedLog();
  const loads: ((error: Error) => void)[] = [];
  const reloads = new Reloads({
    first: {} as Loaded & Materials,
    load: () => new Promise((_, reject) => loads.push(reject)),
    planes: {
      settings: undefined as never,
      reload: () => assert.fail('nothing was loaded'),
    },
    common: { threads: 1, ticketKeys: new Uint8Array(48) },
    log,
  });
  return { reloads, loads, log };
}

test('reloads that are asked for while one is under way are one more together', async () => {
  const { reloads, loads, log } = failing();
  const first = reloads.request();
  const others = [1, 2, 3].map(() => reloads.request());
  assert.equal(loads.length, 1);
  loads[0]?.(new OperatorError('ERR_ARTIFACT', 'is damaged'));
  await new Promise(setImmediate);
  assert.equal(loads.length, 2);
  loads[1]?.(new TypeError('a fault of ours'));
  await Promise.all([first, ...others]);
  assert.deepEqual(reloads.counts, { done: 0, failed: 2 });
  assert.match(log.lines[0] ?? '', /^ERROR \[Reload\] .*is damaged \[ERR_ARTIFACT\]$/);
  assert.match(log.lines[1] ?? '', /^ERROR \[Reload\] .*TypeError: a fault of ours/);
  const next = reloads.request();
  assert.equal(loads.length, 3);
  loads[2]?.(new Error('again'));
  await next;
});

test('when the gateway ends, none follows, and the one that is under way says nothing', async () => {
  const { reloads, loads, log } = failing();
  const first = reloads.request();
  void reloads.request();
  reloads.close();
  loads[0]?.(new Error('late'));
  await first;
  await reloads.request();
  assert.equal(loads.length, 1);
  assert.deepEqual(log.lines, []);
});

test('what needs a restart is said with the place of its key', async () => {
  const log = recordedLog();
  const loaded = (text: string) => ({ ...({} as Loaded & Materials), ...load(text) });
  const reloads = new Reloads({
    first: loaded(''),
    load: () => Promise.resolve(loaded('[listenerConfig]\n\nhttpPort = 9191')),
    planes: { settings: undefined as never, reload: () => assert.fail('it was refused') },
    common: { threads: 1, ticketKeys: new Uint8Array(48) },
    log,
  });
  await reloads.request();
  assert.match(
    log.lines.join('\n'),
    /micro-gw\.conf:3: changed, and needs a restart: `listenerConfig\.httpPort` \[ERR_RELOAD\]$/,
  );
});

const before = load('').config;
const changed = (text: string): string[] => needsRestart(before, load(text).config);

test('what belongs to the process is named as it is written', () => {
  assert.deepEqual(changed(''), []);
  assert.deepEqual(changed('[listenerConfig]\nhost = "127.0.0.2"\nhttpPort = 9999'), [
    'listenerConfig.host',
    'listenerConfig.httpPort',
  ]);
  assert.deepEqual(changed('[server]\nthreads = 3\nhttpEngine = "node"\ntimestampSkew = "7s"'), [
    'server.timestampSkew',
    'server.httpEngine',
    'server.threads',
  ]);
  assert.deepEqual(changed('[tokenRevocationConfig]\nmaxStaleness = "7s"'), [
    'tokenRevocationConfig',
  ]);
  assert.deepEqual(changed('[httpClients]\ndisableSslVerification = true'), [
    'httpClients.disableSslVerification',
  ]);
  assert.deepEqual(changed('[b7a.http.accesslog]\nconsole = true'), ['b7a.http.accesslog.console']);
});

test('what requests are served with is not', () => {
  const text = [
    '[listenerConfig]',
    'maxUriLength = 99',
    'keepAlive = "NEVER"',
    'requestTimeout = "9s"',
    '[server]',
    'header = "x"',
    'drainTimeout = "9s"',
    'trustedProxies = ["10.0.0.0/8"]',
    '[edgeRules]',
    'trace = "serve"',
    '[failedVerifications]',
    'perSecond = 7',
    '[httpClients.timeouts]',
    'connect = "9s"',
    '[httpClients.circuitBreaker]',
    'failures = 9',
    '[b7a.observability.tracing]',
    'enabled = true',
    'endpoint = "http://127.0.0.1:4318/v1/traces"',
  ];
  assert.deepEqual(changed(text.join('\n')), []);
});
