import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ensureOperatorToken, readOperatorToken } from '../../src/admin/operator-token.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'operator-token-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('the token is made once, at random, for its owner only', async (t) => {
  const home = folder(t);
  const path = join(home, 'security', 'operator.token');
  const made = await Promise.all([ensureOperatorToken(path), ensureOperatorToken(path)]);
  assert.equal(made.filter(({ created }) => created).length, 1, 'two starts at once make one');
  const [{ token }] = made as [{ token: string }, unknown];
  assert.match(token, /^[A-Za-z0-9_-]{43}$/);
  assert.equal(made[1].token, token);
  assert.equal(readFileSync(path, 'utf8'), `${token}\n`);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(home, 'security')).mode & 0o777, 0o700);
  assert.deepEqual(readdirSync(join(home, 'security')), ['operator.token'], 'nothing beside it');
  assert.deepEqual(await ensureOperatorToken(path), { token, created: false, warnings: [] });
  const other = await ensureOperatorToken(join(home, 'other.token'));
  assert.notEqual(other.token, token);
});

test('a token that others may use, or that is none, is refused without being shown', async (t) => {
  const path = join(folder(t), 'operator.token');
  const good = 'x'.repeat(43);
  const refused = async (content: string, mode: number, message: RegExp) => {
    writeFileSync(path, content);
    chmodSync(path, mode);
    for (const read of [ensureOperatorToken, readOperatorToken])
      await assert.rejects(read(path), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_OPERATOR_TOKEN');
        assert.match(error.message, message);
        assert.ok(!error.message.includes(good));
        return true;
      });
  };
  await refused(good, 0o644, /others than its owner .*mode 0644/);
  await refused(good, 0o602, /mode 0602/);
  await refused(good, 0o620, /mode 0620/);
  await refused('', 0o600, /does not hold/);
  await refused('short', 0o600, /does not hold/);
  await refused(`${good}\n${good}`, 0o600, /does not hold/);
  await refused(`${good} `, 0o600, /does not hold/);
  await refused('y'.repeat(4096), 0o600, /does not hold/);

  writeFileSync(path, `${good}\r\n`);
  chmodSync(path, 0o640);
  const { token, warnings } = await readOperatorToken(path);
  assert.equal(token, good);
  assert.match(warnings.join(), /the group may read/);

  await assert.rejects(readOperatorToken(`${path}.none`), { message: /ENOENT/ });
  await assert.rejects(ensureOperatorToken(join(path, 'below-a-file')), {
    code: 'ERR_OPERATOR_TOKEN',
  });
});

test('a token that somebody else may have put there is said at the start', async (t) => {
  const home = folder(t);
  const path = join(home, 'operator.token');
  await ensureOperatorToken(path);
  chmodSync(home, 0o777);
  assert.match((await ensureOperatorToken(path)).warnings.join(), /may replace .*mode 0777/);
  chmodSync(home, 0o700);
  if (process.getuid?.() === 0) {
    chownSync(path, 4711, 4711);
    assert.match((await ensureOperatorToken(path)).warnings.join(), /another user \(uid 4711\)/);
  }
});
