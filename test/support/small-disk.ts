import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startProgram } from './program.ts';

/** Small file systems of a test's own, which only root may mount: where nobody else sees them, and where they end with the process. */

/** Set in the process that has mounts of its own. */
const MARK = 'PORTCULLIS_TEST_OWN_MOUNTS';

export const hasOwnMounts = process.env[MARK] !== undefined;

/** A test that runs the tests of a file once more, in a process with mounts of its own. */
export function testWithOwnMounts(name: string, url: string, deadlineMs: number): void {
  test(name, { timeout: deadlineMs + 20_000 }, async () => {
    const program = startProgram(
      'unshare',
      ['--mount', process.execPath, '--test-reporter=spec', fileURLToPath(url)],
      { env: { [MARK]: '1' } },
    );
    try {
      assert.equal(await program.ended(deadlineMs), 0, program.output());
    } finally {
      await program.stop();
    }
  });
}

export function mount(...words: string[]): void {
  const { status, stderr } = spawnSync('mount', words, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

/** A file system of 12 MB, in a folder. It is to be gone at the end, after all that uses it. */
export function mountSmallDisk(): { readonly folder: string; unmount(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-disk-'));
  mount('-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', folder);
  return {
    folder,
    unmount() {
      spawnSync('umount', [folder]);
      rmdirSync(folder);
    },
  };
}

/** Writes to a file until not one more byte fits. */
export function fillUp(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (let size = 1_048_576; size >= 1; size = Math.floor(size / 2))
      try {
        for (;;) writeSync(file, Buffer.alloc(size));
      } catch (error) {
        assert.match(String(error), /ENOSPC/);
      }
  } finally {
    closeSync(file);
  }
}
