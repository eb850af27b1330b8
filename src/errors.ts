/**
 * Every error a client or an operator can meet, as literals. `docs/errors.md` repeats this catalogue and a test holds the two together.
 * Two families that never mix: a {@link GatewayFault} refuses one request, an {@link OperatorError} stops a command or a start.
 */

interface FaultEntry {
  /** `fault.code` in the answer: WSO2's number, or the HTTP status where WSO2 has none. */
  readonly code: number;
  /** HTTP status of the answer. */
  readonly status: number;
  /** `fault.message` in the answer. */
  readonly message: string;
  /** `fault.description` in the answer. */
  readonly description: string;
}

/** What a client can be answered instead of the upstream's response. */
export const FAULTS = {
  badRequest: {
    code: 400,
    status: 400,
    message: 'Bad Request',
    description: 'The request is malformed',
  },
  ambiguousPath: {
    code: 400,
    status: 400,
    message: 'Bad Request',
    description:
      'The request path has dot segments, empty segments, or an encoded slash, backslash or NUL',
  },
  notFound: {
    code: 404,
    status: 404,
    message: 'Runtime Error',
    description: 'No matching resource found for given API Request',
  },
  methodNotAllowed: {
    code: 405,
    status: 405,
    message: 'Runtime Error',
    description: 'Method not allowed for given API resource',
  },
  payloadTooLarge: {
    code: 413,
    status: 413,
    message: 'Payload Too Large',
    description: 'The request body is larger than this gateway accepts',
  },
  uriTooLong: {
    code: 414,
    status: 414,
    message: 'URI Too Long',
    description: 'The request target is longer than this gateway accepts',
  },
  headersTooLarge: {
    code: 431,
    status: 431,
    message: 'Request Header Fields Too Large',
    description: 'The request has more or larger header fields than this gateway accepts',
  },
  invalidCredentials: {
    code: 900901,
    status: 401,
    message: 'Invalid Credentials',
    description: 'Invalid Credentials. Make sure you have given the correct access token',
  },
  missingCredentials: {
    code: 900902,
    status: 401,
    message: 'Missing Credentials',
    description: 'Missing Credentials. Make sure your API request provides required credentials',
  },
  insufficientScope: {
    code: 900910,
    status: 403,
    message: 'The access token does not allow you to access the requested resource',
    description: 'The access token does not allow you to access the requested resource',
  },
  noProductionEndpoint: {
    code: 900901,
    status: 403,
    message: 'Forbidden',
    description: 'Production key offered to the API with no production endpoint',
  },
  noSandboxEndpoint: {
    code: 900901,
    status: 403,
    message: 'Forbidden',
    description: 'Sandbox key offered to the API with no sandbox endpoint',
  },
  unclassifiedAuthFailure: {
    code: 900900,
    status: 500,
    message: 'Unclassified Authentication Failure',
    description: 'Unclassified Authentication Failure',
  },
  revocationStatusUnknown: {
    code: 900990,
    status: 503,
    message: 'Revocation Status Unknown',
    description: 'Revocation Status Unknown. Try again later',
  },
  serviceUnavailable: {
    code: 503,
    status: 503,
    message: 'Service Unavailable',
    description: 'The gateway cannot answer this request now. Try again later',
  },
  upstreamFailed: {
    code: 101503,
    status: 502,
    message: 'Runtime Error',
    description: 'Error connecting to the back end',
  },
  upstreamTimedOut: {
    code: 101504,
    status: 504,
    message: 'Runtime Error',
    description: 'Connection timed out',
  },
} as const satisfies Record<string, FaultEntry>;

export type FaultName = keyof typeof FAULTS;

/** What goes into `WWW-Authenticate: Bearer` beside the realm (RFC 6750 section 3). Absent `error` means: no credentials were offered. */
export interface BearerChallenge {
  readonly error?: 'invalid_request' | 'invalid_token' | 'insufficient_scope';
  readonly errorDescription?: string;
  /** Scopes the route asks for, blank-separated. */
  readonly scope?: string;
}

/**
 * One refused request. The client sees the catalogue's text only; `detail` is for the log and must never hold a token.
 */
export class GatewayFault extends Error {
  readonly fault: FaultName;
  readonly detail: string;
  readonly challenge: BearerChallenge | undefined;
  /** Seconds for `Retry-After`, where the fault may pass by itself. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    fault: FaultName,
    detail: string,
    extra: { challenge?: BearerChallenge; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(detail, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.name = 'GatewayFault';
    this.fault = fault;
    this.detail = detail;
    this.challenge = extra.challenge;
    this.retryAfterSeconds = extra.retryAfterSeconds;
  }
}

/** Why a command or a start was refused. The value says what to do about it. */
export const OPERATOR_ERRORS = {
  ERR_INTERNAL: 'A fault in Portcullis itself: report it with the log line.',
} as const satisfies Record<string, string>;

export type OperatorErrorCode = keyof typeof OPERATOR_ERRORS;

/** A refusal that an operator or developer can mend: it names the place and the remedy, never a secret. */
export class OperatorError extends Error {
  readonly code: OperatorErrorCode;
  readonly file: string | undefined;
  /** 1-based line in `file`. */
  readonly line: number | undefined;

  constructor(
    code: OperatorErrorCode,
    message: string,
    place: { file?: string; line?: number; cause?: unknown } = {},
  ) {
    const where =
      place.file === undefined
        ? ''
        : `${place.file}${place.line === undefined ? '' : `:${place.line}`}: `;
    super(where + message, place.cause === undefined ? undefined : { cause: place.cause });
    this.name = 'OperatorError';
    this.code = code;
    this.file = place.file;
    this.line = place.line;
  }
}
