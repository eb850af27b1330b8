import type { Socket } from 'node:net';
import type { FaultName } from '../../errors.ts';
import { endSoon } from '../connection.ts';
import type { DataPlane } from '../data-plane.ts';
import { refusalAnswer } from '../refusal-answer.ts';

/** Which fault a request deserves that node:http could not parse or would not wait for. */
export function parseFault(
  error: NodeJS.ErrnoException & { readonly rawPacket?: Buffer },
  maxUriLength: number,
): FaultName {
  switch (error.code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 'requestTimedOut';
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return 'payloadTooLarge';
    case 'HPE_HEADER_OVERFLOW': {
      const lineEnd = error.rawPacket?.indexOf('\r\n') ?? 0;
      const longLine = lineEnd === -1 || lineEnd > maxUriLength;
      return longLine && isRequestLine(error.rawPacket) ? 'uriTooLong' : 'headersTooLarge';
    }
    default:
      return 'badRequest';
  }
}

/** Whether bytes start like a request line, and not in the middle of a header section that came in several pieces. */
function isRequestLine(packet: Buffer | undefined): boolean {
  return packet !== undefined && /^[A-Z]{3,7} \//.test(packet.toString('latin1', 0, 10));
}

/** Answers a connection without an exchange in the same shape as all refusals, then closes it. */
export function refuseConnection(
  socket: Socket,
  fault: FaultName,
  detail: string,
  peer: string,
  plane: DataPlane,
): void {
  endSoon(socket, Buffer.from(refusalAnswer(fault, detail, peer, plane), 'latin1'));
}
