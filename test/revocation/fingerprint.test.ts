import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { FINGERPRINT_WORDS, Fingerprinter } from '../../src/revocation/fingerprint.ts';
import { SECRET } from './stage.ts';

test('a fingerprint is the first 96 bits of SHA-256 over the secret and the name: journals keep it', () => {
  const fingerprinter = new Fingerprinter(SECRET);
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), (names) => {
      const expected = names.flatMap((name) => {
        const secret = Buffer.from(SECRET).toString('base64url');
        const digest = createHash('sha256').update(secret).update(name).digest();
        return Array.from({ length: FINGERPRINT_WORDS }, (_, i) => digest.readUInt32LE(i * 4));
      });
      assert.deepEqual([...fingerprinter.of(names)], expected);
    }),
  );
});

test('a secret of another length is refused', () => {
  assert.throws(() => new Fingerprinter(new Uint8Array(31)), RangeError);
});
