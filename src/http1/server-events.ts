import type { Refusal } from './refusal.ts';
import type { ServerExchange } from './server-exchange.ts';

/** What a server connection asks of its owner. `Socket` is what stands behind its wire. */
export interface ServerEvents<Socket = unknown> {
  /** A request has come. It may be answered inside of this. */
  onRequest(exchange: ServerExchange<Socket>): void;
  /** Bytes that are no request. @param at as in `GrammarError` @returns the whole answer, latin1, with `Connection: close`; '' just closes */
  onRefused(refusal: Refusal, at: string): string;
  /** The wire is to become another protocol's. @returns what stands behind it; nothing but `gone()` is called here after that */
  onSwitch(): Socket;
  /** Once: there will be no other request. The wire may still be busy with the end of the last answer. */
  onOver(): void;
}

/**
 * `idle`: no byte of a request is there. `head`: some are. `body`: a request is under way and its body not read. `answer`: its body is
 * read, the answer is not written, or not taken by the client. `linger`: the last answer is written, and FIN.
 * `switched`: another protocol.
 */
export type Phase = 'idle' | 'head' | 'body' | 'answer' | 'linger' | 'switched';
