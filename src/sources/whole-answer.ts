import type { HttpAnswer, HttpClient, HttpRequest } from '../net/http-client.ts';

const SHORTEST_SILENCE_MS = 5_000;
const LONGEST_SILENCE_MS = 15_000;

interface AnswerBounds {
  /** Milliseconds from one such read to the next: a silence of that length, within 5 and 15 seconds, is a broken link. */
  readonly intervalMs: number;
  /** Milliseconds for the whole answer. */
  readonly timeoutMs: number;
  /** Bytes of its body. */
  readonly maxBytes: number;
}

/**
 * One answer that may be large and slow, but not silent: a dead link is noticed long before the time for a whole answer is over.
 * @throws Error of the HTTP client, or when a bound is passed
 */
export async function readWholeAnswer(
  http: HttpClient,
  request: Pick<HttpRequest, 'method' | 'url' | 'headers'>,
  { intervalMs, timeoutMs, maxBytes }: AnswerBounds,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const silenceMs = Math.min(
    timeoutMs,
    Math.max(SHORTEST_SILENCE_MS, Math.min(intervalMs, LONGEST_SILENCE_MS)),
  );
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), timeoutMs);
  try {
    const { status, headers, body } = await http.stream({
      ...request,
      timeoutMs: silenceMs,
      idleTimeoutMs: silenceMs,
      signal: AbortSignal.any([signal, late.signal]),
    });
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of body) {
      size += chunk.length;
      // Leaving the loop by a throw ends the connection.
      if (size > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    return { status, headers, body: new TextDecoder().decode(Buffer.concat(chunks)) };
  } catch (error) {
    if (late.signal.aborted && !signal.aborted)
      throw new Error(`no complete answer within ${timeoutMs} ms`, { cause: error });
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
