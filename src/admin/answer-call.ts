import type { IncomingMessage, ServerResponse } from 'node:http';
import { API_REFUSALS, ApiRefusal } from '../errors.ts';
import type { Log } from '../log.ts';
import type { AuditLog } from './audit-log.ts';
import { discardBody, readJsonBody } from './body.ts';
import { type Answer, type Endpoint, type Endpoints, type Method, notFound } from './endpoints.ts';
import { isLoopback } from './hosts.ts';
import type { Operator } from './operations.ts';
import { ANSWER_FIELDS, refusalBody } from './refusal-answer.ts';

const LOG_KEY = 'OperatorApi';
/** Seconds after which to try again what the disk or the table refused. */
const RETRY_AFTER_SECONDS = 5;
/** What an id looks like (rule-id.ts). Anything else is nobody's, and may be a token that someone took for an id: it gets into no record. */
const ID = /^[rlt]-[A-Za-z0-9_-]{16}$/;

/** What a call is answered with. */
export interface Desk {
  readonly endpoints: Endpoints;
  /** Counted up for each call. */
  readonly counts: Map<string, number>;
  readonly log: Log;
  readonly audit: AuditLog;
  /** Values of `Host` that are let in. */
  readonly hosts: ReadonlySet<string>;
  /** The listener closes: who calls again is to come by another connection, and so perhaps to another gateway. */
  closing(): boolean;
  /** Who calls; undefined: nobody that we know. */
  operator(request: IncomingMessage): Operator | undefined;
}

/** What the audit record says of one call. */
interface Trace {
  by: Operator | undefined;
  /** Of the endpoint, `{id}` and all; undefined for a path that is none. */
  path: string | undefined;
  action: string | undefined;
  what: string;
  reason: string | undefined;
}

/** Answers one call, and keeps a record of what was changed or refused. Never rejects. */
export async function answerCall(
  request: IncomingMessage,
  response: ServerResponse,
  desk: Desk,
): Promise<void> {
  const trace: Trace = {
    by: undefined,
    path: undefined,
    action: undefined,
    what: '',
    reason: undefined,
  };
  // A connection that breaks is no error of ours.
  request.on('error', () => undefined);
  response.on('error', () => undefined);
  try {
    const answer = await answerOf(request, desk, trace);
    record(request, desk, trace, 'done');
    send(request, response, desk, answer);
  } catch (error) {
    if (request.destroyed && !request.complete) {
      response.destroy();
      return;
    }
    const refusal = refusalOf(error, desk.log);
    record(request, desk, trace, refusal.code);
    await discardBody(request);
    refuse(request, response, desk, refusal);
  }
}

async function answerOf(request: IncomingMessage, desk: Desk, trace: Trace): Promise<Answer> {
  const [path, query] = splitOnce(request.url ?? '', '?');
  const found = find(desk.endpoints, path);
  trace.path = found?.path;
  checkHost(request, desk.hosts);
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const endpoint = isMethod(method) ? found?.methods[method] : undefined;

  const by = desk.operator(request);
  trace.by = by;
  const open = endpoint?.openOnLoopback === true && isLoopback(request.socket.remoteAddress);
  if (by === undefined && !open)
    throw new ApiRefusal('unauthorized', "this call needs the operator's token or certificate");

  if (found === undefined) throw notFound();
  if (endpoint === undefined) throw methodNotAllowed(found.methods);
  trace.action = endpoint.action;
  return endpoint.answer({
    query,
    id: found.id,
    by: by ?? { name: 'nobody', address: request.socket.remoteAddress ?? '' },
    body: () => readJsonBody(request),
    about: (what, reason) => {
      trace.what = what;
      trace.reason = reason;
    },
  });
}

/** RFC 9110 section 7.4: a request that was meant for another host is misdirected. */
function checkHost(request: IncomingMessage, hosts: ReadonlySet<string>): void {
  const values = request.headersDistinct['host'] ?? [];
  const [host = ''] = values;
  if (values.length === 0) throw new ApiRefusal('malformed_request', 'there is no Host');
  if (values.length !== 1 || !hosts.has(host.toLowerCase()))
    throw new ApiRefusal(
      'wrong_host',
      "Host is none of this listener's names; further ones are named in operatorConfig.allowedHosts",
    );
}

function find(
  endpoints: Endpoints,
  path: string,
): { path: string; methods: Readonly<Partial<Record<Method, Endpoint>>>; id: string } | undefined {
  const methods = path.includes('{') ? undefined : endpoints.get(path);
  if (methods !== undefined) return { path, methods, id: '' };
  const cut = path.lastIndexOf('/');
  const id = path.slice(cut + 1);
  const template = `${path.slice(0, cut)}/{id}`;
  const ofOne = endpoints.get(template);
  return ofOne === undefined || !ID.test(id) ? undefined : { path: template, methods: ofOne, id };
}

function isMethod(method: string | undefined): method is Method {
  return method === 'GET' || method === 'POST' || method === 'DELETE';
}

/** Carries `Allow` (RFC 9110 section 15.5.6). */
class MethodNotAllowed extends ApiRefusal {
  readonly allow: string;

  constructor(allow: string) {
    super('method_not_allowed', `this path takes ${allow}`);
    this.allow = allow;
  }
}

function methodNotAllowed(methods: Readonly<Partial<Record<Method, Endpoint>>>): ApiRefusal {
  return new MethodNotAllowed(
    Object.keys(methods)
      .flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
      .join(', '),
  );
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function refusalOf(error: unknown, log: Log): ApiRefusal {
  if (error instanceof ApiRefusal) return error;
  // Where, without the message: a foreign one may quote what it was given.
  const frame = error instanceof Error ? (error.stack?.split('\n    at ')[1] ?? '') : '';
  log.error(LOG_KEY, `a call failed: ${error instanceof Error ? error.name : 'error'} at ${frame}`);
  return new ApiRefusal('internal_error', 'the call failed; the log says where');
}

/** One line for each call that changes something or is refused. */
function record(request: IncomingMessage, desk: Desk, trace: Trace, result: string): void {
  desk.counts.set(result, (desk.counts.get(result) ?? 0) + 1);
  if (result === 'done' && trace.action === undefined) return;
  const action = trace.action ?? `${request.method ?? ''} ${trace.path ?? '(no such path)'}`;
  const { by, what, reason } = trace;
  const address = request.socket.remoteAddress ?? '';
  desk.audit.call({ by, address, action, what, reason, result });
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  desk: Desk,
  answer: Answer,
): void {
  const body =
    answer.type !== undefined && typeof answer.body === 'string'
      ? answer.body
      : `${JSON.stringify(answer.body)}\n`;
  finish(request, response, desk, answer.status, answer.type ?? 'application/json', body);
}

function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  desk: Desk,
  refusal: ApiRefusal,
): void {
  const { code } = refusal;
  if (code === 'unauthorized') response.setHeader('WWW-Authenticate', 'Bearer realm="operator"');
  if (refusal instanceof MethodNotAllowed) response.setHeader('Allow', refusal.allow);
  if (code === 'not_durable' || code === 'list_full')
    response.setHeader('Retry-After', String(RETRY_AFTER_SECONDS));
  finish(request, response, desk, API_REFUSALS[code], 'application/json', refusalBody(refusal));
}

function finish(
  request: IncomingMessage,
  response: ServerResponse,
  desk: Desk,
  status: number,
  type: string,
  body: string,
): void {
  // The rest of a body that nobody reads goes with its connection.
  if (desk.closing() || (!request.complete && hasBody(request)))
    response.setHeader('Connection', 'close');
  response.writeHead(status, {
    ...ANSWER_FIELDS,
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}
