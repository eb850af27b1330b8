import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { plainEnvironment, ROOT } from '../support/checkout.ts';
import { GATEWAY, MICRO_GW, temporaryFolder } from '../support/product.ts';

/** A folder to work in, a home of its own, and `micro-gw` and `gateway` on the path. */
export async function place(t: TestContext) {
  const scratch = await temporaryFolder(t, 'commands');
  const [cwd, home, bin] = ['work', 'home', 'bin'].map((name) => join(scratch, name)) as [
    string,
    string,
    string,
  ];
  for (const folder of [cwd, home, bin]) await mkdir(folder);
  for (const [name, program] of [
    ['micro-gw', MICRO_GW],
    ['gateway', GATEWAY],
  ] as const)
    await writeFile(join(bin, name), `#!/bin/sh\nexec node '${program}' "$@"\n`, { mode: 0o755 });
  const plain = await plainEnvironment(home);
  const env = { ...plain, PATH: `${bin}:${plain['PATH']}`, CHECKOUT: ROOT };
  return { cwd, scratch, env };
}
