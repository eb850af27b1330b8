import { isBuiltin } from 'node:module';
import { isAbsolute, join, relative, sep } from 'node:path';
import { rolldown } from 'rolldown';
import type { OutputChunk, Plugin } from 'rolldown';
import { ARTIFACT_BANNER, artifactModule } from '../artifact.ts';
import type { ExtensionName } from '../artifact.ts';
import { OperatorError } from '../errors.ts';
import { Problems } from '../openapi/problems.ts';
import type { Api } from '../openapi/route.ts';
import { computedImports } from './computed-imports.ts';
import type { ExtensionFile } from './project-folder.ts';

const ENTRY = 'portcullis:artifact';
const ABSENT = 'portcullis:absent:';

export interface BundleInput {
  /** Folder of the project. */
  readonly project: string;
  readonly name: string;
  readonly apis: readonly Api[];
  readonly extensions: readonly ExtensionFile[];
}

export interface BundledArtifact {
  readonly code: string;
  /** Absolute paths of the modules in it. */
  readonly modules: readonly string[];
}

/**
 * Bundles the definitions, the extensions and the extensions' own npm packages into the text of one module that imports nothing but
 * Node's built-in modules. The same project gives the same text wherever it lies.
 * @throws OperatorError ERR_EXTENSION naming the import that cannot be bundled, or is only known when it runs
 */
export async function bundleArtifact(input: BundleInput): Promise<BundledArtifact> {
  const { project, name, apis, extensions } = input;
  const paths: Partial<Record<ExtensionName, string>> = {};
  for (const { name, file } of extensions) paths[name] = join(project, file);
  const text = artifactModule(name, apis, paths);
  const absent = new Set<string>();
  let chunk = await generate(project, text, absent, false);
  // What is still absent is an optional package of a package, tried for and caught there: it stays absent, without being looked for.
  if (absent.size > 0) chunk = await generate(project, text, absent, true);
  for (const imported of [...chunk.imports, ...chunk.dynamicImports]) {
    if (!imported.startsWith('node:')) refuseImport(imported, undefined);
  }
  return { code: chunk.code, modules: chunk.moduleIds.filter((id) => isAbsolute(id)) };
}

/** One run of the bundler. Refuses what cannot be resolved and is not optional; what is optional goes into `absent`. */
async function generate(
  project: string,
  entryText: string,
  absent: Set<string>,
  stubs: boolean,
): Promise<OutputChunk> {
  const unresolved: { imported: string; importer: string | undefined }[] = [];
  const problems = new Problems();
  let output: readonly [OutputChunk, ...unknown[]];
  try {
    await using bundle = await rolldown({
      input: ENTRY,
      cwd: project,
      platform: 'node',
      // The project's tsconfig.json is for editors: it must not change what is built.
      tsconfig: false,
      plugins: [resolver(entryText, absent, stubs), importCheck(project, problems)],
      onLog(_level, log) {
        if (log.code !== 'UNRESOLVED_IMPORT') return;
        unresolved.push({ imported: log.exporter ?? log.message, importer: log.id });
      },
    });
    ({ output } = await bundle.generate({
      format: 'esm',
      banner: ARTIFACT_BANNER,
      codeSplitting: false,
      minify: false,
      // Documentation of packages is of no use here; their licences stay.
      comments: { jsdoc: false, legal: true },
      sourcemap: false,
    }));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `The extensions cannot be bundled: ${reason}`;
    throw new OperatorError('ERR_EXTENSION', message, { cause });
  }
  problems.throwIfAny();
  const [first] = unresolved;
  if (first !== undefined) {
    const { importer } = first;
    const inside = importer === undefined ? undefined : relative(project, importer);
    refuseImport(first.imported, inside);
  }
  return output[0];
}

/** Refuses computed imports of the project's own code. Packages have them for what is optional; what they bring then is theirs. */
function importCheck(project: string, problems: Problems): Plugin {
  return {
    name: 'portcullis-imports',
    transform(code, id) {
      if (!isAbsolute(id) || id.includes(`${sep}node_modules${sep}`)) return;
      const file = relative(project, id).split(sep).join('/');
      for (const { line, what } of computedImports(code, id)) {
        const message = `${what} brings in a module that the build does not know`;
        const remedy = 'Import each module by its name, in quotation marks.';
        problems.refuse('ERR_EXTENSION', { file, line }, message, remedy);
      }
    },
  };
}

function refuseImport(imported: string, importer: string | undefined): never {
  const remedy =
    imported === 'portcullis'
      ? 'Only types come from portcullis: write `import type`.'
      : 'Install it in the project (npm install in the project folder), or remove the import.';
  const message = `'${imported}' is imported and cannot be bundled. ${remedy}`;
  throw new OperatorError('ERR_EXTENSION', message, importer ? { file: importer } : {});
}

/**
 * Supplies the entry, which is no file; gives built-in modules their `node:` name, the only imports left in an artifact; and either notes
 * what is not installed or puts a module there that says so when it is reached.
 */
function resolver(entryText: string, absent: Set<string>, stubs: boolean): Plugin {
  return {
    name: 'portcullis',
    async resolveId(source, importer) {
      if (source === ENTRY) return ENTRY;
      if (isBuiltin(source)) {
        return { id: source.startsWith('node:') ? source : `node:${source}`, external: true };
      }
      if (stubs && absent.has(source)) return `${ABSENT}${source}`;
      const found = await this.resolve(source, importer, { skipSelf: true });
      if (found === null) absent.add(source);
      return found;
    },
    load(id) {
      if (id === ENTRY) return entryText;
      if (!id.startsWith(ABSENT)) return null;
      const message = `Cannot find package '${id.slice(ABSENT.length)}': it was not installed when the artifact was built`;
      return `throw Object.assign(new Error(${JSON.stringify(message)}), { code: 'MODULE_NOT_FOUND' });`;
    },
  };
}
