/**
 * Small primes for which the moduli made by the flawed Infineon library (CVE-2017-15361, "ROCA") stay in a proper subgroup: modulo each
 * of them such a modulus is a power of 65537.
 */
const PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

const GENERATOR = 65_537;

const POWERS: ReadonlyMap<number, ReadonlySet<number>> = new Map(
  PRIMES.map((prime) => [prime, powersOf(GENERATOR % prime, prime)]),
);

function powersOf(generator: number, prime: number): Set<number> {
  const powers = new Set<number>();
  for (let power = 1; !powers.has(power); power = (power * generator) % prime) powers.add(power);
  return powers;
}

/** Whether an RSA modulus has the ROCA fingerprint: its private key can be computed from it. A sound modulus has it by chance about once in 10^8. */
export function hasRocaFingerprint(modulus: bigint): boolean {
  for (const [prime, powers] of POWERS)
    if (!powers.has(Number(modulus % BigInt(prime)))) return false;
  return true;
}
