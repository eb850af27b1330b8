import { startProgram, type Program } from './program.ts';

/**
 * Starts a real server and waits until it prints that it is ready.
 * @throws Error naming the Debian package when the program is not installed
 */
export async function startServer(
  program: string,
  args: readonly string[],
  needs: { readonly debianPackage: string; readonly ready: RegExp },
): Promise<Program> {
  const server = startProgram(program, args);
  try {
    await server.said(needs.ready);
    return server;
  } catch (error) {
    await server.stop();
    if (!server.output().includes('ENOENT')) throw error;
    throw new Error(
      `${program} is not installed: these tests need Debian's package ${needs.debianPackage}`,
      { cause: error },
    );
  }
}
