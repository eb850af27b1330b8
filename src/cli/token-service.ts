import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { findHome } from '../config/locate.ts';
import { OperatorError } from '../errors.ts';
import {
  hashSecret,
  type KeyStoreFile,
  type LaunchedTokenService,
  launchTokenService,
  SIGNING_ALGORITHMS,
  type SigningAlgorithm,
  tokenServiceLog,
  type TokenServiceLaunch,
} from '../token-service.ts';
import type { Io } from './io.ts';

const HELP = `Usage: micro-gw token-service [options]

Runs the embedded token service: OAuth 2 client credentials, JWKS, introspection, and revocation that reaches every gateway.

Options:
      --port <port>                 HTTPS port (default 9443; 0 takes a free one)
      --host <address>              address to listen on (default 127.0.0.1)
      --apim-port <port>            second HTTPS port with /token and /revoke, as WSO2's 8243
      --issuer <url>                issuer (default https://localhost:<port>/oauth2/token)
      --state <folder|file>         state, one SQLite file (default $MGW_HOME/token-service)
      --clients <file>              clients, admin and readers, JSON or TOML (default: made at random beside the state)
      --ttl <seconds>               life of a token (default 3600)
      --longest-token-life <seconds>  no token lives longer (default 2592000)
      --algorithm <alg>             ${SIGNING_ALGORITHMS.join(', ')} (default RS256)
      --key-life <seconds>          how long one key signs (default 7776000)
      --key-lead <seconds>          how long a key is published before it signs (default 86400)
      --signing-key-store <file>    sign with this key instead of rotating ones
      --signing-key-alias <alias>   which key of it
      --key-store <file>            key and certificate of the listeners (default: of the local CA)
      --key-alias <alias>           which key of it
      --reader-trust <file>         CA certificates of gateways that open the event stream by client certificate
      --revoked-list <array|object> shape of /revokedjwt, WSO2 3.2 to 4.2 or 4.3 (default array)
      --publish-jms <url>           JMS connection URL to publish revocations to
      --topic <name>                JMS topic (default tokenRevocation)
      --publish-etcd <url>          etcd URL to write revocations to
      --publish-trust <file>        CA certificates to trust when publishing, beside the system's
      --log-level <level>           DEBUG, INFO, WARN or ERROR, on standard error (default INFO)
      --hash-secret                 read a secret from standard input, print its hash for the clients file, and exit
  -h, --help                        print this text

Environment:
  MGW_HOME                                  folder of the local CA and the state (default ~/.portcullis)
  MGW_PUBLISH_JMS                           the same as --publish-jms, where a URL with a password is not to be seen
  MGW_JMS_USERNAME, MGW_JMS_PASSWORD        win over those in the URL
  MGW_ETCD_USERNAME, MGW_ETCD_PASSWORD      for --publish-etcd
  MGW_KEY_STORE_PASSWORD                    of --key-store
  MGW_SIGNING_KEY_STORE_PASSWORD            of --signing-key-store
`;

const OPTIONS = {
  port: { type: 'string' },
  host: { type: 'string' },
  'apim-port': { type: 'string' },
  issuer: { type: 'string' },
  state: { type: 'string' },
  clients: { type: 'string' },
  ttl: { type: 'string' },
  'longest-token-life': { type: 'string' },
  algorithm: { type: 'string' },
  'key-life': { type: 'string' },
  'key-lead': { type: 'string' },
  'signing-key-store': { type: 'string' },
  'signing-key-alias': { type: 'string' },
  'key-store': { type: 'string' },
  'key-alias': { type: 'string' },
  'reader-trust': { type: 'string' },
  'revoked-list': { type: 'string' },
  'publish-jms': { type: 'string' },
  topic: { type: 'string' },
  'publish-etcd': { type: 'string' },
  'publish-trust': { type: 'string' },
  'log-level': { type: 'string' },
  'hash-secret': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof parseWords>;

/**
 * `micro-gw token-service`: runs until SIGTERM or SIGINT. Resolves to the exit code; rejects with OperatorError when it cannot start.
 * @param argv words after `token-service`
 */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const values = parseWords(argv);
  if (values.help === true) {
    io.out(HELP);
    return 0;
  }
  if (values['hash-secret'] === true) {
    const secret = (await text(process.stdin)).replace(/\r?\n$/, '');
    if (secret === '') throw usage('there is no secret on standard input');
    io.out(`${await hashSecret(secret)}\n`);
    return 0;
  }
  const level = oneOf(values['log-level'], ['INFO', 'DEBUG', 'WARN', 'ERROR'], '--log-level');
  const log = tokenServiceLog(level ?? 'INFO', (line) => io.err(line));
  // Before anything is opened: a signal during the start ends it as cleanly as one later.
  const signal = endSignal();
  try {
    const launched = await launchTokenService(launchOf(values, process.env, io.cwd), log);
    announce(launched, io);
    await signal.came;
    await launched.close();
  } finally {
    signal.ignore();
  }
  io.out('Token service has stopped\n');
  return 0;
}

