import type { Io } from './io.ts';
import { usage } from './words.ts';

/** Longest text that the operator's listener would take. */
const MAX_BYTES = 64 * 1024;

/**
 * A token from the command line, or from standard input where the word is `-`: there no other user of the machine sees it. One line end at
 * its end is left out. What it is, is never in a message.
 */
export async function readToken(word: string, io: Io): Promise<string> {
  if (word !== '-') return word;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of io.input ?? (process.stdin as AsyncIterable<Uint8Array>)) {
    size += chunk.length;
    if (size > MAX_BYTES) throw usage('there is more than 64 KiB on standard input');
    chunks.push(Buffer.from(chunk as Uint8Array));
  }
  const token = Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
  if (token.trim() === '') throw usage('there is no token on standard input');
  // A JWT may have been broken into lines on its way.
  if (/[\r\n]/.test(token.trim()) && !token.trim().startsWith('eyJ'))
    throw usage('there is more than one line on standard input: give one token');
  return token;
}
