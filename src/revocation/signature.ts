/** Orders n of the curves behind ES256, ES384 and ES512 (SEC 2), by the length of their P1363 signatures in bytes. */
const CURVE_ORDER: ReadonlyMap<number, bigint> = new Map([
  [64, 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n],
  [
    96,
    0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  ],
  [
    132,
    0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
  ],
]);

/** Length in bytes of the shortest signature we verify (ES256, Ed25519): anything shorter is not taken for one. */
export const SHORTEST_SIGNATURE = 64;

/**
 * One form for the two equally valid ECDSA signatures (r, s) and (r, n-s): the one with the smaller s. Without it, whoever holds a
 * revoked token could present its twin. Bytes that are not such a signature come back as they are.
 */
export function canonicalEcdsa(signature: Uint8Array): Uint8Array {
  const order = CURVE_ORDER.get(signature.length);
  if (order === undefined) return signature;
  const half = signature.length / 2;
  const s = BigInt(`0x${Buffer.from(signature.subarray(half)).toString('hex')}`);
  const twin = order - s;
  if (s <= twin || twin <= 0n) return signature;
  const canonical = new Uint8Array(signature);
  canonical.set(Buffer.from(twin.toString(16).padStart(half * 2, '0'), 'hex'), half);
  return canonical;
}
