import { fstatSync, writeSync } from 'node:fs';
import type { Writable } from 'node:stream';

/** Characters that may wait for a slow reader before lines are dropped. */
const MAX_WAITING = 4 * 1024 * 1024;
/** Milliseconds that `flush` waits for a reader that reads nothing. */
const FLUSH_TIMEOUT_MS = 1_000;

/** Where finished lines go. Writing never blocks, throws or rejects. */
interface LogSink {
  /** One or several lines, kept or dropped together. */
  write(lines: string): void;
  /** Resolves when what was written is handed over, or after a second without a reader. */
  flush(): Promise<void>;
}

/**
 * Standard output that can lose its reader (`gateway | head`) or outrun it. Lines beyond 4 MiB of backlog are dropped and counted; when
 * the reader goes on, `report` makes the line that says how many. Without a reader, lines are thrown away.
 */
export function standardOutput(report: (dropped: number) => string): LogSink {
  // Node's own stream to a file gives up for good at the first error, a full disk for instance.
  return fstatSync(1).isFile() ? fileSink(report) : streamSink(process.stdout, report);
}

/** The sink behind {@link standardOutput} for pipes, sockets and terminals. */
export function streamSink(
  stream: Pick<Writable, 'write' | 'on' | 'writableLength' | 'destroyed'>,
  report: (dropped: number) => string,
  maxWaiting = MAX_WAITING,
): LogSink {
  let dropped = 0;
  stream.on('error', () => undefined);
  stream.on('drain', settle);

  function settle(): void {
    if (dropped === 0) return;
    const line = report(dropped);
    dropped = 0;
    stream.write(line);
  }

  return {
    write(lines) {
      if (stream.destroyed) return;
      if (stream.writableLength + lines.length > maxWaiting) {
        dropped += count(lines);
        return;
      }
      settle();
      stream.write(lines);
    },
    flush: () =>
      new Promise((resolve) => {
        if (stream.destroyed) {
          resolve();
          return;
        }
        const timer = setTimeout(resolve, FLUSH_TIMEOUT_MS);
        stream.write('', () => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
}

function fileSink(report: (dropped: number) => string): LogSink {
  let dropped = 0;
  return {
    write(lines) {
      try {
        writeSync(1, dropped === 0 ? lines : report(dropped) + lines);
        dropped = 0;
      } catch {
        dropped += count(lines);
      }
    },
    flush: () => Promise.resolve(),
  };
}

function count(lines: string): number {
  let found = 0;
  for (let at = lines.indexOf('\n'); at !== -1; at = lines.indexOf('\n', at + 1)) found++;
  return found;
}
