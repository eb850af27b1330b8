import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { OperatorError } from '../errors.ts';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Whether an IP address is this machine's own loopback, also in the IPv6 form of IPv4 addresses. */
export function isLoopback(address: string | undefined): boolean {
  const plain = address?.replace(/%.*$/s, '') ?? '';
  const version = isIP(plain);
  return version !== 0 && LOOPBACK.check(plain, version === 6 ? 'ipv6' : 'ipv4');
}

/** Whether the host of a URL is this machine's own: `localhost`, 127.0.0.0/8 or `[::1]`. */
export function isLoopbackHost(host: string): boolean {
  return host.toLowerCase() === 'localhost' || isLoopback(plainHost(host));
}

/** `[::1]` and `::1` are one host. */
function plainHost(host: string): string {
  return host.replace(/^\[(.*)\]$/s, '$1');
}

/** The address that a host to listen on means. A name that means several is looked up once, so that what was judged is what is bound. */
export async function addressToBind(host: string): Promise<string> {
  const plain = plainHost(host);
  if (isIP(plain.replace(/%.*$/s, '')) !== 0) return plain;
  try {
    return (await lookup(plain)).address;
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown reason';
    throw new OperatorError(
      'ERR_OPERATOR_LISTEN',
      `cannot listen on ${host} for the operator: ${code}`,
      { cause },
    );
  }
}

/** Ports that a Host field leaves out. */
const DEFAULT_PORT = { http: 80, https: 443 } as const;

/**
 * Values of `Host` that a call may carry. A page in a browser on this machine can have any name of its own point here (DNS rebinding), but
 * it cannot choose the field. Lower case, with port.
 * @param host what is listened on
 * @param configured names or `name:port`; a name stands for itself with the listener's port
 */
export function allowedHosts(
  host: string,
  port: number,
  scheme: 'http' | 'https',
  configured: readonly string[],
): ReadonlySet<string> {
  const names = ['localhost', '127.0.0.1', '[::1]'];
  const listened = plainHost(host).replace(/%.*$/s, '');
  if (!/^(?:0\.0\.0\.0|[0:]*)$/.test(listened)) names.push(bracketed(listened));
  const exact: string[] = [];
  for (const entry of configured) {
    if (/^(?:\[[^\]]*\]|[^:]*):\d+$/.test(entry)) exact.push(entry);
    else names.push(bracketed(plainHost(entry)));
  }
  const all = [...exact, ...names.map((name) => `${name}:${port}`)];
  if (port === DEFAULT_PORT[scheme]) all.push(...names);
  return new Set(all.map((name) => name.toLowerCase()));
}

function bracketed(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}
