/**
 * Every error a client or an operator can meet, as literals. `docs/errors.md` repeats this catalogue and a test holds the two together.
 * Three families that never mix: a {@link GatewayFault} refuses one request, an {@link ApiRefusal} one call of the operator's API, an
 * {@link OperatorError} stops a command or a start.
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
  requestTimedOut: {
    code: 408,
    status: 408,
    message: 'Request Timeout',
    description: 'The request did not arrive in time',
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
  expectationFailed: {
    code: 417,
    status: 417,
    message: 'Expectation Failed',
    description: 'The gateway knows no other expectation than 100-continue',
  },
  upgradeRequired: {
    code: 426,
    status: 426,
    message: 'Upgrade Required',
    description: 'The gateway knows version 13 of the WebSocket protocol only',
  },
  tooManyFailures: {
    code: 429,
    status: 429,
    message: 'Too Many Requests',
    description: 'Too many tokens from this address could not be verified. Try again later',
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
  internalError: {
    code: 500,
    status: 500,
    message: 'Internal Server Error',
    description: 'The gateway could not handle this request',
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
  /** Value of `Allow`, where the method was wrong (RFC 9110 section 15.5.6). */
  readonly allow: string | undefined;
  /** It has no line in the log: another one says how many of its kind there were. Set by whoever counts them. */
  unsaid: boolean;

  constructor(
    fault: FaultName,
    detail: string,
    extra: {
      challenge?: BearerChallenge;
      retryAfterSeconds?: number;
      allow?: string;
      unsaid?: boolean;
      cause?: unknown;
    } = {},
  ) {
    super(detail, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.name = 'GatewayFault';
    this.fault = fault;
    this.detail = detail;
    this.challenge = extra.challenge;
    this.retryAfterSeconds = extra.retryAfterSeconds;
    this.allow = extra.allow;
    this.unsaid = extra.unsaid ?? false;
  }
}

/** Why a call of the operator's API was refused: `code` in the answer, and its HTTP status. */
export const API_REFUSALS = {
  malformed_request: 400,
  malformed_body: 400,
  unknown_member: 400,
  missing_value: 400,
  invalid_value: 400,
  unauthorized: 401,
  not_found: 404,
  method_not_allowed: 405,
  request_timed_out: 408,
  not_a_rule: 409,
  body_too_large: 413,
  unsupported_media_type: 415,
  wrong_host: 421,
  headers_too_large: 431,
  internal_error: 500,
  not_durable: 503,
  list_full: 503,
  taken_over: 503,
} as const satisfies Record<string, number>;

export type ApiRefusalCode = keyof typeof API_REFUSALS;

/** One refused call of the operator's API. The operator sees all of it, so nothing in it may hold a token. */
export class ApiRefusal extends Error {
  readonly code: ApiRefusalCode;
  /** Member of the body, or parameter, that is to be mended. */
  readonly field: string | undefined;

  constructor(code: ApiRefusalCode, message: string, field?: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'ApiRefusal';
    this.code = code;
    this.field = field;
  }
}

