import { OperatorError } from '../errors.ts';
import { isSupportedAlgorithm } from './algorithm.ts';
import type { AuthenticatorOptions, IssuerOptions } from './authenticator-options.ts';
import { IssuerCertificate } from './issuer-certificate.ts';
import type { TrustedIssuer } from './jwt.ts';
import type { KeyRing } from './key-ring.ts';
import { RemoteKeySet } from './remote-key-set.ts';

/** What of an authenticator's options is about issuers. */
export type TrustOptions = Pick<
  AuthenticatorOptions,
  'issuers' | 'introspection' | 'http' | 'log' | 'quiet' | 'keySetTimings' | 'monotonicNow'
>;

const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/**
 * Checks the configured issuers and sets up their keys. Everything is checked before the first fetch starts, so that a refused
 * configuration leaves nothing running.
 * @throws OperatorError `ERR_ISSUER_KEY`, `ERR_ISSUER_TWICE`, `ERR_ISSUER_ALGORITHM`, `ERR_INTROSPECTION`
 */
export function trustIssuers(options: TrustOptions): readonly TrustedIssuer[] {
  const names = new Set<string>();
  for (const issuer of options.issuers) checkIssuer(issuer, names);
  if (options.introspection !== undefined && !URL.canParse(options.introspection.url))
    throw new OperatorError('ERR_INTROSPECTION', 'the introspection address is no URL');
  if (options.quiet !== true) warnOfPlainText(options);
  const openers = options.issuers.map((rules) => ({ rules, open: prepareRing(rules, options) }));
  return openers.map(({ rules, open }) => ({ rules, ring: open() }));
}

function checkIssuer({ issuer, algorithms = [], keys }: IssuerOptions, names: Set<string>): void {
  const quoted = JSON.stringify(issuer);
  if (names.has(issuer))
    throw new OperatorError('ERR_ISSUER_TWICE', `issuer ${quoted} is configured twice`);
  names.add(issuer);
  for (const name of algorithms)
    if (!isSupportedAlgorithm(name))
      throw new OperatorError(
        'ERR_ISSUER_ALGORITHM',
        `algorithm ${JSON.stringify(name)} of issuer ${quoted} is not supported`,
      );
  if (keys.kind === 'jwks' && !URL.canParse(keys.url))
    throw new OperatorError('ERR_ISSUER_KEY', `the JWKS address of issuer ${quoted} is no URL`);
}

/** Whoever sits between could hand us keys of their own, or read the key manager's password. */
function warnOfPlainText({ issuers, introspection, log }: TrustOptions): void {
  const urls = issuers.flatMap(({ keys }) => (keys.kind === 'jwks' ? [keys.url] : []));
  if (introspection !== undefined) urls.push(introspection.url);
  for (const { protocol, host, hostname } of urls.map((url) => new URL(url)))
    if (protocol !== 'https:' && !LOOPBACK.test(hostname))
      log.warn('IssuerKeys', `${host} is called without TLS: anyone on the way can forge tokens`);
}

function prepareRing(rules: IssuerOptions, options: TrustOptions): () => KeyRing {
  const { issuer, keys, algorithms } = rules;
  if (keys.kind === 'certificate') {
    const ring = new IssuerCertificate(issuer, keys.pem, algorithms);
    return () => ring;
  }
  if (keys.kind === 'ring') return () => keys.ring;
  const { http, log, keySetTimings, monotonicNow = () => performance.now() } = options;
  return () =>
    new RemoteKeySet({
      issuer,
      url: keys.url,
      ...(algorithms === undefined ? {} : { algorithms }),
      http,
      log,
      timings: { ...keySetTimings, ...keys.timings },
      ...(keys.initial === undefined ? {} : { initial: keys.initial }),
      ...(keys.onRead === undefined ? {} : { onRead: keys.onRead }),
      monotonicNow,
    });
}
