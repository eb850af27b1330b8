import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where the types lie that extensions are written against. Absolute paths. */
export interface InstalledTypes {
  /** The module `portcullis` of this very installation. */
  readonly portcullis: string;
  /** Folder with Node's types, as TypeScript's `typeRoots` wants it. */
  readonly typeRoot: string;
}

/** The types that this installation brings, so that a project needs to install neither Portcullis nor Node's types. */
export function installedTypes(): InstalledTypes {
  const require = createRequire(import.meta.url);
  const here = fileURLToPath(import.meta.url);
  const index = here.endsWith('.ts') ? '../index.ts' : '../index.d.ts';
  return {
    portcullis: join(dirname(here), index),
    typeRoot: dirname(dirname(require.resolve('@types/node/package.json'))),
  };
}
