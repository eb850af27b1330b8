import type { Log } from '../../src/log.ts';

/** A log that remembers its lines, for tests that look at them. */
export interface RecordedLog extends Log {
  readonly lines: string[];
}

/** `LEVEL [key] [id] message` per line. DEBUG is on unless said otherwise. */
export function recordedLog(debugEnabled = true): RecordedLog {
  const lines: string[] = [];
  const at =
    (level: string) =>
    (key: string, message: string, id = '-'): void => {
      lines.push(`${level} [${key}] [${id}] ${message}`);
    };
  return {
    lines,
    debugEnabled,
    debug: debugEnabled ? at('DEBUG') : () => undefined,
    info: at('INFO'),
    warn: at('WARN'),
    error: at('ERROR'),
  };
}
