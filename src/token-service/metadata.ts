import type { ServiceState } from './service-state.ts';

const WELL_KNOWN = '/.well-known/oauth-authorization-server';

/** Where the metadata is: RFC 8414 section 3.1 puts the well-known part before the issuer's path; without the path it is there as well. */
export function metadataPaths(issuer: string): string[] {
  const path = new URL(issuer).pathname.replace(/\/$/, '');
  return [...new Set([WELL_KNOWN, WELL_KNOWN + path])];
}

/** RFC 8414 section 2. No `authorization_endpoint`: no grant here uses one. */
export function metadata({
  issuer,
  principals,
}: Pick<ServiceState, 'issuer' | 'principals'>): object {
  const { origin } = new URL(issuer);
  const clientAuthentication = ['client_secret_basic', 'client_secret_post'];
  return {
    issuer,
    token_endpoint: `${origin}/oauth2/token`,
    jwks_uri: `${origin}/oauth2/jwks`,
    revocation_endpoint: `${origin}/oauth2/revoke`,
    introspection_endpoint: `${origin}/oauth2/introspect`,
    userinfo_endpoint: `${origin}/oauth2/userinfo`,
    scopes_supported: principals.scopes(),
    response_types_supported: [],
    grant_types_supported: ['client_credentials'],
    token_endpoint_auth_methods_supported: clientAuthentication,
    revocation_endpoint_auth_methods_supported: clientAuthentication,
    introspection_endpoint_auth_methods_supported: clientAuthentication,
  };
}
