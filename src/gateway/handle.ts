import type { Caller } from '../auth/caller.ts';
import { GatewayFault } from '../errors.ts';
import { answerBuiltIn } from './built-in.ts';
import type { Exchange } from './exchange.ts';
import { filterRequest } from './filter.ts';
import { forward, type Outgoing, prepare } from './forward.ts';
import { readHandshake } from './handshake.ts';
import { reject } from './reject.ts';
import { readRequest } from './request.ts';
import type { Operation } from './routes.ts';
import { shed } from './shedding.ts';

/** One request from its head to its answer. Nothing here waits unless authentication or an extension does. */
export function handle(exchange: Exchange): void {
  try {
    const { plane } = exchange;
    if (plane.shedding && shed(exchange)) return; //                                              503
    const { path, head } = readRequest(exchange); //                                             400, 413, 414, 431
    if (answerBuiltIn(exchange, path)) return;
    const operation = plane.routes.match(exchange.method, path); //                              400, 404, 405
    exchange.operation = operation;
    const { route } = operation;
    if (!route.secured) {
      admit(exchange, operation, path.end, undefined);
      return;
    }
    const { authenticator } = plane;
    const caller = authenticator.authenticate(head.credentials, route, exchange.id, exchange); // 401, 403, 429, 503
    if (caller instanceof Promise) {
      caller
        .then((known) => admit(exchange, operation, path.end, known))
        .catch((error: unknown) => refuse(exchange, error));
    } else {
      admit(exchange, operation, path.end, caller);
    }
  } catch (error) {
    refuse(exchange, error);
  }
}

/** Who has sent too much junk is answered a little later than it could be. */
function refuse(exchange: Exchange, error: unknown): void {
  if (error instanceof GatewayFault && error.fault === 'tooManyFailures')
    exchange.plane.heldBack.hold(exchange, error);
  else reject(exchange, error);
}

function admit(
  exchange: Exchange,
  operation: Operation,
  pathEnd: number,
  caller: Caller | undefined,
): void {
  if (exchange.answered) return; // the client left, or sent a malformed body, while the token was checked
  exchange.caller = caller;
  if (operation.route.webSocket !== false) exchange.handshake = readHandshake(exchange); //      400, 426
  const outgoing = prepare(exchange, operation, pathEnd, caller); //                             403
  if (exchange.plane.filter?.filterRequest === undefined) {
    forward(exchange, outgoing, reject); //                                                      502, 503, 504
  } else {
    filtered(exchange, outgoing, caller).catch((error: unknown) => reject(exchange, error));
  }
}

async function filtered(
  exchange: Exchange,
  outgoing: Outgoing,
  caller: Caller | undefined,
): Promise<void> {
  const { filter } = exchange.plane;
  const answer =
    filter === undefined ? undefined : await filterRequest(filter, exchange, outgoing, caller);
  if (exchange.answered) return;
  if (answer === undefined) {
    forward(exchange, outgoing, reject);
  } else {
    exchange.answer(answer.status, answer.fields, answer.body, 'filtered');
  }
}
