import type { MgwConfig } from './config/config.ts';
import type { LogWriter } from './log-writer.ts';
import { type PlaceOf, withPlace } from './place.ts';
import { AccessLog } from './telemetry/access-log.ts';

/** Where the data-plane threads' access lines go, as `[b7a.http.accesslog]` says. */
export interface AccessLines {
  /** Lines that could not be written. */
  readonly dropped: number;
  /**
   * Whole lines of ASCII. Never waits, never throws.
   * @param settled called once when they are written, or dropped
   */
  write(bytes: Uint8Array, settled: () => void): void;
  /** After a rotation. */
  reopen(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the access log. Undefined where none is configured.
 * @throws OperatorError `ERR_ACCESS_LOG`
 */
export async function openAccessLines(
  { accessLog }: MgwConfig,
  placeOf: PlaceOf,
  log: LogWriter,
): Promise<AccessLines | undefined> {
  if (accessLog === undefined) return undefined;
  const { path, console } = accessLog;
  const file =
    path === undefined
      ? undefined
      : await withPlace(
          placeOf,
          () => 'b7a.http.accesslog.path',
          () => AccessLog.open(path, log),
        );
  return {
    get dropped() {
      return file?.dropped ?? 0;
    },
    write(bytes, settled) {
      if (console)
        log.relay(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'));
      if (file === undefined) settled();
      else file.write(bytes, settled);
    },
    reopen: async () => file?.reopen(),
    close: async () => file?.close(),
  };
}
