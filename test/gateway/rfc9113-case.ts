import {
  END_HEADERS,
  END_STREAM,
  DATA,
  type Fields,
  block,
  frame,
  HEADERS,
  type Http2Peer,
} from './http2-frames.ts';

/**
 * What a server may make of a case:
 * - `connection CODE`: GOAWAY with the code and the end of the connection, or its end alone (section 5.4.1);
 * - `stream CODE`: RST_STREAM, or the same as an error of the connection (section 5.4);
 * - `4xx`: an answer before the stream ends (section 8.1.1);
 * - `ignored`: nothing happens to the stream, and the connection is of use;
 * - `200`: the stream is answered, and the connection is of use.
 */
export type Right = `connection ${string}` | `stream ${string}` | '4xx' | 'ignored' | '200';

export interface Case {
  /** Of RFC 9113. */
  readonly section: string;
  readonly name: string;
  readonly right: readonly Right[];
  /** What is sent after the preface and both sides' SETTINGS. */
  readonly frames: (path: string) => readonly Buffer[];
  /** Sent once the stream is over. */
  readonly afterwards?: (path: string) => readonly Buffer[];
  /** In place of preface and SETTINGS. */
  readonly greeting?: readonly Buffer[];
  /** No request of the case may reach the upstream. */
  readonly refused: boolean;
  /** That is looked at. Default 1. */
  readonly stream?: number;
  /** Something else that has to be so. */
  readonly check?: (peer: Http2Peer) => boolean;
}

type More = Partial<Pick<Case, 'afterwards' | 'greeting' | 'check' | 'stream' | 'refused'>>;

/** A case whose requests, where it has any, may be served. */
export function rule(
  section: string,
  name: string,
  right: Right | readonly Right[],
  frames: Case['frames'],
  more: More = {},
): Case {
  const all = typeof right === 'string' ? [right] : right;
  return { section, name, right: all, frames, refused: false, ...more };
}

/** A malformed request (section 8.1.1): a stream error, or a refusal before it; it goes nowhere. */
export function malformed(section: string, name: string, frames: Case['frames']): Case {
  const right = ['stream PROTOCOL_ERROR', '4xx'] as const;
  return { section, name, right, frames, refused: true };
}

export function requestFields(path: string, method = 'GET'): Fields {
  return [
    [':method', method],
    [':scheme', 'https'],
    [':path', path],
    [':authority', 'localhost'],
  ];
}

export function get(path: string, stream = 1, more: Fields = []): Buffer {
  const fields = [...requestFields(path), ...more];
  return frame(HEADERS, END_HEADERS | END_STREAM, stream, block(fields));
}

/** The head of a request whose body follows. */
export function post(path: string, stream = 1, more: Fields = []): Buffer {
  return frame(HEADERS, END_HEADERS, stream, block([...requestFields(path, 'POST'), ...more]));
}

export function data(content: string | Buffer, flags = 0, stream = 1): Buffer {
  return frame(DATA, flags, stream, Buffer.from(content as string));
}

/** A GET of these fields alone. */
export function only(...fields: Fields): Buffer {
  return frame(HEADERS, END_HEADERS | END_STREAM, 1, block(fields));
}
