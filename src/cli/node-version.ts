/** Oldest Node.js that Portcullis runs on: major, minor. The same as `engines` in package.json. */
const OLDEST = [22, 18] as const;

/**
 * Why this Node.js cannot run Portcullis; undefined when it can. Asked before anything else is imported: what is missing in an older one
 * fails while modules are linked, before any of their code runs. So this file imports nothing.
 * @param version as in `process.versions.node`
 */
export function nodeRefusal(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const enough = major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
  return enough
    ? undefined
    : `Portcullis needs Node.js ${OLDEST.join('.')} or newer, this is ${version}`;
}
