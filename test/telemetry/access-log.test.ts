import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { constants, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { AccessLog } from '../../src/telemetry/access-log.ts';
import { LineBatch, MAX_WAITING, newWaiting, settled } from '../../src/telemetry/line-batch.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'portcullis-access-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A thread's end and the file's, as they are in a gateway. */
async function joined(t: TestContext, path: string) {
  const log = recordedLog(false);
  const file = await AccessLog.open(path, log);
  t.after(() => file.close());
  const waiting = newWaiting();
  const batch = new LineBatch(waiting, (bytes) =>
    file.write(bytes, () => settled(waiting, bytes.length)),
  );
  return { log, file, batch, waits: () => new Int32Array(waiting)[0] ?? 0 };
}

test('lines are in the file in their order, and nothing waits any more', async (t) => {
  const path = join(folder(t), 'access.log');
  const { batch, file, waits } = await joined(t, path);
  const lines = Array.from({ length: 5_000 }, (_, n) => `${n} ${'x'.repeat(n % 100)}\n`);
  for (const line of lines) assert.ok(batch.write(line));
  batch.flush();
  await until(() => waits() === 0, 'nothing waits');
  assert.equal(readFileSync(path, 'latin1'), lines.join(''));
  assert.equal(file.dropped, 0);
  assert.equal(statSync(path).mode & 0o777 & ~0o640, 0, 'nobody else may read it');
});

test('a line alone leaves by itself', async (t) => {
  const path = join(folder(t), 'access.log');
  const { batch } = await joined(t, path);
  assert.ok(batch.write('alone\n'));
  assert.equal(
    readFileSync(path, 'latin1'),
    '',
    'not at once: a write for each line costs too much',
  );
  await until(() => readFileSync(path, 'latin1') === 'alone\n', 'the line is there');
});

test('what is in the file is appended to', async (t) => {
  const path = join(folder(t), 'access.log');
  for (const line of ['one\n', 'two\n']) {
    const file = await AccessLog.open(path, recordedLog(false));
    file.write(Buffer.from(line), () => undefined);
    await file.close();
  }
  assert.equal(readFileSync(path, 'latin1'), 'one\ntwo\n');
});

test('after a rotation lines go to the new file, none is lost and none is in both', async (t) => {
  const path = join(folder(t), 'access.log');
  const { batch, file, waits, log } = await joined(t, path);
  const lines: string[] = [];
  const write = (count: number): void => {
    for (let n = 0; n < count; n++) {
      const line = `line ${lines.length}\n`;
      lines.push(line);
      batch.write(line);
    }
    batch.flush();
  };
  write(10_000);
  for (const n of [1, 2, 3]) {
    renameSync(path, `${path}.${n}`);
    write(5_000); // while it is moved away
    await file.reopen();
    write(1_000);
  }
  await until(() => waits() === 0, 'nothing waits');
  const text = [1, 2, 3].map((n) => readFileSync(`${path}.${n}`, 'latin1'));
  assert.equal([...text, readFileSync(path, 'latin1')].join(''), lines.join(''));
  assert.ok(readFileSync(path, 'latin1').endsWith(lines.at(-1) ?? ''));
  assert.equal(log.lines.filter((line) => line.includes('opened anew')).length, 3);
});

test('a file that cannot be opened anew costs nothing that the old one can take', async (t) => {
  const path = join(folder(t), 'access.log');
  const { batch, file, log } = await joined(t, path);
  renameSync(path, `${path}.1`);
  execFileSync('mkdir', [path]);
  await file.reopen();
  assert.match(log.lines.join('\n'), /WARN.*AccessLog.*cannot be opened anew.*EISDIR/);
  batch.write('goes on\n');
  batch.flush();
  await until(() => readFileSync(`${path}.1`, 'latin1') === 'goes on\n', 'it is there');
});

test('a file that cannot be written is refused at the start', async (t) => {
  const where = folder(t);
  const pipe = join(where, 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const [path, why] of [
    [where, /it is a folder: .* \(EISDIR\)$/],
    [join(where, 'nowhere', 'access.log'), /its folder is not there: make it.* \(ENOENT\)$/],
    [pipe, /nobody reads this pipe: .* \(ENXIO\)$/],
  ] as const)
    await assert.rejects(AccessLog.open(path, recordedLog(false)), (error: Error) => {
      assert.equal((error as Error & { code: string }).code, 'ERR_ACCESS_LOG');
      assert.match(error.message, why);
      assert.ok(error.message.includes(path));
      return true;
    });
});

test('what a full disk does not take is dropped, counted and said once', async (t) => {
  const { batch, file, waits, log } = await joined(t, '/dev/full');
  for (let round = 1; round <= 3; round++) {
    for (let n = 0; n < 100; n++) assert.ok(batch.write(`line ${n}\n`));
    batch.flush();
    await until(() => waits() === 0, 'nothing waits');
    assert.equal(file.dropped, round * 100);
  }
  const said = log.lines.filter((line) => line.includes('AccessLog'));
  assert.equal(said.length, 1);
  assert.match(said[0] ?? '', /WARN.*ENOSPC/);
});

test('a reader that stops keeps nobody waiting: what is beyond the bound is dropped, and it gets whole lines when it goes on', async (t) => {
  const path = join(folder(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const reader: FileHandle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  t.after(() => reader.close());
  const { batch, file, waits } = await joined(t, path);
  const line = `${'x'.repeat(999)}\n`;
  let taken = 0;
  while (batch.write(line)) taken++;
  assert.ok(taken * line.length <= MAX_WAITING);
  assert.ok(taken * line.length > MAX_WAITING - 2 * 65_536);
  batch.flush();
  await new Promise(setImmediate);
  assert.ok(!batch.write(line), 'still no room');
  assert.ok(waits() <= MAX_WAITING);
  let got = '';
  await until(
    async () => {
      for (;;) {
        const { bytesRead, buffer } = await reader
          .read(Buffer.alloc(1 << 20), 0, 1 << 20)
          .catch(() => ({ bytesRead: 0, buffer: Buffer.alloc(0) }));
        got += buffer.toString('latin1', 0, bytesRead);
        if (bytesRead === 0) break;
      }
      return got.length >= taken * line.length;
    },
    'all of it was read',
    20_000,
  );
  assert.equal(got, line.repeat(taken));
  await until(() => waits() === 0, 'nothing waits');
  assert.ok(batch.write(line), 'there is room again');
  assert.equal(file.dropped, 0, 'what waited was written');
});

test('the end waits a moment for what is not written, and drops the rest', async (t) => {
  const path = join(folder(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  t.after(() => reader.close());
  const { batch, file, waits } = await joined(t, path);
  const line = `${'x'.repeat(999)}\n`;
  for (let n = 0; n < 1_000; n++) batch.write(line);
  batch.flush();
  await file.close();
  assert.equal(waits(), 0);
  assert.ok(file.dropped > 0 && file.dropped <= 1_000);
});

test('the bound holds for a thread and the one that takes its place together', () => {
  const waiting = newWaiting();
  const [first, second] = [
    new LineBatch(waiting, () => undefined),
    new LineBatch(waiting, () => undefined),
  ];
  const line = `${'x'.repeat(999)}\n`;
  while (first.write(line));
  first.flush();
  assert.ok(!second.write(line));
  settled(waiting, line.length);
  assert.ok(second.write(line));
  second.flush();
});
