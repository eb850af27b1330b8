import { API_REFUSALS } from '../errors.ts';
import { REVOCATION_KINDS, VERDICT_REASONS } from './operations.ts';

/** JSON Schema (draft 2020-12) of everything that goes in and out of the operator's API. */

const instant = {
  type: 'string',
  format: 'date-time',
  description: 'RFC 3339, UTC, milliseconds.',
} as const;

const instantIn = {
  oneOf: [
    { type: 'integer', minimum: 100_000_000_000, description: 'Epoch milliseconds.' },
    { type: 'string', format: 'date-time', description: 'RFC 3339.' },
  ],
} as const;

const filledText = { type: 'string', pattern: String.raw`\S` } as const;
const reason = {
  type: 'string',
  pattern: String.raw`\S`,
  maxLength: 256,
  description:
    'Why; no place for a token. Of a rule or lift kept and shown, of a token in the log only.',
} as const;
const id = { type: 'string', pattern: '^[rlt]-[A-Za-z0-9_-]{16}$' } as const;
const count = { type: 'integer', minimum: 0 } as const;
const claims = {
  type: 'object',
  additionalProperties: { type: 'string' },
  description:
    'Claims and the value each must have; in an array claim, as one of its members. `client` stands for `client_id`, `azp` and the configured consumer key claim.',
} as const;

function closed<P extends Readonly<Record<string, unknown>>>(
  properties: P,
  required: readonly (keyof P & string)[],
) {
  return { type: 'object', additionalProperties: false, required, properties } as const;
}

function ref(name: string) {
  return { $ref: `#/components/schemas/${name}` } as const;
}

const tokenRevocation = {
  ...closed(
    {
      token: {
        ...filledText,
        description: 'A jti, a signature, a whole JWT or an opaque token. Written to no log.',
      },
      issuer: { ...filledText, description: "Only this issuer's tokens. Absent: every issuer's." },
      endsAt: {
        ...instantIn,
        description: 'End of its life. Absent: the longest token life from now.',
      },
      reason,
      wait: { const: 'threads', description: 'Answer once every data-plane thread acts on it.' },
      timeoutMs: { type: 'integer', minimum: 1, maximum: 30_000, default: 5_000 },
    },
    ['token'],
  ),
  dependentRequired: { timeoutMs: ['wait'] },
} as const;

const ruleRevocation = {
  ...closed(
    {
      subject: { ...filledText, description: '`sub` of the tokens.' },
      session: { ...filledText, description: '`sid` of the tokens.' },
      client: {
        ...filledText,
        description: '`client_id`, `azp` or the consumer key of the tokens.',
      },
      claims: {
        ...claims,
        additionalProperties: { anyOf: [filledText, { type: 'number' }, { type: 'boolean' }] },
        propertyNames: { pattern: String.raw`\S`, not: { const: 'iss' } },
        minProperties: 1,
        maxProperties: 8,
      },
      issuer: tokenRevocation.properties.issuer,
      issuedBefore: {
        ...instantIn,
        description:
          'Tokens issued up to and with this moment are denied, and those that do not say when. Absent: now; must be there for a rule with an issuer alone.',
      },
      endsAt: {
        ...instantIn,
        description:
          'When it may be forgotten. Absent, and at most: the longest token life after the cut-off.',
      },
      reason,
      wait: tokenRevocation.properties.wait,
      timeoutMs: tokenRevocation.properties.timeoutMs,
    },
    [],
  ),
  dependentRequired: { timeoutMs: ['wait'] },
  anyOf: [
    { required: ['subject'] },
    { required: ['session'] },
    { required: ['client'] },
    { required: ['claims'] },
    { required: ['issuer', 'issuedBefore'] },
  ],
} as const;

