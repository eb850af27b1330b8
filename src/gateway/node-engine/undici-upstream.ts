import { type buildConnector, type Dispatcher, Pool } from 'undici';
import type { CallCount } from '../call-count.ts';
import { OpenCalls } from '../open-calls.ts';
import type { UpstreamOptions } from '../options.ts';
import type { OpenCall, UpstreamAnswer, UpstreamRequest, UpstreamSide } from '../upstream-side.ts';
import { PoolClient } from './pool-client.ts';
import { RequestBody } from './request-body.ts';
import { UndiciCall, type UndiciOutlet } from './undici-call.ts';

/** One origin, called through a pool of undici's. */
export class UndiciUpstream implements UpstreamSide, UndiciOutlet {
  readonly origin: string;
  readonly calls: CallCount;
  readonly idleBodyMs: number;
  readonly #pool: Pool;
  readonly #open = new OpenCalls<UndiciCall>();

  constructor(
    origin: string,
    maxActive: number,
    connect: buildConnector.connector,
    options: UpstreamOptions,
    calls: CallCount,
  ) {
    this.origin = origin;
    this.calls = calls;
    this.idleBodyMs = options.idleBodyTimeoutMs ?? 60_000;
    this.#pool = new Pool(origin, {
      connections: maxActive,
      factory: (url, given) => new PoolClient(url, connect, given),
      headersTimeout: options.headersTimeoutMs ?? 60_000,
      bodyTimeout: this.idleBodyMs,
      maxHeaderSize: options.maxHeaderSize ?? 16_384,
    });
  }

  call(request: UpstreamRequest, answer: UpstreamAnswer, fresh: boolean): OpenCall {
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
    const call = new UndiciCall(this, answer, stream, fresh);
    this.#open.add(call);
    this.#pool.dispatch(options, call);
    return call;
  }

  sweep(nowMs: number): void {
    this.#open.sweep(nowMs);
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }

  // Of its calls.

  forget(call: UndiciCall): void {
    this.#open.remove(call);
  }
}
