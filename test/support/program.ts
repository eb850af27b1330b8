import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** A program that a test started. Its whole output is kept, for waiting on and for looking at. */
export interface Program {
  readonly pid: number;
  /** Standard output and standard error, in order of arrival. */
  output(): string;
  /** Resolves with the match once the output has it; rejects when the program ends first or `deadlineMs` passes. */
  said(pattern: RegExp, deadlineMs?: number): Promise<RegExpExecArray>;
  /** Resolves with the exit code (or the signal's name) when it ends by itself. */
  ended(deadlineMs?: number): Promise<number | string>;
  signal(name: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL after ten seconds; resolves with how it ended. */
  stop(): Promise<number | string>;
}

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** True for a process group and session of its own, numbered by `pid`, as a terminal gives to what is typed into it. */
  readonly session?: boolean;
}

const running = new Set<ChildProcess>();
// A test run that dies takes its programs along.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts `command`; nothing is read from its standard input. */
export function startProgram(
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Program {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: options.session ?? false,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...options.env },
  });
  running.add(child);
  let text = '';
  const watchers = new Set<() => void>();
  const wake = (): void => {
    for (const watcher of watchers) watcher();
  };
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      wake();
    });
  const exit: Promise<number | string> = new Promise((resolve) => {
    child.once('error', (error) => {
      text += `\n${error.message}\n`;
      resolve(127);
    });
    // 'close' and not 'exit': by then all output has arrived.
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  let gone = false;
  void exit.then(() => {
    gone = true;
    running.delete(child);
    wake();
  });

  const described = (): string => `${command} ${args.join(' ')}\n--- output\n${text}\n---`;
  return {
    pid: child.pid ?? 0,
    output: () => text,
    said: (pattern, deadlineMs = 30_000) =>
      new Promise((resolve, reject) => {
        const finish = (action: () => void): void => {
          clearTimeout(timer);
          watchers.delete(look);
          action();
        };
        const look = (): void => {
          const match = pattern.exec(text);
          if (match !== null) finish(() => resolve(match));
          else if (gone)
            finish(() => reject(new Error(`ended before it said ${pattern}: ${described()}`)));
        };
        const timer = setTimeout(
          () =>
            finish(() =>
              reject(new Error(`did not say ${pattern} within ${deadlineMs} ms: ${described()}`)),
            ),
          deadlineMs,
        );
        watchers.add(look);
        look();
      }),
    ended: async (deadlineMs = 30_000) => {
      const late = AbortSignal.timeout(deadlineMs);
      return await Promise.race([
        exit,
        once(late, 'abort').then(() => {
          throw new Error(`did not end within ${deadlineMs} ms: ${described()}`);
        }),
      ]);
    },
    signal: (name) => void child.kill(name),
    stop: async () => {
      child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), 10_000);
      const how = await exit;
      clearTimeout(hard);
      return how;
    },
  };
}
