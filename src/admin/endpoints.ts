import { ApiRefusal } from '../errors.ts';
import type { JsonObject } from '../strict-json.ts';
import { VERSION } from '../version.ts';
import { shownName } from './body.ts';
import type { AllMetrics } from './metric-catalogue.ts';
import { METRICS_TYPE, metricsText } from './metrics-text.ts';
import { OPENAPI } from './openapi-document.ts';
import type { Operations, Operator, RevocationRequest } from './operations.ts';
import { parseRevocationQuery, refuseQuery } from './revocation-query.ts';
import {
  checkReason,
  parseRevocationRequest,
  refuseUnknown,
  textMember,
} from './revocation-request.ts';
import {
  liftedView,
  pageView,
  readinessView,
  recordView,
  revokedView,
  statusView,
  verdictView,
} from './views.ts';

export type Method = 'GET' | 'POST' | 'DELETE';

/** A call that passed the listener's own checks. */
export interface Call {
  /** Text behind the question mark; empty without one. */
  readonly query: string;
  /** The last part of the path, where the path has one of its own. */
  readonly id: string;
  readonly by: Operator;
  /** Reads the body. @throws ApiRefusal */
  body(): Promise<JsonObject>;
  /** Says what is being changed, and why, for the audit record, as soon as it is known. */
  about(what: string, reason?: string): void;
}

/** What is answered: JSON, or text of another type. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** Media type of a body that is text. */
  readonly type?: string;
}

export interface Endpoint {
  /** For the audit record; absent for what only reads. */
  readonly action?: 'revoke' | 'lift';
  /** Whoever is on this machine may call it without token. */
  readonly openOnLoopback?: true;
  answer(call: Call): Promise<Answer> | Answer;
}

/** Calls answered so far, by result: `done`, or the code of the refusal. */
export type CallCounts = ReadonlyMap<string, number>;

/** Path to method to endpoint. `{id}` stands for one part of a path. */
export type Endpoints = ReadonlyMap<string, Readonly<Partial<Record<Method, Endpoint>>>>;

export function endpoints(operations: Operations, counts: CallCounts): Endpoints {
  return new Map<string, Readonly<Partial<Record<Method, Endpoint>>>>([
    [
      '/revocations',
      {
        GET: {
          answer: async ({ query }) => {
            const page = await operations.revocations(parseRevocationQuery(query));
            return { status: 200, body: pageView(page) };
          },
        },
        POST: { action: 'revoke', answer: (call) => revoke(operations, call) },
      },
    ],
    ['/revocations/explain', { POST: { answer: (call) => explain(operations, call) } }],
    [
      '/revocations/{id}',
      {
        GET: {
          answer: async ({ query, id }) => {
            refuseQuery(query);
            const record = await operations.revocation(id);
            if (record === undefined)
              throw new ApiRefusal('not_found', 'nothing that is revoked has this id');
            return { status: 200, body: recordView(record) };
          },
        },
        DELETE: { action: 'lift', answer: (call) => lift(operations, call) },
      },
    ],
    [
      '/status',
      {
        GET: {
          answer: async ({ query }) => {
            refuseQuery(query);
            return {
              status: 200,
              body: statusView(await operations.status(), operations.readiness()),
            };
          },
        },
      },
    ],
    [
      '/ready',
      {
        GET: {
          openOnLoopback: true,
          answer: ({ query }) => {
            refuseQuery(query);
            const readiness = operations.readiness();
            return { status: readiness.ready ? 200 : 503, body: readinessView(readiness) };
          },
        },
      },
    ],
    [
      '/metrics',
      {
        GET: {
          openOnLoopback: true,
          // Prometheus may be configured to send parameters: they mean nothing here.
          answer: () => ({
            status: 200,
            body: metricsText(allMetrics(operations, counts)),
            type: METRICS_TYPE,
          }),
        },
      },
    ],
    [
      '/openapi.json',
      {
        GET: {
          answer: ({ query }) => {
            refuseQuery(query);
            return { status: 200, body: OPENAPI };
          },
        },
      },
    ],
  ]);
}

export function notFound(): ApiRefusal {
  return new ApiRefusal('not_found', 'there is nothing by this path');
}

async function revoke(operations: Operations, call: Call): Promise<Answer> {
  refuseQuery(call.query);
  const request = parseRevocationRequest(await call.body(), Date.now());
  const names = namesOf(request);
  call.about(names, request.reason);
  // Whatever becomes of the call then: what acts is on record.
  const done = await operations.revoke(request, call.by, ({ id, applied }) =>
    call.about(`${names} ${id} ${applied}`, request.reason),
  );
  const { confirmedThreads: threads } = done;
  // It holds here and is on the disk, but a thread has not said so in time.
  const unconfirmed = threads !== undefined && threads.confirmed < threads.of;
  const status = unconfirmed ? 202 : done.applied === 'added' ? 201 : 200;
  return { status, body: revokedView(done) };
}

/** Kind and names of what is to be revoked: no value of a claim, nothing of a token, and short enough that who and why still fit behind it. */
function namesOf({ what }: RevocationRequest): string {
  if ('token' in what) return what.token.issuer === undefined ? 'token' : 'token of one issuer';
  const names = Object.keys(what.rule.claims).map((name) => JSON.stringify(shownName(name)));
  if (what.rule.issuer !== undefined) names.push('issuer');
  return `rule on ${names.join(', ')}`;
}

const LIFT_MEMBERS: ReadonlySet<string> = new Set(['reason']);

async function lift(operations: Operations, call: Call): Promise<Answer> {
  refuseQuery(call.query);
  call.about(call.id);
  const body = await call.body();
  refuseUnknown(body, LIFT_MEMBERS);
  const reason = textMember(body, 'reason');
  if (reason === undefined)
    throw new ApiRefusal('missing_value', 'say why the rule is lifted: "reason"', 'reason');
  checkReason(reason);
  call.about(call.id, reason);
  return { status: 200, body: liftedView(await operations.lift(call.id, reason, call.by)) };
}

const EXPLAIN_MEMBERS: ReadonlySet<string> = new Set(['token']);

async function explain(operations: Operations, call: Call): Promise<Answer> {
  refuseQuery(call.query);
  const body = await call.body();
  refuseUnknown(body, EXPLAIN_MEMBERS);
  const token = textMember(body, 'token');
  if (token === undefined)
    throw new ApiRefusal('missing_value', 'give the token to explain: "token"', 'token');
  return { status: 200, body: verdictView(await operations.explain(token.trim())) };
}

function allMetrics(operations: Operations, counts: CallCounts): AllMetrics {
  const cpu = process.cpuUsage();
  return {
    ...operations.metrics(),
    portcullis_build_info: [
      { labels: { version: VERSION, node: process.versions.node }, value: 1 },
    ],
    portcullis_ready: operations.readiness().ready ? 1 : 0,
    portcullis_operator_calls_total: [...counts].map(([result, value]) => ({
      labels: { result },
      value,
    })),
    portcullis_resident_memory_bytes: process.memoryUsage.rss(),
    portcullis_cpu_seconds_total: (cpu.user + cpu.system) / 1e6,
  };
}
