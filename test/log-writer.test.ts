import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { streamSink } from '../src/log-sink.ts';
import type { LogLevel } from '../src/log.ts';
import { createLog } from '../src/log-writer.ts';
import type { LogOptions } from '../src/log-writer.ts';

function recorder(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const log = createLog({
    level: 'INFO',
    format: 'text',
    write: (line) => lines.push(line),
    ...options,
  });
  return { log, lines };
}

describe('text lines', () => {
  test('have WSO2 form: local time, padded level, module, key, id, message', () => {
    const { log, lines } = recorder({ level: 'DEBUG' });
    const before = Date.now();
    log.info('TokenRevocationJMS', 'subscriber service for token revocation is started');
    log.debug('JWTAuthProvider', 'jwt found from the jwt cache', 'b1-c2');
    const after = Date.now();
    const time = /^(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2}),(\d{3}) /;
    assert.equal(
      lines[0]?.replace(time, ''),
      'INFO  [wso2/gateway/src/gateway/utils] - [TokenRevocationJMS] [-] subscriber service for token revocation is started\n',
    );
    assert.equal(
      lines[1]?.replace(time, ''),
      'DEBUG [wso2/gateway/src/gateway/utils] - [JWTAuthProvider] [b1-c2] jwt found from the jwt cache\n',
    );
    const match = time.exec(lines[0] ?? '');
    const shown = new Date(`${match?.[1]}T${match?.[2]}.${match?.[3]}`).getTime();
    assert.ok(before <= shown && shown <= after, `${shown} is not the local time of the call`);
  });

  test('plain lines have neither time nor level', () => {
    const { log, lines } = recorder();
    log.plain('[ballerina/http] started HTTPS/WSS listener 0.0.0.0:9096');
    assert.deepEqual(lines, ['[ballerina/http] started HTTPS/WSS listener 0.0.0.0:9096\n']);
  });
});

describe('JSON lines', () => {
  test('carry time, level, module, key, id and message, and nothing else', () => {
    const { log, lines } = recorder({ format: 'json', module: 'portcullis' });
    log.warn('EtcdSource', 'said "no"');
    log.plain('started');
    const [first, second] = lines.map((line) => JSON.parse(line) as Record<string, string>);
    assert.match(first?.['time'] ?? '', /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/);
    assert.deepEqual(
      { ...first, time: '' },
      {
        level: 'WARN',
        time: '',
        module: 'portcullis',
        key: 'EtcdSource',
        id: '-',
        message: 'said "no"',
      },
    );
    assert.equal(second?.['level'], 'INFO');
    assert.equal(second?.['message'], 'started');
  });
});

test('a level lets through its own lines and worse ones', () => {
  const counts: Record<LogLevel, number> = {
    TRACE: 5,
    DEBUG: 5,
    INFO: 4,
    WARN: 2,
    ERROR: 1,
    OFF: 0,
  };
  for (const [level, count] of Object.entries(counts) as [LogLevel, number][]) {
    for (const format of ['text', 'json'] as const) {
      const { log, lines } = recorder({ level, format });
      log.debug('k', 'm');
      log.info('k', 'm');
      log.plain('m');
      log.warn('k', 'm');
      log.error('k', 'm');
      assert.equal(lines.length, count, `${level} ${format}`);
      assert.equal(log.debugEnabled, count === 5);
    }
  }
});

