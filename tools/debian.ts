import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';

/** Debian packages that the tests and benchmarks use, with the program that shows whether one is there. */
const PROGRAMS = {
  'rabbitmq-server': '/usr/lib/rabbitmq/bin/rabbitmq-server',
  'etcd-server': '/usr/bin/etcd',
  'etcd-client': '/usr/bin/etcdctl',
  'redis-server': '/usr/bin/redis-server',
  openssl: '/usr/bin/openssl',
  curl: '/usr/bin/curl',
  strace: '/usr/bin/strace',
  faketime: '/usr/bin/faketime',
  haproxy: '/usr/sbin/haproxy',
  'nginx-light': '/usr/sbin/nginx',
  wrk: '/usr/bin/wrk',
  slowhttptest: '/usr/bin/slowhttptest',
  'nghttp2-client': '/usr/bin/h2load',
} as const;

export type DebianPackage = keyof typeof PROGRAMS;

/** What is needed is not here and cannot be brought. */
export class PackagesMissing extends Error {}

function missing(packages: readonly DebianPackage[]): DebianPackage[] {
  return packages.filter((name) => {
    try {
      accessSync(PROGRAMS[name], constants.X_OK);
      return false;
    } catch {
      return true;
    }
  });
}

/** Installs what is missing (as root). RUNLEVEL=1 keeps Debian from starting the servers: each test starts its own, on 127.0.0.1. */
export function ensurePackages(packages: readonly DebianPackage[]): void {
  const wanted = missing(packages);
  if (wanted.length === 0) return;
  console.log(`Installing Debian packages: ${wanted.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  spawnSync('apt-get', ['-qq', 'update'], { stdio: 'inherit', env });
  spawnSync('apt-get', ['-qq', 'install', '-y', '--no-install-recommends', ...wanted], {
    stdio: 'inherit',
    env,
  });
  const still = missing(packages);
  if (still.length > 0)
    throw new PackagesMissing(
      `these Debian packages are missing and could not be installed: ${still.join(', ')}. Run as root on Debian, or install them by hand: apt-get install ${still.join(' ')}`,
    );
}
