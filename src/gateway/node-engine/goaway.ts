import { constants, type ServerHttp2Session } from 'node:http2';

/** As the last stream of a GOAWAY: which it is will be said by another one. */
const ANY_STREAM = 2 ** 31 - 1;

/**
 * Tells clients to open no more streams (RFC 9113 section 6.8), then, a round trip later, which stream was the last that is served: so those that crossed
 * the first GOAWAY on the wire are known not to be, and are safe to send again elsewhere. nghttp2 looks at no new stream once it has sent a GOAWAY,
 * whatever that says; the second one must not be sent before, or streams that it leaves out could have been served.
 */
export function sendGoaway(sessions: Iterable<ServerHttp2Session>): void {
  for (const session of sessions) {
    if (session.destroyed || session.closed) continue;
    session.goaway(constants.NGHTTP2_NO_ERROR, ANY_STREAM);
    // Where no more pings may be under way, or nobody answers, the end of the session says it.
    session.ping((error) => {
      if (error === null && !session.destroyed) session.goaway();
    });
  }
}
