import { BlockList, isIP, isIPv6 } from 'node:net';
import { OperatorError } from '../errors.ts';

/** Which peers may say on whose behalf they call (`trustedProxies`). */
export class TrustedProxies {
  readonly #list = new BlockList();
  readonly #empty: boolean;

  /**
   * @param ranges IP addresses and CIDR ranges
   * @throws OperatorError `ERR_TRUSTED_PROXY`
   */
  constructor(ranges: readonly string[]) {
    this.#empty = ranges.length === 0;
    for (const range of ranges) {
      const [address = '', prefix] = range.split('/');
      const bits = isIPv6(address) ? 128 : 32;
      const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
      if (isIP(address) === 0 || length < 0 || length > bits || range.split('/').length > 2) {
        throw new OperatorError('ERR_TRUSTED_PROXY', `trustedProxies: "${range}" is no range`);
      }
      this.#list.addSubnet(address, length, family(address));
    }
  }

  trusts(address: string): boolean {
    return !this.#empty && isIP(address) !== 0 && this.#list.check(address, family(address));
  }

  /**
   * The client's address: the peer's, or behind trusted proxies the last address of `X-Forwarded-For` that none of them has.
   * @param forwardedFor what the trusted peer sent
   */
  clientAddress(peer: string, forwardedFor: string | undefined): string {
    let address = peer;
    const hops = forwardedFor?.split(',').slice(-20) ?? [];
    for (let hop = hops.pop(); hop !== undefined && this.trusts(address); hop = hops.pop()) {
      const said = withoutPort(hop.trim());
      if (said === '') continue; // an empty element of a list says nothing (RFC 9110 section 5.6.1)
      if (isIP(said) === 0) break;
      address = said;
    }
    return address;
  }
}

/** Some proxies write `192.0.2.1:49152`, `[2001:db8::1]` or `[2001:db8::1]:49152`. */
function withoutPort(said: string): string {
  return (
    /^\[([^\]]*)\](?::\d{1,5})?$/.exec(said)?.[1] ?? /^([\d.]+):\d{1,5}$/.exec(said)?.[1] ?? said
  );
}

/** The address without the IPv6 notation of an IPv4 peer (`::ffff:127.0.0.1`). */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return 'unknown';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

function family(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4';
}