describe('what comes from outside', () => {
  test('cannot make a line, steer a terminal or reorder text', () => {
    const { log, lines } = recorder();
    log.info(
      'k\n',
      'a\r\nb\tc\u001b[31md\u0085e\u2028f\u202eg\u0000h\u007fi\ud800j\u{e0001}',
      'i]\n',
    );
    assert.ok(
      lines[0]?.endsWith(
        '[k\\n] [i]\\n] a\\r\\nb\\tc\\u001b[31md\\u0085e\\u2028f\\u202eg\\u0000h\\u007fi\\ud800j\\u{e0001}\n',
      ),
      lines[0],
    );
  });

  test('is one bounded, printable line each, whatever it is', () => {
    const any = fc.string({ unit: 'binary', maxLength: 12_000, size: 'max' });
    fc.assert(
      fc.property(any, any, any, (key, message, id) => {
        for (const format of ['text', 'json'] as const) {
          const { log, lines } = recorder({ format });
          log.error(key, message, id);
          log.plain(message);
          assert.equal(lines.length, 2);
          for (const line of lines) {
            assert.match(line, /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]*\n$/u);
            // JSON doubles backslashes and quotes.
            assert.ok(Buffer.byteLength(line) < (format === 'text' ? 9_216 : 18_432));
            if (format === 'json') JSON.parse(line);
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  test('a long message is cut at a whole character, with a mark', () => {
    const { log, lines } = recorder();
    log.plain('\u{1f600}'.repeat(5_000));
    assert.match(lines[0] ?? '', /^\u{1f600}+\.\.\.\n$/u);
    log.plain('x'.repeat(8_192));
    assert.equal(lines[1], `${'x'.repeat(8_192)}\n`);
  });
});

describe('standard output', () => {
  test('a slow reader costs lines beyond the backlog, and is told how many', async () => {
    const stream = new PassThrough({ highWaterMark: 10 });
    const sink = streamSink(stream, (dropped) => `dropped ${dropped}\n`, 40);
    for (let line = 0; line < 10; line += 1) sink.write(`line ${line}..\n`);
    assert.ok(stream.writableLength <= 40);
    let seen = '';
    // Nothing more is logged: the count comes by itself.
    for await (const chunk of stream) {
      seen += String(chunk);
      if (seen.includes('dropped')) break;
    }
    const lines = seen.trimEnd().split('\n');
    const kept = lines.filter((line) => line.startsWith('line')).length;
    assert.ok(kept > 0 && kept < 10);
    assert.deepEqual(lines.slice(kept), [`dropped ${10 - kept}`]);
  });

  test('flush does not wait forever for a reader that reads nothing', async () => {
    const stuck = new Writable({ write: () => undefined });
    const sink = streamSink(stuck, String);
    sink.write('line\n');
    await sink.flush();
  });

  /** Runs lines of code against a log on the real standard output. */
  function program(body: string, stdout: 'pipe' | number) {
    const script = `
      import { createLog } from ${JSON.stringify(new URL('../src/log-writer.ts', import.meta.url).href)};
      const log = createLog({ level: 'INFO', format: 'text' });
      ${body}`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['pipe', stdout, 'pipe'],
    });
    assert.ok(child.stdin && child.stderr);
    const exited = once(child, 'exit') as Promise<[number | null]>;
    return { stdin: child.stdin, stdout: child.stdout, errors: readAll(child.stderr), exited };
  }

  test('a reader that went away does not end the process', async () => {
    const child = program(
      `log.plain('ready');
       process.stdin.once('data', () => {
         let count = 0;
         const timer = setInterval(() => {
           log.info('k', 'x'.repeat(1000));
           if (++count === 50) { clearInterval(timer); process.stdin.destroy(); log.flush().then(() => console.error('alive')); }
         }, 1);
       });`,
      'pipe',
    );
    assert.ok(child.stdout);
    await once(child.stdout, 'data');
    child.stdout.destroy();
    child.stdin.write('go');
    assert.equal(await child.errors, 'alive\n');
    assert.deepEqual(await child.exited, [0, null]);
  });

  test('a reader that does not read blocks nothing, and the process can still exit', async () => {
    const child = program(
      `for (let line = 0; line < 2000; line += 1) log.info('k', 'x'.repeat(8000));
       console.error('not blocked');
       await log.flush();
       process.exit(0);`,
      'pipe',
    );
    assert.deepEqual(await child.exited, [0, null]);
    child.stdout?.destroy();
    assert.equal(await child.errors, 'not blocked\n');
  });

  test('everything reaches a pipe and a file', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'portcullis-log-'));
    t.after(() => rm(folder, { recursive: true }));
    const body = `
      for (let line = 0; line < 500; line += 1) log.plain('line ' + line);
      await log.flush();
      process.exit(0);`;
    const expected = Array.from({ length: 500 }, (_, line) => `line ${line}\n`).join('');
    const piped = program(body, 'pipe');
    assert.ok(piped.stdout);
    assert.equal(await readAll(piped.stdout), expected);
    const file = await open(join(folder, 'out.log'), 'w');
    await program(body, file.fd).exited;
    await file.close();
    assert.equal(await readFile(join(folder, 'out.log'), 'utf8'), expected);
  });
});
