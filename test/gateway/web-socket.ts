import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { localCertificate } from './stage.ts';

export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
/** RFC 6455 section 1.3 gives this pair. */
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

export const SWITCHED = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`;

/** A handshake as text; `fields` in place of the usual ones that have the same name. */
export function handshake(
  path: string,
  fields: Readonly<Record<string, string | null>> = {},
): string {
  const all: Record<string, string | null> = {
    Host: 'h',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': KEY,
    ...fields,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === null ? [] : [`${name}: ${value}\r\n`],
  );
  return `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** RFC 6455 section 5.2. */
export function frame(opcode: number, payload: string | Buffer, masked = false): Buffer {
  const data = Buffer.from(payload as string);
  const head =
    data.length < 126
      ? Buffer.from([0x80 | opcode, data.length])
      : data.length < 65_536
        ? Buffer.from([0x80 | opcode, 126, data.length >> 8, data.length & 0xff])
        : Buffer.concat([Buffer.from([0x80 | opcode, 127]), length64(data.length)]);
  if (!masked) return Buffer.concat([head, data]);
  head[1] = (head[1] ?? 0) | 0x80;
  const mask = randomBytes(4);
  return Buffer.concat([head, mask, data.map((byte, at) => byte ^ (mask[at % 4] ?? 0))]);
}

function length64(length: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(length));
  return bytes;
}

/** Calls back with every whole frame of a stream of bytes. */
function eachFrame(onFrame: (opcode: number, payload: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const short = (rest[1] ?? 0) & 0x7f;
      const wide = short === 127 ? 8 : short === 126 ? 2 : 0;
      const masked = ((rest[1] ?? 0) & 0x80) !== 0;
      const start = 2 + wide + (masked ? 4 : 0);
      if (rest.length < start) return;
      const length =
        wide === 0 ? short : wide === 2 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2));
      if (rest.length < start + length) return;
      const mask = rest.subarray(start - 4, start);
      const payload = Buffer.from(rest.subarray(start, start + length));
      if (masked)
        for (let at = 0; at < length; at++) payload[at] = (payload[at] ?? 0) ^ (mask[at % 4] ?? 0);
      const opcode = (rest[0] ?? 0) & 0x0f;
      rest = rest.subarray(start + length);
      onFrame(opcode, payload);
    }
  };
}

/** Sends every message back, answers a Close frame, and closes then. */
function echoFrames(socket: Socket): void {
  const answer = eachFrame((opcode, payload) => {
    socket.write(frame(opcode, payload));
    if (opcode === 8) socket.end();
  });
  socket.on('data', answer);
  socket.on('end', () => socket.end());
}

export const CLOSE_REVOKED = frame(8, Buffer.from('\x03\xf0token revoked', 'latin1'));
export const CLOSE_GOING = frame(8, Buffer.from('\x03\xe9the gateway is closing', 'latin1'));

export interface WebSocketUpstream {
  readonly url: string;
  readonly port: number;
  /** The handshakes that came, in order. */
  readonly requests: IncomingMessage[];
  /** Their sockets. */
  readonly sockets: Socket[];
}

/** An upstream that switches; `serve` does with the socket what it likes. */
export async function webSocketUpstream(
  t: { after(closer: () => void): void },
  serve: (socket: Socket) => void = echoFrames,
  more: {
    readonly fields?: string;
    readonly tls?: boolean;
    /** What else is asked. */
    readonly answer?: RequestListener;
  } = {},
): Promise<WebSocketUpstream> {
  const certificate = await localCertificate();
  const server = more.tls === true ? createHttpsServer(certificate) : createServer();
  const requests: IncomingMessage[] = [];
  const sockets: Socket[] = [];
  server.on('upgrade', (request: IncomingMessage, duplex: Duplex, head: Buffer) => {
    const socket = duplex as Socket;
    requests.push(request);
    sockets.push(socket);
    socket.on('error', () => undefined);
    if (head.length > 0) socket.unshift(head);
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    socket.write(SWITCHED.replace(ACCEPT, accept).replace(/\r\n$/, `${more.fields ?? ''}\r\n`));
    serve(socket);
  });
  server.on('request', more.answer ?? ((_, response) => response.end('plain')));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const scheme = more.tls === true ? 'https' : 'http';
  return { url: `${scheme}://localhost:${address.port}`, port: address.port, requests, sockets };
}
