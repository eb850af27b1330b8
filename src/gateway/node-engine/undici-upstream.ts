import { type buildConnector, type Dispatcher, Pool } from 'undici';
import type { CallCount } from '../call-count.ts';
import type { UpstreamOptions } from '../options.ts';
import type { OpenCall, UpstreamAnswer, UpstreamRequest, UpstreamSide } from '../upstream-side.ts';
import { RequestBody } from './request-body.ts';
import { UndiciCall } from './undici-call.ts';

/** One origin, called through a pool of undici's. */
export class UndiciUpstream implements UpstreamSide {
  readonly origin: string;
  readonly #pool: Pool;
  readonly #calls: CallCount;

  /** @param calls in which an aborted call keeps its place for as long as the pool has it */
  constructor(
    origin: string,
    maxActive: number,
    connect: buildConnector.connector,
    options: UpstreamOptions,
    calls: CallCount,
  ) {
    this.origin = origin;
    this.#calls = calls;
    this.#pool = new Pool(origin, {
      connections: maxActive,
      connect,
      headersTimeout: options.headersTimeoutMs ?? 60_000,
      bodyTimeout: options.idleBodyTimeoutMs ?? 60_000,
      maxHeaderSize: options.maxHeaderSize ?? 16_384,
    });
  }

  call(request: UpstreamRequest, answer: UpstreamAnswer): OpenCall {
    const { method, path, fields, body, switching } = request;
    const options: Dispatcher.DispatchOptions = { method, path, headers: fields as string[] };
    let stream: RequestBody | undefined;
    if (body !== undefined) {
      stream = new RequestBody(body);
      options.body = stream;
      if (body.length >= 0) {
        options.headers = [...fields, 'content-length', String(body.length)];
      }
    }
    if (switching) options.upgrade = 'websocket';
    const call = new UndiciCall(answer, stream, this.#calls);
    this.#pool.dispatch(options, call);
    return call;
  }

  sweep(): void {
    // undici has deadlines of its own.
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}
