import { isIPv6 } from 'node:net';

/** Groups of an IPv6 address that name a site: 64 bits. Its other 64 are the client's to choose. */
const SITE_GROUPS = 4;

/**
 * What is counted as one client: an IPv4 address, also as IPv6 writes it (`::ffff:192.0.2.1`), or the /64 of an IPv6 address. Anything
 * else is as it is.
 */
export function addressBlock(address: string): string {
  if (!address.includes(':') || !isIPv6(address)) return address;
  const groups = groupsOf(address);
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (mapped) {
    const [high = 0, low = 0] = groups.slice(6);
    return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
  }
  const site = groups.slice(0, SITE_GROUPS).map((group) => group.toString(16));
  return `${site.join(':')}::/64`;
}

/** The eight groups of an IPv6 address (RFC 4291 section 2.2), without its zone. */
function groupsOf(address: string): number[] {
  const [plain = ''] = address.split('%');
  const [left = '', right] = plain.split('::');
  const before = groupsIn(left);
  if (right === undefined) return before;
  const after = groupsIn(right);
  const zeros = Math.max(0, 8 - before.length - after.length);
  return [...before, ...Array.from({ length: zeros }, () => 0), ...after];
}

function groupsIn(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}
