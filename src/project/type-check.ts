import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { OperatorError } from '../errors.ts';
import type { Problems } from '../openapi/problems.ts';
import { installedTypes } from './installed-types.ts';
import type { ExtensionFile } from './project-folder.ts';

/** Milliseconds for one run of the compiler. */
const TIMEOUT_MS = 120_000;
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;

/**
 * Checks the extensions with the TypeScript that Portcullis brings, against the types of this very installation, so that a project needs
 * neither of them. What an extension exports is checked too.
 */
export async function checkTypes(
  project: string,
  extensions: readonly ExtensionFile[],
  problems: Problems,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-types-'));
  try {
    for (const { name, file, type } of extensions) {
      const text = [
        `import type { ${type} } from 'portcullis';`,
        `import extension from ${JSON.stringify(join(project, file))};`,
        `extension satisfies ${type};`,
        '',
      ];
      await writeFile(join(folder, `${name}.check.ts`), text.join('\n'));
    }
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(settings(project), null, 2));
    const output = await compile(folder, project);
    for (const diagnostic of diagnostics(output)) {
      const own = extensions.find(({ name }) => basename(diagnostic.file) === `${name}.check.ts`);
      const place =
        own === undefined ? { file: diagnostic.file, line: diagnostic.line } : { file: own.file };
      const message =
        own === undefined
          ? diagnostic.message
          : `the default export is no ${own.type}: ${diagnostic.message}`;
      problems.refuse('ERR_EXTENSION', place, message, 'Mend the extension.');
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The same settings as the project's tsconfig.json (templates/settings.ts), which is for editors and may be anything. */
function settings(project: string): object {
  const { portcullis, typeRoot } = installedTypes();
  return {
    compilerOptions: {
      target: 'es2023',
      lib: ['es2024', 'esnext.disposable'],
      module: 'preserve',
      moduleResolution: 'bundler',
      types: ['node'],
      // The project's own version of Node's types wins: its packages refer to it.
      typeRoots: [join(project, 'node_modules/@types'), typeRoot],
      paths: { portcullis: [portcullis] },
      strict: true,
      isolatedModules: true,
      allowImportingTsExtensions: true,
      resolveJsonModule: true,
      skipLibCheck: true,
      noEmit: true,
    },
    include: ['*.check.ts'],
  };
}

/** Runs the compiler in the project, so that it names files as seen from there. */
function compile(folder: string, project: string): Promise<string> {
  const require = createRequire(import.meta.url);
  const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc');
  const words = [tsc, '--project', folder, '--pretty', 'false'];
  const options = { cwd: project, timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, words, options, (error, stdout, stderr) => {
      // tsc ends with 1 or 2 when it has something to say, and says it on stdout.
      if (error === null || /^.+\(\d+,\d+\): error TS\d+:/m.test(stdout)) resolve(stdout);
      else {
        const said = `${stdout}${stderr}`.trim().slice(0, 2000);
        const message = `The type check of the extensions failed to run: ${said || error.message}`;
        reject(new OperatorError('ERR_INTERNAL', message, { cause: error }));
      }
    });
  });
}

function diagnostics(output: string): { file: string; line: number; message: string }[] {
  const found: { file: string; line: number; message: string }[] = [];
  for (const line of output.split(/\r?\n/)) {
    const match = /^(.+)\((\d+),\d+\): error (TS\d+: .*)$/.exec(line);
    const last = found.at(-1);
    if (match !== null) {
      const [, file = '', number = '', message = ''] = match;
      found.push({ file, line: Number(number), message });
    } else if (last !== undefined && /^\s+\S/.test(line)) last.message += `\n    ${line.trim()}`;
  }
  return found;
}
