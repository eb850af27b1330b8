import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { invalidRequest } from './oauth-error.ts';
import { deadBefore } from './options.ts';
import { NO_STORE } from './router.ts';
import type { ServiceState } from './service-state.ts';

const PAGE = 1000;

/**
 * `GET /internal/data/v1/revokedjwt`: WSO2's list, for its gateways and ours; Basic authentication of the admin or a reader. `jwt_signature`
 * is the `jti` (as since WSO2 3.2), `expiry_time` epoch milliseconds. `?format=array|object` chooses between the shapes of WSO2 3.2 to 4.2
 * and 4.3. An opaque token that was never known here is not in it: only its digest is kept. Streamed page by page: its length costs no memory.
 */
export async function revokedList(
  state: ServiceState,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  await state.principals.user(request);
  const format =
    new URLSearchParams(request.url?.split('?', 2)[1] ?? '').get('format') ??
    state.settings.revokedListFormat;
  if (format !== 'array' && format !== 'object') {
    throw invalidRequest('format must be array or object');
  }
  response.writeHead(200, { ...NO_STORE, 'Content-Type': 'application/json' });
  const [head, tail] =
    format === 'array'
      ? ['[', ']']
      : [
          '{"revokedJWTList":[',
          '],"revokedJWTSubjectEntityList":[],"revokedJWTConsumerKeyList":[]}',
        ];
  await pipeline(Readable.from(listed(state, head, tail), { objectMode: true }), response);
}

function* listed(state: ServiceState, head: string, tail: string): Generator<string> {
  yield head;
  const before = deadBefore(state.settings);
  let separator = '';
  for (let seq = 0; ;) {
    const page = state.revocations.after(seq, PAGE);
    const last = page.at(-1);
    if (last === undefined) break;
    seq = last.seq;
    let text = '';
    for (const { jti, endsAtMs } of page) {
      if (jti === undefined || endsAtMs < before) continue;
      text += separator + JSON.stringify({ jwt_signature: jti, expiry_time: endsAtMs });
      separator = ',';
    }
    if (text !== '') yield text;
  }
  yield tail;
}
