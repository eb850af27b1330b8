/** `[b7a.log] level` of micro-gw.conf. */
export type LogLevel = 'TRACE' | 'DEBUG' | 'INFO' | 'WARN' | 'ERROR' | 'OFF';

/**
 * The gateway's log. `key` is WSO2's bracketed component name (`TokenRevocationJMS`, `JWTAuthProvider`, ...); `id` is the request's
 * message id, `-` outside requests. Messages never hold a token, a password or a whole list; control characters in them are escaped
 * by the sink, so values from outside may be put in.
 */
export interface Log {
  /** False when DEBUG lines would be thrown away: ask before building one on the request path. */
  readonly debugEnabled: boolean;
  debug(key: string, message: string, id?: string): void;
  info(key: string, message: string, id?: string): void;
  warn(key: string, message: string, id?: string): void;
  error(key: string, message: string, id?: string): void;
}
