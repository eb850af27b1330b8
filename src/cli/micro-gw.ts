#!/usr/bin/env node
import { nodeRefusal } from './node-version.ts';

const refusal = nodeRefusal(process.versions.node);
if (refusal === undefined) {
  const { main } = await import('./micro-gw-command.ts');
  const { endWithOutput, processIo } = await import('./io.ts');
  if (process.argv[2] !== 'token-service') endWithOutput();
  process.exitCode = await main(process.argv.slice(2), processIo());
} else {
  process.stderr.write(`${refusal}\n`);
  process.exitCode = 1;
}
