import type { Definition } from './definition.ts';
import { isSwagger2 } from './definition.ts';
import { nearest } from '../nearest.ts';
import { booleanExtension } from './flags.ts';
import { isObject, member } from './json.ts';
import type { JsonPath } from './json.ts';
import type { Problems } from './problems.ts';

/** What a caller of one operation must bring. */
export interface OperationSecurity {
  readonly secured: boolean;
  /** Any one is enough; empty: any valid token. */
  readonly scopes: readonly string[];
}

const DISABLE = 'x-wso2-disable-security';

/**
 * Security of one operation. Closed by default: no `security`, `security: []` and `{}` still require a token, and only
 * `x-wso2-disable-security: true` opens, the operation's own value winning over the API's.
 *
 * Scopes keep WSO2's meaning: any one of those named is enough. Where OpenAPI's logic would ask for less than that, the scopes are asked
 * for all the same (an alternative without scopes does not lift them); where it would ask for more (scopes of two schemes at once), the
 * definition is refused.
 */
export function operationSecurity(
  definition: Definition,
  path: JsonPath,
  operation: unknown,
  problems: Problems,
): OperationSecurity {
  const open =
    booleanExtension(definition, path, operation, DISABLE, problems) ??
    booleanExtension(definition, [], definition.document, DISABLE, problems) ??
    false;
  const scopes = requiredScopes(definition, path, operation, problems);
  return open ? { secured: false, scopes: [] } : { secured: true, scopes };
}

function requiredScopes(
  definition: Definition,
  path: JsonPath,
  operation: unknown,
  problems: Problems,
): string[] {
  const own = member(operation, 'security');
  const requirements = own ?? member(definition.document, 'security');
  const where = own === undefined ? ['security'] : [...path, 'security'];
  const scopes = new Set<string>();
  for (const [index, requirement] of (Array.isArray(requirements) ? requirements : []).entries()) {
    if (!isObject(requirement)) continue;
    let schemesWithScopes = 0;
    for (const [name, named] of Object.entries(requirement)) {
      const place = [...where, index, name];
      checkScheme(definition, place, name, problems);
      const list = (Array.isArray(named) ? named : []).filter((scope) => typeof scope === 'string');
      for (const scope of list) {
        if (/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)) scopes.add(scope);
        else {
          const at = definition.at([...place, list.indexOf(scope)]);
          const remedy = 'A scope is one word of printable ASCII (RFC 6749 section 3.3).';
          problems.invalid(at, `The scope ${JSON.stringify(scope)} can be in no token`, remedy);
        }
      }
      if (list.length > 0) schemesWithScopes++;
      if (list.length > 1) {
        const text = `any one of the scopes ${list.join(', ')} is enough, as in WSO2 API Microgateway`;
        problems.warn(definition.at(place), text);
      }
    }
    if (schemesWithScopes > 1) {
      const remedy = 'Ask for the scopes of one scheme only.';
      problems.notBuilt(definition.at([...where, index]), 'Scopes of two schemes at once', remedy);
    }
  }
  return [...scopes];
}

/** Refuses every scheme that is not a bearer token. */
function checkScheme(
  definition: Definition,
  place: JsonPath,
  name: string,
  problems: Problems,
): void {
  const schemes = isSwagger2(definition)
    ? member(definition.document, 'securityDefinitions')
    : member(member(definition.document, 'components'), 'securitySchemes');
  const scheme = member(schemes, name);
  const at = definition.at(place);
  if (!isObject(scheme)) {
    const near = nearest(name, Object.keys(isObject(schemes) ? schemes : {}));
    const remedy = near === undefined ? 'Declare it.' : `Did you mean '${near}'?`;
    problems.invalid(at, `The security scheme '${name}' is not declared`, remedy);
    return;
  }
  const feature = notBuiltScheme(scheme['type'], scheme['scheme']);
  if (feature === undefined) return;
  const remedy = 'Use an oauth2, openIdConnect or http bearer scheme.';
  problems.notBuilt(at, `The security scheme '${name}' (${feature})`, remedy);
}

function notBuiltScheme(type: unknown, scheme: unknown): string | undefined {
  if (type === 'oauth2' || type === 'openIdConnect') return undefined;
  if (type !== 'http') return type === 'mutualTLS' ? 'mutual TLS' : `type ${String(type)}`;
  const text = typeof scheme === 'string' ? scheme : '';
  // `jwt` is WSO2's own spelling of a bearer token.
  return ['bearer', 'jwt'].includes(text.toLowerCase()) ? undefined : `http ${text}`;
}
