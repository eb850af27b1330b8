import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchTokens } from './tokens.ts';

/** Configuration files of the other programs in the benchmark; each returns its path. */
export function writeNginx(folder: string, port: number): string {
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `worker_processes 1;
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

/** HAProxy as it would be run for this job: one thread, keep-alive to the upstream, RS256 check and a map of revoked ids per request. */
export function writeHaproxy(
  folder: string,
  name: 'plain' | 'jwt',
  port: number,
  upstreamPort: number,
  tokens: BenchTokens,
): string {
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
  const file = join(folder, `haproxy-${name}.cfg`);
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend ${name}
  bind 127.0.0.1:${port}${name === 'jwt' ? check : ''}
  http-request set-header x-forwarded-for %[src]
  http-request replace-path /petstore/v1(/.*)?$ /v2\\1
  default_backend upstream
backend upstream
  server nginx 127.0.0.1:${upstreamPort}
`,
  );
  return file;
}

/** Load for wrk: every connection goes through all tokens, each request with the next one. */
export function writeLoad(folder: string, tokens: BenchTokens): string {
  const list = join(folder, 'tokens.txt');
  writeFileSync(list, `${tokens.tokens.join('\n')}\n`);
  const file = join(folder, 'load.lua');
  writeFileSync(
    file,
    `local requests = {}
local next = 0
function init(args)
  for token in io.lines("${list}") do
    requests[#requests + 1] = wrk.format("GET", "/petstore/v1/pet/findByStatus?status=available",
      { ["Authorization"] = "Bearer " .. token, ["Accept"] = "application/json" })
  end
end
function request()
  next = next % #requests + 1
  return requests[next]
end
function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, latency:percentile(99)))
end
`,
  );
  return file;
}
