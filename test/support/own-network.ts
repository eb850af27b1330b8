import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { startProgram } from './program.ts';

/** Set in the process that is to run the tests themselves. */
const MARK = 'PORTCULLIS_TEST_OWN_NETWORK';

export const hasOwnNetwork = process.env[MARK] !== undefined;

/** Processes and ports that nobody else sees, and that end with their first process. */
const UNSHARE = ['--net', '--pid', '--mount-proc', '--kill-child'];
/** SIOCSIFFLAGS with IFF_UP and IFF_RUNNING, in the one language besides sh that every Debian has: iproute2 may be missing. */
const LOOPBACK_UP =
  'socket(my $s, 2, 2, 0) or die $!; my $r = pack("a16s", "lo", 0x41); ioctl($s, 0x8914, $r) or die $!; exec @ARGV or die $!';

/**
 * Runs a test file once more where nothing but it listens, on a loopback of its own: for ports that documentation names. Where the system
 * forbids that (a container without CAP_SYS_ADMIN), on the common network, whose ports must be free then.
 */
export async function runInOwnNetwork(
  testFile: string,
  deadlineMs: number,
): Promise<{ readonly code: number | string; readonly output: string }> {
  const alone = spawnSync('unshare', [...UNSHARE, 'true']).status === 0;
  const program = startProgram(
    ...words(alone, process.execPath, '--test-reporter=spec', fileURLToPath(testFile)),
    { env: { [MARK]: '1' } },
  );
  try {
    const code = await program.ended(deadlineMs);
    return { code, output: program.output() };
  } finally {
    await program.stop();
  }
}

function words(alone: boolean, command: string, ...args: string[]): [string, string[]] {
  return alone ? inOwnNetwork(command, ...args) : [command, args];
}

/** The words that run `command` on a network of its own, for {@link startProgram}; they fail where the system forbids that. */
export function inOwnNetwork(command: string, ...args: string[]): [string, string[]] {
  return ['unshare', [...UNSHARE, '--', 'perl', '-e', LOOPBACK_UP, command, ...args]];
}
