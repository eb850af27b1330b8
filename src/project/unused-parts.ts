import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { ParseError, parseTOML } from 'toml-eslint-parser';
import type { AST } from 'toml-eslint-parser';
import { LineCounter, parseDocument } from 'yaml';
import type { Problems } from '../openapi/problems.ts';
import { DEPLOYMENT_CONFIG_FILE, EXTENSIONS, POLICIES_FILE, kindOf } from './project-folder.ts';
import { POLICIES } from './templates/settings.ts';

/** Folders of WSO2's layout whose content nothing runs yet. */
const UNUSED_FOLDERS: readonly { folder: string; feature: string; remedy: string }[] = [
  { folder: 'interceptors', feature: 'interceptors', remedy: 'Take the file out of the project.' },
  {
    folder: 'lib',
    feature: 'own libraries',
    remedy: 'Install npm packages in the project instead.',
  },
  {
    folder: 'grpc_definitions',
    feature: 'gRPC by .proto files',
    remedy: 'Write its methods into an OpenAPI definition with x-portcullis-http2 instead.',
  },
  {
    folder: 'gen/api_definitions',
    feature: 'importing APIs',
    remedy: 'Move the file to api_definitions/.',
  },
];

/** Refuses whatever in the project asks for something that is not built yet: none of it is ignored. */
export async function refuseUnusedParts(project: string, problems: Problems): Promise<void> {
  for (const { folder, feature, remedy } of UNUSED_FOLDERS) {
    for (const file of await filesBelow(project, folder)) {
      problems.notBuilt({ file }, `What ${folder}/ is for (${feature})`, remedy);
    }
  }
  for (const file of await filesBelow(project, EXTENSIONS)) {
    if (!/\.(?:bal|balx|java|jar|class)$/i.test(file)) continue;
    const remedy = 'Write it in TypeScript: `micro-gw init` makes an example of each.';
    problems.notBuilt({ file }, 'An extension in another language', remedy);
  }
  await checkPolicies(project, problems);
  await checkDeploymentConfig(project, problems);
}

/** Files at any depth, without those whose name begins with a dot. */
async function filesBelow(project: string, folder: string): Promise<string[]> {
  if ((await kindOf(join(project, folder))) !== 'folder') return [];
  const found: string[] = [];
  const entries = await readdir(join(project, folder), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith('.')) continue;
    const path = `${folder}/${entry.name}`;
    if (!entry.isDirectory()) found.push(path);
    else if (entry.name !== 'node_modules') found.push(...(await filesBelow(project, path)));
  }
  return found;
}

async function checkPolicies(project: string, problems: Problems): Promise<void> {
  const text = await readOptional(join(project, POLICIES_FILE));
  if (text === undefined) return;
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) {
    const place = { file: POLICIES_FILE, line: lines.linePos(error.pos[0]).line };
    problems.refuse('ERR_PROJECT', place, error.message, 'Mend the syntax.');
    return;
  }
  const policies: unknown = document.toJS({ maxAliasCount: 100 });
  for (const [section, label] of [
    ['applicationPolicies', 'Application'],
    ['subscriptionPolicies', 'Subscription'],
    ['resourcePolicies', 'Resource'],
  ] as const) {
    if (!hasDuplicates(policyNames(policies, section))) continue;
    const message = `${label} policies contains duplicate names in the policies.yaml file`;
    problems.refuse('ERR_PROJECT', { file: POLICIES_FILE }, message, 'Rename one of them.');
  }
  if (policies === null || isDeepStrictEqual(policies, parseDocument(POLICIES).toJS())) return;
  const remedy = 'Keep the file that `micro-gw init` made, or delete it.';
  problems.notBuilt({ file: POLICIES_FILE }, 'Throttling by own policies', remedy);
}

function policyNames(policies: unknown, section: string): string[] {
  const list = (policies as Record<string, unknown> | null)?.[section];
  if (!Array.isArray(list)) return [];
  return list.flatMap((item: unknown) =>
    typeof item === 'object' && item !== null ? Object.keys(item) : [],
  );
}

function hasDuplicates(names: readonly string[]): boolean {
  return new Set(names).size < names.length;
}

async function checkDeploymentConfig(project: string, problems: Problems): Promise<void> {
  const file = DEPLOYMENT_CONFIG_FILE;
  const text = await readOptional(join(project, file));
  if (text === undefined) return;
  let program: AST.TOMLProgram;
  try {
    program = parseTOML(text);
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    const place = { file, line: error.lineNumber };
    problems.refuse('ERR_PROJECT', place, error.message, 'Mend the syntax.');
    return;
  }
  for (const node of program.body[0].body) {
    if (node.type === 'TOMLKeyValue') {
      checkSetting([], node, problems);
      continue;
    }
    const section = node.resolvedKey.filter((step) => typeof step === 'string');
    const place = { file, line: node.loc.start.line };
    if (section[0] === 'filters') {
      problems.notBuilt(
        place,
        '[[filters]] (custom filters)',
        'Use extensions/extension_filter.ts.',
      );
    } else if (section[0] !== 'docker' && section[0] !== 'kubernetes') {
      const message = `The section [${section.join('.')}] is not known`;
      const remedy = 'It has sections [docker.*] and [kubernetes.*].';
      problems.refuse('ERR_PROJECT', place, message, remedy);
    }
    for (const setting of node.body) checkSetting(section, setting, problems);
  }
}

/** Only `enable` matters: the other keys say how, once something is enabled. */
function checkSetting(
  section: readonly string[],
  setting: AST.TOMLKeyValue,
  problems: Problems,
): void {
  const names = setting.key.keys.map((key) => (key.type === 'TOMLBare' ? key.name : key.value));
  const path = [...section, ...names];
  if (setting.value.type === 'TOMLInlineTable') {
    for (const inner of setting.value.body) checkSetting(path, inner, problems);
    return;
  }
  if (path.at(-1) !== 'enable') return;
  const off = setting.value.type === 'TOMLValue' && setting.value.value === false;
  if (off) return;
  const place = { file: DEPLOYMENT_CONFIG_FILE, line: setting.loc.start.line };
  const feature = `[${path.slice(0, -1).join('.')}] (deployment artifacts)`;
  problems.notBuilt(place, feature, 'Write enable = false.');
}

async function readOptional(path: string): Promise<string | undefined> {
  return (await kindOf(path)) === 'absent' ? undefined : readFile(path, 'utf8');
}
