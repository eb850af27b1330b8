import { pino } from 'pino';
import type { Log, LogLevel } from './log.ts';
import { standardOutput } from './log-sink.ts';

export interface LogOptions {
  readonly level: LogLevel;
  /** `text`: WSO2's line; `json`: one object a line with `level`, `time` (ISO 8601, UTC), `module`, `key`, `id`, `message`. */
  readonly format: 'text' | 'json';
  /** Takes finished lines, their line feeds included. Default: standard output (log-sink.ts), never blocking and never failing. */
  readonly write?: (line: string) => void;
  /** The bracketed module. The default is WSO2's, so that what reads its log goes on working. */
  readonly module?: string;
}

export interface LogWriter extends Log {
  /** An INFO line that the text format shows as it is, without time and level: the start lines of listeners. */
  plain(message: string): void;
  /** Writes lines that another thread's log has finished, each as it is. */
  relay(lines: string): void;
  /** Resolves when everything written is handed over, or after a second without a reader. Await it before `process.exit`. */
  flush(): Promise<void>;
}

type LineLevel = 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
type LineWriter = (level: LineLevel, key: string, id: string, message: string) => void;

const MODULE = 'wso2/gateway/src/gateway/utils';
/** Bytes of UTF-8 of one message, escapes included. What is longer is cut, with `...` at its end. */
const MAX_MESSAGE_BYTES = 8_192;
/** The same for a key, an id, the module. */
const MAX_NAME_BYTES = 256;

const RANKS: Readonly<Record<LogLevel, number>> = {
  TRACE: 0,
  DEBUG: 1,
  INFO: 2,
  WARN: 3,
  ERROR: 4,
  OFF: 5,
};

/**
 * The log of a command. Text lines are WSO2's: `yyyy-MM-dd HH:mm:ss,SSS LEVEL [module] - [key] [id] message` in local time.
 *
 * **Security**: module, key, id and message are bounded, and every character that could end a line, steer a terminal or reorder text is
 * escaped (`\n`, `\u001b`), in both formats alike.
 */
export function createLog(options: LogOptions): LogWriter {
  const module = printable(options.module ?? MODULE, MAX_NAME_BYTES);
  const linesTo = options.format === 'json' ? jsonLines : textLines;
  const sink =
    options.write === undefined
      ? standardOutput((dropped) => {
          let line = '';
          linesTo(module, (text) => (line = text))('WARN', 'Log', '-', droppedMessage(dropped));
          return line;
        })
      : { write: options.write, flush: () => Promise.resolve() };
  const writeLine = linesTo(module, (line) => sink.write(line));
  const isOn = (level: LineLevel) => RANKS[level] >= RANKS[options.level];

  function put(level: LineLevel, key: string, message: string, id = '-'): void {
    if (!isOn(level)) return;
    writeLine(
      level,
      printable(key, MAX_NAME_BYTES),
      printable(id, MAX_NAME_BYTES),
      printable(message, MAX_MESSAGE_BYTES),
    );
  }

  return {
    debugEnabled: isOn('DEBUG'),
    debug: (key, message, id) => put('DEBUG', key, message, id),
    info: (key, message, id) => put('INFO', key, message, id),
    warn: (key, message, id) => put('WARN', key, message, id),
    error: (key, message, id) => put('ERROR', key, message, id),
    plain(message) {
      if (options.format === 'json') put('INFO', '-', message);
      else if (isOn('INFO')) sink.write(`${printable(message, MAX_MESSAGE_BYTES)}\n`);
    },
    relay: (lines) => sink.write(lines),
    flush: () => sink.flush(),
  };
}

function droppedMessage(count: number): string {
  return `${count} log line(s) were dropped: whatever reads this log is too slow, or its disk is full`;
}

function textLines(module: string, write: (line: string) => void): LineWriter {
  return (level, key, id, message) => {
    write(
      `${localTime(new Date())} ${level.padEnd(5)} [${module}] - [${key}] [${id}] ${message}\n`,
    );
  };
}

function jsonLines(module: string, write: (line: string) => void): LineWriter {
  const logger = pino(
    {
      level: 'debug',
      base: null,
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label.toUpperCase() }) },
    },
    { write },
  );
  const methods = { DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;
  return (level, key, id, message) => {
    logger[methods[level]]({ module, key, id }, message);
  };
}

/** `2026-11-22 11:54:43,007`, in local time as WSO2 prints it. */
function localTime(at: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return `${date} ${time},${String(at.getMilliseconds()).padStart(3, '0')}`;
}

/** Controls (C0, DEL, C1), format characters (bidirectional marks among them), line and paragraph separators, lone surrogates. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const SHORT_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function printable(text: string, maxBytes: number): string {
  // Cut first, so that the work is bounded too; the second cut is for what escaping added.
  return cut(cut(text, maxBytes).replace(UNPRINTABLE, escape), maxBytes);
}

function escape(character: string): string {
  const hex = (character.codePointAt(0) ?? 0).toString(16);
  return (
    SHORT_ESCAPES[character] ?? (hex.length > 4 ? `\\u{${hex}}` : `\\u${hex.padStart(4, '0')}`)
  );
}

const CUT_MARK = '...';

function cut(text: string, maxBytes: number): string {
  // One UTF-16 unit is at most three bytes.
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text;
  const room = new Uint8Array(maxBytes - CUT_MARK.length);
  return text.slice(0, new TextEncoder().encodeInto(text, room).read) + CUT_MARK;
}