export const SCHEMAS = {
  RevocationRequest: { oneOf: [tokenRevocation, ruleRevocation] },
  LiftRequest: closed({ reason }, ['reason']),
  ExplainRequest: closed({ token: { ...filledText, description: 'A JWT.' } }, ['token']),
  Published: closed(
    { source: { type: 'string' }, ok: { type: 'boolean' }, reason: { type: 'string' } },
    ['source', 'ok'],
  ),
  Revoked: closed(
    {
      id,
      kind: { enum: REVOCATION_KINDS.filter((kind) => kind !== 'lift') },
      applied: {
        enum: ['added', 'extended', 'known'],
        description: '`known`: it was revoked for at least as long already.',
      },
      issuedBefore: instant,
      endsAt: instant,
      published: {
        type: 'array',
        items: ref('Published'),
        description: 'One for each source that can publish.',
      },
      confirmedThreads: closed({ confirmed: count, of: count }, ['confirmed', 'of']),
    },
    ['id', 'kind', 'applied', 'endsAt', 'published'],
  ),
  Lifted: closed(
    { id, lifted: id, endsAt: instant, published: { type: 'array', items: ref('Published') } },
    ['id', 'lifted', 'endsAt', 'published'],
  ),
  Revocation: closed(
    {
      id,
      kind: { enum: REVOCATION_KINDS },
      source: { type: 'string', description: 'Where it was learnt; `operator`: from this API.' },
      learntAt: instant,
      issuedBefore: instant,
      endsAt: instant,
      issuer: { type: 'string', description: "Absent: every issuer's tokens." },
      claims,
      by: { type: 'string', description: 'Which operator.' },
      reason: { type: 'string' },
    },
    ['id', 'kind', 'source', 'learntAt', 'endsAt'],
  ),
  RevocationPage: closed(
    {
      revocations: { type: 'array', maxItems: 1_000, items: ref('Revocation') },
      next: { type: 'string', description: '`cursor` of the next page. Absent on the last one.' },
    },
    ['revocations'],
  ),
  Verdict: closed(
    {
      verdict: { enum: ['pass', 'refuse'] },
      reason: { enum: VERDICT_REASONS },
      status: { enum: [401, 503], description: 'What a request with it would get.' },
      detail: { type: 'string' },
      revocation: { ...ref('Revocation'), description: 'What denies it.' },
      source: { type: 'string', description: 'The source that is behind.' },
      since: { ...instant, description: 'Since when it is so.' },
    },
    ['verdict', 'reason', 'detail'],
  ),
  Readiness: closed(
    { ready: { type: 'boolean' }, reasons: { type: 'array', items: ref('Reason') } },
    ['ready', 'reasons'],
  ),
  Reason: closed(
    {
      code: { type: 'string', pattern: '^[a-z_]+$' },
      message: { type: 'string' },
      source: { type: 'string' },
      since: instant,
    },
    ['code', 'message'],
  ),
  Status: closed(
    {
      version: { type: 'string' },
      installation: { type: 'string' },
      startedAt: instant,
      ready: { type: 'boolean' },
      reasons: { type: 'array', items: ref('Reason') },
      policy: closed(
        { maxStalenessMs: count, whenStale: { enum: ['deny', 'introspect', 'allow'] } },
        ['maxStalenessMs', 'whenStale'],
      ),
      stalenessMs: { ...count, description: 'Absent before the first complete read.' },
      list: closed({ tokens: count, rules: count, maxEntries: count, residentBytes: count }, [
        'tokens',
        'rules',
        'maxEntries',
        'residentBytes',
      ]),
      sources: { type: 'array', items: ref('Source') },
      threads: closed({ live: count, wanted: count, replaced: count }, [
        'live',
        'wanted',
        'replaced',
      ]),
      journal: closed({ healthy: { type: 'boolean' }, trouble: { type: 'string' } }, ['healthy']),
    },
    [
      'version',
      'installation',
      'startedAt',
      'ready',
      'reasons',
      'policy',
      'list',
      'sources',
      'threads',
      'journal',
    ],
  ),
  Source: closed(
    {
      name: { type: 'string' },
      type: { type: 'string' },
      required: { type: 'boolean' },
      state: { enum: ['connecting', 'reading', 'standing', 'broken'] },
      freshAsOf: instant,
      gap: { type: 'boolean' },
      publishes: { type: 'boolean' },
      trouble: { type: 'string' },
    },
    ['name', 'type', 'required', 'state', 'gap', 'publishes'],
  ),
  Refusal: closed(
    {
      code: { enum: Object.keys(API_REFUSALS) },
      message: { type: 'string' },
      field: { type: 'string', description: 'What is to be mended.' },
    },
    ['code', 'message'],
  ),
} as const;
