import type { IncomingMessage, ServerResponse } from 'node:http';
import { startHttpServer } from '../support/http-server.ts';

/** The token service's event stream as docs/sources.md describes it, kept in memory, with levers to misbehave. */
export interface EventStreamServer {
  readonly port: number;
  readonly url: string;
  /** `Last-Event-ID` of every connection so far. */
  readonly asked: (string | undefined)[];
  revoke(data: Readonly<Record<string, unknown>>): void;
  /** Numbers up to here are forgotten: who asks for older ones gets a snapshot. */
  forgetUpTo(seq: number): void;
  /** Another store: new generation, nothing in it. */
  replaceStore(): void;
  /** The next event is kept but sent to nobody. */
  loseNext(): void;
  /** Writes to everybody who listens. */
  write(text: string): void;
  disconnect(): void;
  close(): Promise<void>;
}

export async function startEventStreamServer(options: {
  readonly authorization: string;
  readonly heartbeatMs: number;
}): Promise<EventStreamServer> {
  let generation = 1;
  let entries: { seq: number; data: string }[] = [];
  let newest = 0;
  let forgotten = 0;
  let lose = false;
  const asked: (string | undefined)[] = [];
  const listening = new Set<ServerResponse>();

  const id = (seq: number): string => `g-${generation}-${seq}`;
  const frame = (event: string, data: string, at?: string): string =>
    `event: ${event}\n${at === undefined ? '' : `id: ${at}\n`}data: ${data}\n\n`;
  const revoked = ({ seq, data }: { seq: number; data: string }): string =>
    frame('revoked', data, id(seq));

  function answer(request: IncomingMessage, response: ServerResponse): void {
    if (request.headers.authorization !== options.authorization) {
      response.writeHead(401).end();
      return;
    }
    const last = request.headers['last-event-id'];
    const lastId = typeof last === 'string' ? last : undefined;
    asked.push(lastId);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const [, from] = new RegExp(`^g-${generation}-(\\d+)$`).exec(lastId ?? '') ?? [];
    if (from !== undefined && Number(from) >= forgotten && Number(from) <= newest) {
      for (const entry of entries) if (entry.seq > Number(from)) response.write(revoked(entry));
      response.write(frame('replay-end', '{}'));
    } else {
      response.write(frame('snapshot-begin', `{"generation":"g-${generation}"}`));
      for (const entry of entries) response.write(revoked(entry));
      response.write(frame('snapshot-end', `{"count":${entries.length}}`, id(newest)));
    }
    listening.add(response);
    response.on('close', () => listening.delete(response));
  }

  const server = await startHttpServer(answer);
  const write = (text: string): void => {
    for (const response of listening) response.write(text);
  };
  const heart = setInterval(
    () => write(frame('heartbeat', `{"newest":"${id(newest)}"}`)),
    options.heartbeatMs,
  );
  heart.unref();
  return {
    port: server.port,
    url: `${server.url}/events`,
    asked,
    revoke(data) {
      const entry = { seq: ++newest, data: JSON.stringify(data) };
      entries.push(entry);
      if (!lose) write(revoked(entry));
      lose = false;
    },
    forgetUpTo(seq) {
      forgotten = seq;
    },
    replaceStore() {
      generation++;
      entries = [];
      newest = 0;
      forgotten = 0;
    },
    loseNext() {
      lose = true;
    },
    write,
    disconnect: () => server.disconnect(),
    async close() {
      clearInterval(heart);
      await server.close();
    },
  };
}