function announce(launched: LaunchedTokenService, io: Io): void {
  const { address, credentialsFile, credentialsCreated, caFile } = launched;
  io.out(
    credentialsCreated
      ? `Clients and admin were made at random: ${credentialsFile}\n`
      : `Clients and admin are those in ${credentialsFile}\n`,
  );
  if (caFile !== undefined) io.out(`Its certificate is signed by the local CA: ${caFile}\n`);
  if (address.apimPort !== undefined) {
    io.out(`/token and /revoke are also at https://localhost:${address.apimPort}\n`);
  }
  io.out(`Issuer is ${address.issuer}\n`);
  io.out(`Token service is ready at ${address.url}\n`);
}

/** `came` resolves at the first SIGTERM or SIGINT; a second one ends the process at once, as if nobody listened. */
function endSignal(): { readonly came: Promise<void>; readonly ignore: () => void } {
  const { promise: came, resolve } = Promise.withResolvers<void>();
  const ignore = (): void => {
    process.off('SIGTERM', end);
    process.off('SIGINT', end);
  };
  const end = (): void => {
    ignore();
    resolve();
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  return { came, ignore };
}

function launchOf(values: Values, env: NodeJS.ProcessEnv, cwd: string): TokenServiceLaunch {
  const path = (value: string | undefined): string | undefined =>
    value === undefined ? undefined : resolve(cwd, value);
  const keyStore = (
    file: string | undefined,
    alias: string | undefined,
    password: string | undefined,
  ): KeyStoreFile | undefined =>
    file === undefined
      ? undefined
      : { path: resolve(cwd, file), password: password ?? '', ...set({ alias }) };
  const jmsUrl = values['publish-jms'] ?? env['MGW_PUBLISH_JMS'];
  const etcdUrl = values['publish-etcd'];
  return {
    home: findHome(env, cwd),
    ...set({
      host: values.host,
      port: whole(values.port, '--port', 65_535),
      apimPort: whole(values['apim-port'], '--apim-port', 65_535),
      issuer: values.issuer,
      state: path(values.state),
      clientsFile: path(values.clients),
      tokenLifeSeconds: whole(values.ttl, '--ttl'),
      longestTokenLifeSeconds: whole(values['longest-token-life'], '--longest-token-life'),
      algorithm: oneOf<SigningAlgorithm>(values.algorithm, SIGNING_ALGORITHMS, '--algorithm'),
      keyLifeSeconds: whole(values['key-life'], '--key-life'),
      keyLeadSeconds: whole(values['key-lead'], '--key-lead'),
      signingKeyStore: keyStore(
        values['signing-key-store'],
        values['signing-key-alias'],
        env['MGW_SIGNING_KEY_STORE_PASSWORD'],
      ),
      keyStore: keyStore(values['key-store'], values['key-alias'], env['MGW_KEY_STORE_PASSWORD']),
      readerTrustFile: path(values['reader-trust']),
      trustFile: path(values['publish-trust']),
      revokedListFormat: oneOf(
        values['revoked-list'],
        ['array', 'object'] as const,
        '--revoked-list',
      ),
      jms:
        jmsUrl === undefined
          ? undefined
          : {
              url: jmsUrl,
              topic: values.topic ?? 'tokenRevocation',
              ...set({ username: env['MGW_JMS_USERNAME'], password: env['MGW_JMS_PASSWORD'] }),
            },
      etcd:
        etcdUrl === undefined
          ? undefined
          : {
              url: etcdUrl,
              ...set({ username: env['MGW_ETCD_USERNAME'], password: env['MGW_ETCD_PASSWORD'] }),
            },
    }),
  };
}

/** The members that have a value. */
function set<T extends object>(members: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

function parseWords(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, strict: true }).values;
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
}

function whole(value: string | undefined, option: string, most = 10 ** 10): number | undefined {
  if (value === undefined) return undefined;
  const number = /^\d{1,11}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number <= most)) throw usage(`${option} must be a whole number up to ${most}`);
  return number;
}

function oneOf<T extends string>(
  value: string | undefined,
  choices: readonly T[],
  option: string,
): T | undefined {
  if (value === undefined) return undefined;
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw usage(`${option} must be one of ${choices.join(', ')}`);
  return found;
}

function usage(message: string): OperatorError {
  return new OperatorError('ERR_USAGE', message);
}
