import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { VERDICT_REASONS } from '../../src/admin/operations.ts';
import { REASONS } from '../../src/operations/explain.ts';

test('each reason goes by words that the token check really says, so that a changed word is noticed', () => {
  const auth = join(import.meta.dirname, '../../src/auth');
  const said = globSync('*.ts', { cwd: auth })
    .map((file) => readFileSync(join(auth, file), 'utf8'))
    .join('\n');
  assert.ok(REASONS.size > 20);
  for (const [words, reason] of REASONS) {
    assert.ok(said.includes(`'${words}'`) || said.includes(`"${words}"`), words);
    assert.ok(VERDICT_REASONS.includes(reason), reason);
  }
});
