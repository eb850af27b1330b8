/** Errors of the disk, one call at a time, put in by strace: what was refused is said, tried again, and there in the end. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../revocation/journal/stage.ts';
import { check, live, pathWords } from './life.ts';

/** Calls of a first start before anything can be learnt: of these, a failure refuses the start. */
const OF_THE_START = { pwrite64: 2, fsync: 4, rename: 2, fdatasync: 0 };

for (const [call, error, upTo] of [
  ['pwrite64', 'ENOSPC', 7],
  ['fsync', 'EIO', 8],
  ['rename', 'EIO', 4],
  ['fdatasync', 'EIO', 2],
] as const)
  test(`${error} from ${call}: nothing is acknowledged that is not there, and it goes on by itself`, async (t) => {
    let refusals = 0;
    for (let n = 1; n <= upTo; n++) {
      const folder = join(temporaryFolder(t), 'state');
      // Two in a row: trying again may fail too.
      const inject = `inject=${call}:error=${error}:when=${n}..${n + 1}`;
      const words = ['-o', '/dev/null', ...pathWords(folder, 'files'), '-e', inject];
      const life = await live(folder, 0, 'short', words);
      const where = `${call} ${n}: ${life.said.join()}`;
      if (n <= OF_THE_START[call]) {
        assert.notEqual(life.code, 0, where);
        assert.deepEqual(life.said, [], where);
      } else {
        assert.deepEqual([life.code, life.said.at(-1)], [0, 'closed'], where);
        const refused = life.said.filter((line) => line.startsWith('refused'));
        for (const line of refused) assert.match(line, new RegExp(error), where);
        refusals += refused.length;
        assert.deepEqual(
          life.said.filter((line) => line.startsWith('durable')),
          ['durable 0', 'durable 1'],
          where,
        );
      }
      await check(folder, 0, life, where, false);
    }
    assert.ok(refusals > 0, 'somebody was told');
  });
