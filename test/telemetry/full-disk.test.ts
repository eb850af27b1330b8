/** A disk that is full in the middle of a line: a small file system of the test's own, which only root may mount. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AccessLog } from '../../src/telemetry/access-log.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { fillUp, hasOwnMounts, mountSmallDisk, testWithOwnMounts } from '../support/small-disk.ts';
import { until } from '../support/until.ts';

if (!hasOwnMounts) testWithOwnMounts('an access log on a full disk', import.meta.url, 60_000);
else {
  test('a disk that fills up in the middle of a line costs what does not fit; later lines are whole, and every line is written or counted', async (t) => {
    const disk = mountSmallDisk();
    const path = join(disk.folder, 'access.log');
    const filler = join(disk.folder, 'filler');
    const log = recordedLog(false);
    const file = await AccessLog.open(path, log);
    t.after(async () => {
      await file.close();
      disk.unmount();
    });
    let number = 0;
    const write = (count: number): Promise<void> =>
      new Promise((resolve) => {
        const lines = Array.from({ length: count }, () => `line ${number++} ${'x'.repeat(91)}\n`);
        file.write(Buffer.from(lines.join('')), resolve);
      });
    await write(10);
    fillUp(filler);
    await write(1_000); // a part fits in the page that the file has already
    assert.ok(file.dropped > 900 && file.dropped < 1_000, String(file.dropped));
    await write(5);
    rmSync(filler);
    await write(10);
    await until(() => log.lines.length === 2, 'trouble and its end are said');
    assert.match(log.lines[0] ?? '', /WARN.*cannot be written.*ENOSPC/);
    assert.match(log.lines[1] ?? '', new RegExp(`INFO.*written again; ${file.dropped} line`));
    const lines = readFileSync(path, 'latin1').split('\n').slice(0, -1);
    const whole = lines.filter((line) => /^line \d+ x{91}$/.test(line));
    assert.ok(
      lines.length - whole.length <= 1,
      'at most the line that the disk was full in is cut',
    );
    assert.equal(whole.length + file.dropped, number);
    assert.deepEqual(
      whole.slice(-10).map((line) => line.split(' ')[1]),
      Array.from({ length: 10 }, (_, n) => String(number - 10 + n)),
    );
  });
}
