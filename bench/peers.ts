import { createPublicKey } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchTokens } from './tokens.ts';

/** The file that the upstream answers {@link LARGE_BODY_PATH} with, in bytes. */
const LARGE_BODY = 1_000_000;
/** As a client asks for it; the upstream knows it without the API's base path. */
export const LARGE_BODY_PATH = `/petstore/v1/pet/${LARGE_BODY}`;

/** The upstream, with one worker per processor that it is given; returns the path of its configuration. */
export function writeNginx(folder: string, port: number, workers: number): string {
  const file = join(folder, 'nginx.conf');
  // Of root's folder it could not read the file otherwise.
  const user = process.getuid?.() === 0 ? 'user root;\n' : '';
  writeFileSync(join(folder, 'large.json'), `{"name":"${'x'.repeat(LARGE_BODY - 11)}"}`);
  writeFileSync(
    file,
    `${user}worker_processes ${workers};
daemon off;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx.log crit;
events { worker_connections 2048; }
http {
  access_log off;
  keepalive_requests 100000000;
  keepalive_timeout 600s;
  client_body_temp_path ${folder}/nginx-body;
  proxy_temp_path ${folder}/nginx-proxy;
  fastcgi_temp_path ${folder}/nginx-fastcgi;
  uwsgi_temp_path ${folder}/nginx-uwsgi;
  scgi_temp_path ${folder}/nginx-scgi;
  server {
    listen 127.0.0.1:${port};
    location = /v2/pet/${LARGE_BODY} {
      default_type application/json;
      alias ${folder}/large.json;
    }
    location / {
      default_type application/json;
      return 200 '[{"id":1,"name":"Rex","status":"available"},{"id":2,"name":"Tom","status":"available"}]';
    }
  }
}
`,
  );
  return file;
}

export type HaproxyKind = 'haproxy-plain' | 'haproxy-jwt' | 'haproxy-log';

/** What differs from one HAProxy of the benchmark to the next. */
export interface Haproxy {
  readonly folder: string;
  readonly kind: HaproxyKind;
  readonly threads: number;
  readonly port: number;
  readonly securePort: number;
  readonly upstreamPort: number;
  readonly certificate: string;
  readonly tokens: BenchTokens;
}

/**
 * HAProxy as it would be run for this job: keep-alive to the upstream, RS256 check and a map of revoked ids per request. Returns the path of
 * its configuration.
 */
export function writeHaproxy(id: string, of: Haproxy): string {
  const { folder, port, securePort, upstreamPort, tokens } = of;
  const key = join(folder, 'public.pem');
  const map = join(folder, 'revoked.map');
  writeFileSync(key, tokens.publicKeyPem);
  writeFileSync(map, tokens.revokedIds.map((id) => `${id} 1\n`).join(''));
  const check = `
  http-request deny deny_status 401 unless { req.hdr(authorization) -m found }
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request deny deny_status 401 unless { var(txn.alg) -m str RS256 }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify(txn.alg,"${key}") 1 }
  http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.iss') -m str ${tokens.issuer} }
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 if { var(txn.bearer),jwt_payload_query('$.exp','int'),sub(txn.now) -m int lt 0 }
  http-request deny deny_status 401 if { var(txn.bearer),jwt_payload_query('$.jti'),map_str(${map}) -m found }
  http-request del-header authorization`;
  const log = of.kind === 'haproxy-log';
  const file = join(folder, `${id}.cfg`);
  // As many connections as the case of idle ones opens, on a machine that gives a process fewer descriptors than two for each.
  writeFileSync(
    file,
    `global
  nbthread ${of.threads}
  maxconn 12000
  no strict-limits${log ? '\n  log stdout format raw local0' : ''}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always${log ? '\n  log global\n  option httplog' : ''}
frontend ${of.kind}
  bind 127.0.0.1:${port}
  bind 127.0.0.1:${securePort} ssl crt ${of.certificate} alpn h2,http/1.1${of.kind === 'haproxy-plain' ? '' : check}
  http-request set-header x-forwarded-for %[src]
  http-request replace-path /petstore/v1(/.*)?$ /v2\\1
  default_backend upstream
backend upstream
  server nginx 127.0.0.1:${upstreamPort}
`,
  );
  return file;
}

/** What KrakenD needs to know. */
export interface Krakend {
  readonly folder: string;
  readonly port: number;
  readonly upstreamPort: number;
  readonly tokens: BenchTokens;
}

/** KrakenD with a check of the token; nobody tells it of revocations here. Returns the path of its configuration. */
export function writeKrakend(id: string, of: Krakend): string {
  const keys = join(of.folder, `${id}-keys.json`);
  const jwk = createPublicKey(of.tokens.publicKeyPem).export({ format: 'jwk' });
  writeFileSync(
    keys,
    JSON.stringify({ keys: [{ ...jwk, kid: 'bench', alg: 'RS256', use: 'sig' }] }),
  );
  const endpoint = {
    endpoint: '/petstore/v1/pet/findByStatus',
    output_encoding: 'no-op',
    input_query_strings: ['status'],
    backend: [
      {
        url_pattern: '/v2/pet/findByStatus',
        encoding: 'no-op',
        host: [`http://127.0.0.1:${of.upstreamPort}`],
      },
    ],
    extra_config: {
      'auth/validator': {
        alg: 'RS256',
        jwk_local_path: keys,
        issuer: of.tokens.issuer,
        cache: true,
        disable_jwk_security: true,
      },
    },
  };
  const file = join(of.folder, `${id}.json`);
  writeFileSync(
    file,
    JSON.stringify({
      version: 3,
      listen_ip: '127.0.0.1',
      port: of.port,
      timeout: '60s',
      max_idle_connections_per_host: 250,
      extra_config: {
        'telemetry/logging': { level: 'CRITICAL', stdout: true },
        router: { disable_access_log: true },
      },
      endpoints: [endpoint],
    }),
  );
  return file;
}
