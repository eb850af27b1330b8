import { createHash, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';

/** What an outgoing TLS connection trusts and shows, all PEM. */
export interface ContextOptions {
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Contexts of this thread that may still be in use, by what they are made of. One with Node's own roots takes more than a megabyte outside
 * of the heap, which the collector does not see, and tens of milliseconds.
 */
const made = new Map<string, WeakRef<SecureContext>>();

/**
 * What to connect with: the same context for the same certificates, for as long as somebody has it.
 * @throws Error when a certificate or key cannot be used; it says why and shows none of them
 */
export function secureContext(options: ContextOptions): { secureContext?: SecureContext } {
  const { ca, cert, key } = options;
  if (ca === undefined && cert === undefined && key === undefined) return {};
  const name = createHash('sha256')
    .update(JSON.stringify([ca ?? null, cert ?? null, key ?? null]))
    .digest('base64');
  const known = made.get(name)?.deref();
  if (known !== undefined) return { secureContext: known };
  try {
    // Node passes over an entry that is no certificate; a trust list with a hole is worse than none.
    for (const pem of ca ?? []) void new X509Certificate(pem);
    const context = createSecureContext({
      ...(ca !== undefined && { ca: [...ca], allowPartialTrustChain: true }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    });
    for (const [other, reference] of made) if (reference.deref() === undefined) made.delete(other);
    made.set(name, new WeakRef(context));
    return { secureContext: context };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
    throw new Error(`the TLS certificates or the key of an HTTP client cannot be used${code}`, {
      cause: error,
    });
  }
}
