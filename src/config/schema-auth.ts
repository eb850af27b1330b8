import type { Schema } from './field.ts';

/** Who may call: tokens, their issuers, and the key manager. */
export const AUTH_SCHEMA = {
  authConfig: {
    doc: 'The header that carries the token, and how key sets are kept fresh.',
    keys: {
      authorizationHeader: {
        kind: 'text',
        shape: 'headerName',
        default: 'Authorization',
        doc: 'Name of the header.',
      },
      removeAuthHeaderFromOutMessage: {
        kind: 'flag',
        default: true,
        doc: '`false` sends the header on to the upstream.',
      },
      jwksRefreshInterval: {
        kind: 'duration',
        default: '5m',
        bare: 'milliseconds',
        min: '1s',
        max: '7d',
        doc: 'How often each key set is fetched in the background. Not a WSO2 key.',
      },
      jwksMaxStale: {
        kind: 'duration',
        default: '1d',
        bare: 'milliseconds',
        min: '0ms',
        max: '30d',
        doc: 'How long the last keys stay in use while a key set cannot be fetched. Not a WSO2 key.',
      },
    },
  },
  jwtTokenConfig: {
    doc: 'An issuer of JWTs, one table each. Without any, one issuer with these defaults. Its keys are one of `certificateAlias`, `certificatePath` and `jwksURL`.',
    many: true,
    keys: {
      issuer: {
        kind: 'text',
        default: 'https://localhost:9443/oauth2/token',
        doc: 'Compared exactly with the claim `iss`.',
      },
      audience: {
        kind: 'list',
        of: 'texts',
        default: [],
        doc: 'A token must name one of these in `aud`. Empty: `aud` is not compared.',
      },
      certificateAlias: {
        kind: 'text',
        example: '"wso2apim310"',
        absent:
          '`wso2apim310`, unless one of the two next keys is set; the default issuer without `listenerConfig.trustStorePath`: `jwksURL = "https://localhost:9443/oauth2/jwks"`',
        doc: "Alias of the issuer's certificate in the trust store.",
      },
      certificatePath: {
        kind: 'path',
        example: '"${mgw-runtime.home}/conf/issuer.pem"',
        absent: 'not used',
        doc: "PEM file with the issuer's certificate or public key. Not a WSO2 key.",
      },
      jwksURL: {
        kind: 'url',
        example: '"https://localhost:9443/oauth2/jwks"',
        encrypted: true,
        absent: 'not used',
        doc: "The issuer's key set (RFC 7517). Plain http only to this machine.",
      },
      algorithms: {
        kind: 'list',
        of: [
          'RS256',
          'RS384',
          'RS512',
          'PS256',
          'PS384',
          'PS512',
          'ES256',
          'ES384',
          'ES512',
          'EdDSA',
        ],
        default: [],
        doc: "Algorithms for keys without `alg`. Empty: RS256 for RSA keys, the curve's for EC keys, EdDSA for OKP keys. Not a WSO2 key.",
      },
      requireSub: {
        kind: 'flag',
        default: true,
        doc: 'Whether a token must have `sub`. Not a WSO2 key.',
      },
      requireAud: {
        kind: 'flag',
        default: true,
        doc: 'Whether a token must have `aud`. Not a WSO2 key.',
      },
      requireExp: {
        kind: 'flag',
        default: true,
        doc: 'Whether a token must have `exp`. Where it need not, it must have `iat`, and lives for `tokenRevocationConfig.longestTokenLife`. Not a WSO2 key.',
      },
      requireJti: {
        kind: 'flag',
        default: true,
        doc: 'Whether a token must have `jti`. Not a WSO2 key.',
      },
      requireIat: {
        kind: 'flag',
        default: false,
        doc: 'Whether a token must have `iat`. Without it a token shows only what is left of its life, so one that lives longer than `tokenRevocationConfig.longestTokenLife` could outlive its revocation. Not a WSO2 key.',
      },
      consumerKeyClaim: {
        kind: 'text',
        example: '"azp"',
        absent: '`client_id`, then `azp`, then `consumerKey`',
        doc: 'Claim that names the calling client.',
      },
    },
  },
  keyManager: {
    doc: 'The key manager: introspection of opaque tokens, and the upstream of the token listener.',
    keys: {
      serverUrl: {
        kind: 'url',
        default: 'https://localhost:9443',
        doc: 'Its base URL.',
      },
      tokenContext: {
        kind: 'text',
        default: 'oauth2',
        doc: 'Path of its OAuth endpoints: introspection is at `<serverUrl>/<tokenContext>/introspect`.',
      },
      timestampSkew: {
        kind: 'duration',
        default: '5s',
        bare: 'milliseconds',
        min: '0ms',
        max: '1h',
        doc: 'Clock tolerance, where `server.timestampSkew` is -1.',
      },
      issuer: {
        kind: 'text',
        default: 'https://localhost:9443/oauth2/token',
        doc: 'Issuer of opaque tokens, for revocation sources that are confined by `issuers`.',
      },
      introspectionCacheAge: {
        kind: 'duration',
        default: '1m',
        bare: 'milliseconds',
        min: '0ms',
        max: '1d',
        doc: "How long an introspection answer is used again, and never past the token's `exp`. A revocation that a source tells ends it at once. 0 asks every time. Not a WSO2 key.",
      },
      timeout: {
        kind: 'duration',
        default: '10s',
        bare: 'milliseconds',
        min: '10ms',
        max: '5m',
        doc: 'Deadline of one introspection call. Not a WSO2 key.',
      },
    },
  },
  'keymanager.security.basic': {
    doc: 'HTTP Basic for introspection. The small `m` in the name is as in WSO2.',
    keys: {
      enabled: {
        kind: 'flag',
        default: true,
        doc: '`false` refuses opaque tokens: introspection needs credentials (RFC 7662 section 2.1).',
      },
      username: { kind: 'text', default: 'admin', doc: 'User at the key manager.' },
      password: {
        kind: 'text',
        default: 'admin',
        mayBeEmpty: true,
        secret: true,
        doc: 'Its password.',
      },
    },
  },
} as const satisfies Schema;
