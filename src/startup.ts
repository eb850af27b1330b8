import { withinDeadline } from './deadline.ts';
import { OperatorError } from './errors.ts';
import type { StartupExtension } from './extension.ts';
import type { Log } from './log.ts';

/** How long the project's own start may take, milliseconds; told in extension.ts. */
const STARTUP_DEADLINE_MS = 60_000;

const FILE = 'extensions/startup_extension.ts';

/**
 * Runs the project's own start. What it throws is its way to stop ours.
 * @throws OperatorError ERR_EXTENSION: it threw, or did not settle within `deadlineMs` milliseconds
 */
export async function runStartup(
  startup: StartupExtension | undefined,
  log: Log,
  signal: AbortSignal,
  deadlineMs = STARTUP_DEADLINE_MS,
): Promise<void> {
  if (startup === undefined) return;
  try {
    await withinDeadline(startup({ log, signal }), deadlineMs, () => {
      const problem = `${FILE} did not finish within ${deadlineMs / 1_000} seconds: what goes on for longer must not be awaited`;
      return new OperatorError('ERR_EXTENSION', problem);
    });
  } catch (cause) {
    if (cause instanceof OperatorError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new OperatorError('ERR_EXTENSION', `${FILE} stopped the start: ${reason}`, { cause });
  }
}