/** Why a command or a start was refused. The value says what to do about it. */
export const OPERATOR_ERRORS = {
  ERR_USAGE: 'Call the command as `micro-gw help <command>` says.',
  ERR_PROJECT: 'Make the project with `micro-gw init`, and build it from its parent folder.',
  ERR_DOWNLOAD: 'Check the address, the headers and the certificate of the API definition.',
  ERR_DEFINITION: 'Mend the API definition at the file and line named.',
  ERR_NOT_BUILT_YET: 'Take the named feature out of the project: it is refused, not ignored.',
  ERR_EXTENSION: 'Mend the extension at the file and line named.',
  ERR_ARTIFACT: 'Give the gateway the file that `micro-gw build` wrote.',
  ERR_CONFIG_NOT_FOUND: 'Let MGW_CONF_DIR name the folder that holds micro-gw.conf, or unset it.',
  ERR_CONFIG_UNREADABLE: 'Make micro-gw.conf a UTF-8 text file that the gateway may read.',
  ERR_CONFIG_SYNTAX: 'Make the line valid TOML; a key may be defined once.',
  ERR_CONFIG_UNKNOWN_KEY: 'Use the name from docs/configuration.md, or remove the key.',
  ERR_CONFIG_WRONG_TYPE: 'Write the value in the type that docs/configuration.md gives.',
  ERR_CONFIG_BAD_VALUE: 'Write a value that docs/configuration.md allows for the key.',
  ERR_CONFIG_CONTRADICTION: 'Change one of the two settings named: they cannot both hold.',
  ERR_CONFIG_PLACEHOLDER:
    'Set the variable, or make the file readable, that the placeholder names.',
  ERR_CONFIG_FLAG: 'Write overrides as `--section.key=value`.',
  ERR_ISSUER_KEY:
    'Give the issuer a certificate or public key in PEM (RSA of 2,048 bits or more, P-256, P-384, P-521 or Ed25519), or a jwksURL.',
  ERR_INTROSPECTION: 'Give the introspection endpoint as an absolute URL (keyManager.serverUrl).',
  ERR_ISSUER_TWICE: 'Name each issuer in one [[jwtTokenConfig]] only.',
  ERR_ISSUER_ALGORITHM:
    'Use RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA.',
  ERR_JMS_URL:
    "Mend jmsConnectionProviderUrl: amqp://user:password@clientid/vhost?brokerlist='tcp://host:5672'",
  ERR_DURABLE_SUBSCRIPTION:
    'Name the durable subscription with 1 to 100 letters, digits, dots, dashes and underscores, each gateway its own.',
  ERR_KEY_STORE:
    'Check path, password and alias of the key store or trust store, as `keytool -list` shows them.',
  ERR_LOCAL_AUTHORITY: 'Let this user write the folder named, or configure key stores of your own.',
  ERR_EXTENSION_MISSING:
    'Write extensions/token_revocation_extension.ts and build again, or use another source type.',
  ERR_INTERNAL: 'A fault in Portcullis itself: report it with the log line.',
  ERR_SOURCE_ADDRESS:
    'Write the address of the source of revocations as the documentation of its type says (docs/sources.md).',
  ERR_LISTEN:
    'Free the address, or set another host or port in [listenerConfig]; ports below 1024 need privileges.',
  ERR_RELOAD: 'Undo the change that the message names, or restart the gateway to have it.',
  ERR_DATA_PLANE: 'Look in the log for what ended the threads; an extension may be at fault.',
  ERR_ENDPOINT_URL:
    'Write each endpoint as http://host[:port][/path] or https://..., without user, query or fragment.',
  ERR_DUPLICATE_ROUTE:
    'Two operations have the same method and path: give one API another x-wso2-basePath or remove one.',
  ERR_TRUSTED_PROXY:
    'Write each entry of trustedProxies as an IP address or CIDR range: 10.0.0.0/8.',
  ERR_OPERATOR_TLS:
    "Give the operator's listener a key store (operatorConfig.keyStorePath), or a loopback host.",
  ERR_OPERATOR_LISTEN: 'Free the address, or set another host or port in [operatorConfig].',
  ERR_OPERATOR_TOKEN:
    'Let this user alone read the file (chmod 600), or delete it: the next start of the gateway makes a new one.',
  ERR_OPERATOR_UNREACHABLE:
    'Start the gateway, or say where it is with --operator-url; with TLS, name the authority with --operator-ca.',
  ERR_OPERATOR_REFUSED: "Mend what the gateway's answer names; its codes are in docs/errors.md.",
  ERR_TOKEN_SERVICE_OPTION: 'Correct the option of micro-gw token-service that the message names.',
  ERR_TOKEN_SERVICE_CREDENTIALS: 'Correct the credentials file as docs/token-service.md says.',
  ERR_TOKEN_SERVICE_WELL_KNOWN_PASSWORD:
    'Choose a random secret, or listen on a loopback address only (--host 127.0.0.1).',
  ERR_TOKEN_SERVICE_FILE_MODE: 'Let only the owner use the file: chmod 600.',
  ERR_TOKEN_SERVICE_STATE:
    'Give each token service a state file of its own, readable and writable.',
  ERR_TOKEN_SERVICE_LISTEN: 'Choose a free port and an address of this machine.',
  ERR_ACCESS_LOG:
    'Let [b7a.http.accesslog] path name a file in a folder that is there and that the gateway may write to; a pipe needs a reader first.',
  ERR_STATE_FOLDER:
    'Give each gateway a state folder of its own that it may read and write, or stop the other gateway (--takeover waits for it).',
  ERR_LIST_MEMORY:
    'Let the process have more address space (`ulimit -v`, `vm.overcommit_memory`), some 21 bytes an entry, or lower maxEntries.',
} as const satisfies Record<string, string>;

export type OperatorErrorCode = keyof typeof OPERATOR_ERRORS;

/** A refusal that an operator or developer can mend: it names the place and the remedy, never a secret. */
export class OperatorError extends Error {
  readonly code: OperatorErrorCode;
  readonly file: string | undefined;
  /** 1-based line in `file`. */
  readonly line: number | undefined;
  /** Where one error stands for several: each of them, its message with its place. `code`, `file` and `line` are the first one's then. */
  readonly each:
    | readonly { readonly code: OperatorErrorCode; readonly message: string }[]
    | undefined;

  constructor(
    code: OperatorErrorCode,
    message: string,
    place: {
      file?: string;
      line?: number;
      cause?: unknown;
      each?: NonNullable<OperatorError['each']>;
    } = {},
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
    this.each = place.each;
  }
}

/** What an error that nobody caught was, and where, in one line for the log. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const [, place] = /\n\s*at ([^\n]+)/.exec(error.stack ?? '') ?? [];
  const said = `${error.name}: ${error.message}`;
  return place === undefined ? said : `${said} (at ${place})`;
}
