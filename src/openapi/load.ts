import { check, claimsToBeDefinition } from './check.ts';
import type { Definition } from './definition.ts';
import { DefinitionFolder } from './definition-folder.ts';
import { checkTogether } from './check-together.ts';
import type { LoadedApi } from './check-together.ts';
import { Problems } from './problems.ts';
import { bundle } from './references.ts';
import type { Api } from './route.ts';
import { toApi } from './routes.ts';

export interface LoadOptions {
  /** Fetch `$ref`s to http and https addresses. Default false: nothing is ever fetched. */
  readonly allowRemoteRefs?: boolean;
}

export interface LoadedApis {
  /** Sorted by file. */
  readonly apis: Api[];
  /** What was read otherwise than a reader may expect, each with its place. */
  readonly warnings: string[];
}

/**
 * Reads every API definition (`*.json`, `*.yaml`, `*.yml`, at any depth) below `dir`: Swagger 2.0, OpenAPI 3.0 and 3.1.
 * @throws OperatorError with file, line and remedy of everything that is wrong or asks for what is not built yet
 */
export async function loadApis(dir: string, options: LoadOptions = {}): Promise<LoadedApis> {
  const problems = new Problems();
  const apis = await readApis(dir, options, problems);
  problems.throwIfAny();
  return { apis, warnings: problems.warnings };
}

/** As {@link loadApis}, but what is wrong is only noted: the APIs are meant to be used when nothing was. */
export async function readApis(
  dir: string,
  options: LoadOptions,
  problems: Problems,
): Promise<Api[]> {
  const folder = await DefinitionFolder.open(dir, options.allowRemoteRefs === true, problems);
  const files = await folder.read();
  const loaded: LoadedApi[] = [];
  const parts: string[] = [];
  for (const { key, file } of files) {
    if (!claimsToBeDefinition(file.value)) {
      parts.push(key);
      continue;
    }
    const before = problems.count;
    const source = await bundle(file, key, folder, problems);
    if (problems.count > before) continue;
    const document = await check(source, problems, { file: file.name });
    if (document === undefined) continue;
    const at: Definition['at'] = (path) => source.at(path);
    const definition: Definition = { file: folder.below(key), document, at };
    loaded.push({ api: toApi(definition, problems), definition });
  }
  const names = new Map(files.map(({ key, file }) => [key, file.name]));
  for (const key of parts) {
    // A file that a definition refers to is a part of it.
    if (folder.isReferredTo(key)) continue;
    problems.invalid(
      { file: names.get(key) ?? key, line: 1 },
      'Error while reading the open API version from file, Check the open API format',
      'It needs `openapi: 3.0.x`, `openapi: 3.1.x` or `swagger: "2.0"`; move other files elsewhere.',
    );
  }
  checkTogether(loaded, problems);
  return loaded.map(({ api }) => api);
}
