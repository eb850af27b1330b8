import type { Caller } from './caller.ts';

/** What the data plane asks of this room. */
export interface Authenticator {
  /**
   * From the request's credential headers to a caller that may use the operation, or a {@link GatewayFault}. Answers synchronously when
   * the token is in the verified-token cache: the request path then holds no promise.
   * @param authorization every value of the credential header, in order (more than one is refused)
   * @param scopes what the route asks for; any one is enough
   * @param requestId message id for the DEBUG trace
   */
  authenticate(
    authorization: readonly string[],
    scopes: readonly string[],
    requestId: string,
  ): Caller | Promise<Caller>;
}
