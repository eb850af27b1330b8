#!/usr/bin/env node
import { nodeRefusal } from './node-version.ts';

const refusal = nodeRefusal(process.versions.node);
if (refusal === undefined) {
  // Until there is somebody who reloads, and when there is nobody any more, the signal must not end the process.
  process.on('SIGHUP', () => undefined);
  const { main } = await import('./gateway-command.ts');
  const { processIo } = await import('./io.ts');
  // Whatever an extension left open (a timer, a connection) must not keep a gateway that has ended, or was refused, from ending.
  process.exit(await main(process.argv.slice(2), processIo()));
} else {
  process.stderr.write(`${refusal}\n`);
  process.exitCode = 1;
}
