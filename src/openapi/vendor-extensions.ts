import type { Definition } from './definition.ts';
import { METHODS } from './definition.ts';
import { nearest } from '../nearest.ts';
import { isObject, member } from './json.ts';
import type { JsonPath } from './json.ts';
import type { Problems } from './problems.ts';

type Level = 'api' | 'operation';

interface Extension {
  readonly levels: readonly Level[];
  /** What it asks for, when that is not built yet. */
  readonly notBuilt?: string;
  /** Values that ask for nothing beyond what happens anyway. */
  readonly harmless?: readonly unknown[];
  readonly remedy?: string;
}

const BOTH = ['api', 'operation'] as const;
const API = ['api'] as const;
const OPERATION = ['operation'] as const;

/** Portcullis' own, and every extension WSO2 API Microgateway 3.2 reads. One without `notBuilt` is built. */
const EXTENSIONS: Readonly<Record<string, Extension>> = {
  'x-wso2-basePath': { levels: API },
  'x-wso2-production-endpoints': { levels: BOTH },
  'x-wso2-sandbox-endpoints': { levels: BOTH },
  'x-wso2-endpoints': { levels: API },
  'x-wso2-disable-security': { levels: BOTH },
  'x-portcullis-when-stale': { levels: BOTH },
  'x-portcullis-http2': { levels: BOTH },
  'x-portcullis-websocket': { levels: BOTH },
  // Who owns the API: documentation, nothing a gateway acts on.
  'x-wso2-owner': { levels: API },
  'x-wso2-cors': { levels: API, notBuilt: 'CORS' },
  'x-wso2-throttling-tier': { levels: BOTH, notBuilt: 'throttling', harmless: ['Unlimited'] },
  'x-throttling-tier': { levels: BOTH, notBuilt: 'throttling', harmless: ['Unlimited'] },
  'x-wso2-auth-header': { levels: API, notBuilt: 'a credential header per API' },
  'x-wso2-request-interceptor': { levels: BOTH, notBuilt: 'request interceptors' },
  'x-wso2-response-interceptor': { levels: BOTH, notBuilt: 'response interceptors' },
  'x-wso2-response-cache': { levels: API, notBuilt: 'response cache' },
  'x-wso2-transports': { levels: API, notBuilt: 'transports per API' },
  'x-wso2-mutual-ssl': { levels: API, notBuilt: 'mutual TLS' },
  'x-wso2-application-security': { levels: BOTH, notBuilt: 'application security' },
  'x-scope': {
    levels: OPERATION,
    notBuilt: 'a scope outside `security`',
    remedy: 'Name the scope in an oauth2 requirement of `security`.',
  },
  'x-auth-type': {
    levels: BOTH,
    notBuilt: 'an authentication type outside `security`',
    harmless: ['Application & Application User', 'Application User', 'Application', 'Any'],
    remedy: 'To open an operation, write `x-wso2-disable-security: true`.',
  },
};

/** Refuses every extension that is unknown, misplaced, or asks for what is not built yet: none is ignored. */
export function checkExtensions(definition: Definition, problems: Problems): void {
  const { document } = definition;
  checkHolder(definition, document, [], 'api', problems);
  const info = member(document, 'info');
  checkHolder(definition, info, ['info'], undefined, problems);
  const paths = member(document, 'paths');
  checkHolder(definition, paths, ['paths'], undefined, problems);
  if (!isObject(paths)) return;
  for (const [template, item] of Object.entries(paths)) {
    checkHolder(definition, item, ['paths', template], undefined, problems);
    for (const method of METHODS) {
      const operation = member(item, method);
      checkHolder(definition, operation, ['paths', template, method], 'operation', problems);
    }
  }
}

/** @param level undefined where none of the extensions has a meaning */
function checkHolder(
  definition: Definition,
  holder: unknown,
  path: JsonPath,
  level: Level | undefined,
  problems: Problems,
): void {
  if (!isObject(holder)) return;
  for (const [name, value] of Object.entries(holder)) {
    const known = Object.hasOwn(EXTENSIONS, name) ? EXTENSIONS[name] : undefined;
    const place = (): ReturnType<Definition['at']> => definition.at([...path, name]);
    if (known === undefined) {
      if (!/^x-(?:wso2|portcullis)-/i.test(name)) continue;
      const near = nearest(name, Object.keys(EXTENSIONS));
      const remedy = near === undefined ? 'Remove it.' : `Did you mean ${near}?`;
      problems.invalid(place(), `The extension ${name} is not known`, remedy);
    } else if (level === undefined || !known.levels.includes(level)) {
      const remedy = `It belongs to ${known.levels.map(levelText).join(' or ')}.`;
      problems.invalid(place(), `The extension ${name} has no effect here`, remedy);
    } else if (known.notBuilt !== undefined && known.harmless?.includes(value) !== true) {
      const remedy = known.remedy ?? 'Remove it from the definition.';
      problems.notBuilt(place(), `${name} (${known.notBuilt})`, remedy);
    }
  }
}

function levelText(level: Level): string {
  return level === 'api' ? 'the top level of the definition' : 'an operation';
}
