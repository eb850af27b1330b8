/**
 * What makes a path one that no request can ever have, because the gateway refuses such requests before routing, or that means something
 * else in a URL. Undefined when nothing does.
 */
export function pathComplaint(path: string): string | undefined {
  if (!path.startsWith('/')) return 'does not begin with a slash';
  if (/[?#]/.test(path)) return 'has a query or fragment';
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\x00-\x20\x7f\\]|%2f|%5c|%00/i.test(path)) {
    return 'has a blank, a control character, a backslash or an encoded slash';
  }
  if (path.includes('//')) return 'has an empty segment';
  const isDot = (segment: string): boolean => /^(?:\.|%2e){1,2}$/i.test(segment);
  return path.split('/').some(isDot) ? 'has a dot segment' : undefined;
}

/** What is wrong with a path template, as {@link pathComplaint}, or undefined. */
export function templateComplaint(template: string): string | undefined {
  const complaint = pathComplaint(template);
  if (complaint !== undefined) return complaint;
  const names: string[] = [];
  for (const segment of template.split('/')) {
    if (segment.includes('*')) return 'has a wildcard, which is not built yet';
    if (!/[{}]/.test(segment)) continue;
    const name = /^\{([^{}]+)\}$/.exec(segment)?.[1];
    if (name === undefined) return 'has a segment that is neither text nor one whole {parameter}';
    if (names.includes(name)) return `names the parameter {${name}} twice`;
    names.push(name);
  }
  return undefined;
}

/** Equal for two paths exactly when the same requests match both: parameters lose their names, text loses its percent-encoding. */
export function pathShape(path: string): string[] {
  return path
    .split('/')
    .slice(1)
    .map((segment) => (isParameter(segment) ? PARAMETER : decoded(segment)));
}

/** Stands for any parameter: a text segment has no slash, not even an encoded one. */
const PARAMETER = '/';

function isParameter(segment: string): boolean {
  return /^\{[^{}]*\}$/.test(segment);
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
