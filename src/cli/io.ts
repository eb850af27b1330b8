/** Everything a command touches of the terminal it runs in, so that a test can take its place. */
export interface Io {
  /** Writes to standard output; the text brings its own line ends. */
  out(text: string): void;
  /** The same for standard error. */
  err(text: string): void;
  /** True where colours are welcome on standard output. */
  readonly colour: boolean;
  /** Folder that relative paths are meant from. */
  readonly cwd: string;
  /** Environment; the process's own when absent. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Standard input; the process's own when absent. */
  readonly input?: AsyncIterable<Uint8Array | string>;
}

/**
 * Ends a command that has lost its reader (`micro-gw revocations | head`), or whose output is on a full disk: what it would say is said to
 * nobody, so it failed, but that is no fault to show a stack for. Not for what goes on serving.
 */
export function endWithOutput(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (stream === process.stdout && code !== 'EPIPE')
        process.stderr.write(`micro-gw: standard output cannot be written: ${code ?? ''}\n`);
      process.exit(1);
    });
}

/** The real terminal. Colours only where a person looks at them (and https://no-color.org is respected). */
export function processIo(): Io {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    colour: process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '',
    cwd: process.cwd(),
  };
}

const SGR = { bold: '1', 'bold green': '1;32', 'bold red': '1;31' } as const;

/** `text` in a style, or as it is where colours are not welcome. */
export function styled(io: Io, style: keyof typeof SGR, text: string): string {
  return io.colour ? `\u001B[${SGR[style]}m${text}\u001B[0m` : text;
}
