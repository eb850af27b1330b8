import { API_REFUSALS, type ApiRefusalCode } from '../errors.ts';
import { VERSION } from '../version.ts';
import { REVOCATION_KINDS } from './operations.ts';
import { SCHEMAS } from './openapi-schemas.ts';

type SchemaName = keyof typeof SCHEMAS;

/** What any call may be answered. */
const ALWAYS = [
  'malformed_request',
  'unauthorized',
  'method_not_allowed',
  'request_timed_out',
  'wrong_host',
  'headers_too_large',
  'internal_error',
] as const satisfies readonly ApiRefusalCode[];

const WITH_BODY = [
  'malformed_body',
  'unknown_member',
  'missing_value',
  'invalid_value',
  'body_too_large',
  'unsupported_media_type',
] as const satisfies readonly ApiRefusalCode[];

function json(schema: SchemaName) {
  return { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } };
}

function ok(description: string, schema: SchemaName) {
  return { description, content: json(schema) };
}

function body(schema: SchemaName) {
  return { required: true, content: json(schema) };
}

/** One response for each status among the refusals, saying their codes. */
function refusals(...more: readonly ApiRefusalCode[]) {
  const codes = new Map<number, string[]>();
  for (const code of new Set([...ALWAYS, ...more])) {
    const status = API_REFUSALS[code];
    codes.set(status, [...(codes.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...codes].map(([status, names]) => [
      String(status),
      { description: names.map((name) => `\`${name}\``).join(', '), content: json('Refusal') },
    ]),
  );
}

const idParameter = {
  name: 'id',
  in: 'path',
  required: true,
  schema: { type: 'string', pattern: '^[rlt]-[A-Za-z0-9_-]{16}$' },
} as const;

/** The OpenAPI 3.1 document of the operator's API, as `/openapi.json` answers it; a test holds the server to it. */
export const OPENAPI = {
  openapi: '3.1.0',
  info: {
    title: "Portcullis operator's API",
    version: VERSION,
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    description:
      'Revokes tokens and tells what is revoked. A call carries the operator token (`MGW_HOME/security/operator.token`) or comes with a client certificate.',
  },
  servers: [{ url: 'http://127.0.0.1:9097' }],
  security: [{ operatorToken: [] }, { clientCertificate: [] }],
  paths: {
    '/revocations': {
      get: {
        operationId: 'listRevocations',
        summary: 'What is revoked, page by page, from the journal. Never the text of a token.',
        parameters: [
          { name: 'kind', in: 'query', schema: { enum: REVOCATION_KINDS } },
          { name: 'source', in: 'query', schema: { type: 'string', minLength: 1 } },
          {
            name: 'limit',
            in: 'query',
            schema: { type: 'integer', minimum: 1, maximum: 1_000, default: 100 },
          },
          {
            name: 'cursor',
            in: 'query',
            description: '`next` of the page before.',
            schema: { type: 'string', minLength: 1 },
          },
        ],
        responses: {
          '200': ok('One page.', 'RevocationPage'),
          ...refusals('unknown_member', 'invalid_value', 'taken_over'),
        },
      },
      post: {
        operationId: 'revoke',
        summary:
          'Revokes a token, or all tokens of a rule: here at once, on the disk, and elsewhere through the sources that can publish.',
        requestBody: body('RevocationRequest'),
        responses: {
          '200': ok('It was revoked already; its end or cut-off may be later now.', 'Revoked'),
          '201': ok('It is revoked.', 'Revoked'),
          '202': ok('It is revoked, but not every thread has confirmed in time.', 'Revoked'),
          ...refusals(...WITH_BODY, 'not_durable', 'list_full'),
        },
      },
    },
    '/revocations/explain': {
      post: {
        operationId: 'explain',
        summary: 'Whether a token would pass here now, and if not why.',
        requestBody: body('ExplainRequest'),
        responses: {
          '200': ok('The verdict.', 'Verdict'),
          ...refusals(...WITH_BODY, 'taken_over'),
        },
      },
    },
    '/revocations/{id}': {
      parameters: [idParameter],
      get: {
        operationId: 'getRevocation',
        summary: 'One revocation.',
        responses: {
          '200': ok('The revocation.', 'Revocation'),
          ...refusals('not_found', 'unknown_member', 'taken_over'),
        },
      },
      delete: {
        operationId: 'liftRule',
        summary: 'Takes a rule back. Tokens that were revoked one by one stay revoked.',
        requestBody: body('LiftRequest'),
        responses: {
          '200': ok('The rule has no effect any more.', 'Lifted'),
          ...refusals(
            ...WITH_BODY,
            'not_found',
            'not_a_rule',
            'not_durable',
            'list_full',
            'taken_over',
          ),
        },
      },
    },
    '/status': {
      get: {
        operationId: 'status',
        summary: 'Sources, list, threads and journal.',
        responses: { '200': ok('The status.', 'Status'), ...refusals('unknown_member') },
      },
    },
    '/ready': {
      get: {
        operationId: 'ready',
        summary:
          'Whether requests are served as the policy wants, and if not why. From this machine without token.',
        security: [{}, { operatorToken: [] }, { clientCertificate: [] }],
        responses: {
          ...refusals('unknown_member'),
          '200': ok('Ready.', 'Readiness'),
          '503': ok('Not ready.', 'Readiness'),
        },
      },
    },
    '/metrics': {
      get: {
        operationId: 'metrics',
        summary: 'Prometheus text format 0.0.4. From this machine without token.',
        security: [{}, { operatorToken: [] }, { clientCertificate: [] }],
        responses: {
          '200': {
            description: 'All metrics.',
            content: { 'text/plain': { schema: { type: 'string' } } },
          },
          ...refusals(),
        },
      },
    },
    '/openapi.json': {
      get: {
        operationId: 'openapi',
        summary: 'This document.',
        responses: {
          '200': {
            description: 'OpenAPI 3.1.',
            content: { 'application/json': { schema: { type: 'object' } } },
          },
          ...refusals('unknown_member'),
        },
      },
    },
  },
  components: {
    securitySchemes: {
      operatorToken: { type: 'http', scheme: 'bearer' },
      clientCertificate: { type: 'mutualTLS' },
    },
    schemas: SCHEMAS,
  },
} as const;
