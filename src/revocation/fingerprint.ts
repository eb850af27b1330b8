import { hash } from 'node:crypto';

/** 32-bit words of a fingerprint: 96 bits. Among 100 million entries two share one with a probability of 10^-13. */
export const FINGERPRINT_WORDS = 3;

/** Bytes of the secret that fingerprints are keyed with. */
const SECRET_BYTES = 32;

/**
 * Names of revocations as the list keeps them: the first 96 bits of SHA-256 over a secret of this installation and the name. Nobody who
 * does not know the secret can look for two names with one fingerprint. SHA-256 with the secret in front would let somebody who saw a
 * whole digest lengthen the name (RFC 6151 tells of it for MD5); of a truncated digest nothing can be lengthened.
 */
export class Fingerprinter {
  readonly #prefix: string;

  /** @throws RangeError when the secret has not {@link SECRET_BYTES} bytes */
  constructor(secret: Uint8Array) {
    if (secret.length !== SECRET_BYTES)
      throw new RangeError(`a fingerprint secret has ${SECRET_BYTES} bytes, not ${secret.length}`);
    this.#prefix = Buffer.from(secret).toString('base64url');
  }

  /** Fingerprints of these names one after another, {@link FINGERPRINT_WORDS} words each. */
  of(names: readonly string[]): Uint32Array {
    const words = new Uint32Array(names.length * FINGERPRINT_WORDS);
    for (const [i, name] of names.entries()) this.write(name, words, i * FINGERPRINT_WORDS);
    return words;
  }

  /** Writes the fingerprint of `name` into `words` from `at` on. */
  write(name: string, words: Uint32Array, at: number): void {
    // A character for each byte: a Buffer would cost more than the hashing.
    const digest = hash('sha256', this.#prefix + name, 'binary');
    for (let word = 0; word < FINGERPRINT_WORDS; word++)
      words[at + word] = wordAt(digest, word * 4);
  }
}

/** Four bytes as one word, the lowest first. */
function wordAt(bytes: string, at: number): number {
  return (
    bytes.charCodeAt(at) |
    (bytes.charCodeAt(at + 1) << 8) |
    (bytes.charCodeAt(at + 2) << 16) |
    (bytes.charCodeAt(at + 3) << 24)
  );
}
