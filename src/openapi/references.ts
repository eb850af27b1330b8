import { isObject, member } from './json.ts';
import type { JsonObject, JsonPath } from './json.ts';
import type { Place, Problems } from './problems.ts';
import type { SourceFile } from './source-file.ts';

/** Where documents that are referred to come from. `load` notes its own problems. */
export interface Library {
  /** Absolute key of what `reference` (the part before `#`) means inside the document `from`. */
  resolve(reference: string, from: string): string;
  /** Whether the policy lets the document be read; a sentence that says why not, otherwise. */
  refusal(key: string): string | undefined;
  load(key: string, place: Place): Promise<SourceFile | undefined>;
}

/** Where foreign documents are kept inside the one that refers to them. */
const FOREIGN = 'x-foreign-documents';
/** Documents that one definition may be made of, directly and indirectly. */
const MAX_DOCUMENTS = 200;
/** References in a row that a look-up follows. */
const MAX_HOPS = 50;

/** A definition and everything it refers to as one document, with the way back to the lines it came from. */
export class Bundle {
  /** Plain JSON in which every `$ref` begins with `#`. */
  readonly value: JsonObject;
  readonly #files: readonly SourceFile[];

  constructor(value: JsonObject, files: readonly SourceFile[]) {
    this.value = value;
    this.#files = files;
  }

  /** File and line of the node at `path`, or of the nearest one above it; `$ref`s on the way are followed. */
  at(path: JsonPath): Place {
    let file = this.#files[0];
    let rest = path;
    if (rest[0] === FOREIGN) {
      file = this.#files[Number(rest[1])];
      rest = rest.slice(2);
    }
    if (file === undefined) throw new RangeError('a bundle has at least one file');
    let found = file.find(rest);
    for (let hops = 0; found.rest.length > 0 && hops < MAX_HOPS; hops++) {
      const done = path.slice(0, path.length - found.rest.length);
      const reference = member(valueAt(this.value, done), '$ref');
      if (typeof reference !== 'string') break;
      path = [...pointerPath(reference), ...found.rest];
      const foreign = path[0] === FOREIGN;
      const next = foreign ? this.#files[Number(path[1])] : this.#files[0];
      if (next === undefined) break;
      const further = next.find(foreign ? path.slice(2) : path);
      if (further.rest.length > found.rest.length) break;
      found = further;
    }
    return found.place;
  }

  /** Path of the first `$ref` with this text. */
  findReference(reference: string): JsonPath | undefined {
    for (const { path, holder } of references(this.value)) {
      if (holder['$ref'] === reference) return path;
    }
    return undefined;
  }
}

/**
 * Puts every document that `root` refers to beside it and points the references there, so that the checker never reads a file or the
 * network by itself. Nothing outside the library's policy is touched.
 */
export async function bundle(
  root: SourceFile,
  rootKey: string,
  library: Library,
  problems: Problems,
): Promise<Bundle> {
  const files: SourceFile[] = [root];
  const keys = [rootKey];
  const documents: unknown[] = [structuredClone(root.value)];
  const indexByKey = new Map([[rootKey, 0]]);
  for (let index = 0; index < documents.length; index++) {
    const file = files[index];
    const key = keys[index];
    if (file === undefined || key === undefined) break;
    for (const { path, holder } of references(documents[index])) {
      const reference = holder['$ref'];
      if (typeof reference !== 'string') continue;
      const { place } = file.find(path);
      const [address, pointer] = splitOnce(reference, '#');
      let target = index;
      if (address !== '') {
        const targetKey = library.resolve(address, key);
        const known = indexByKey.get(targetKey);
        if (known === undefined) {
          const refusal = library.refusal(targetKey);
          if (refusal !== undefined) {
            problems.invalid(place, `The $ref '${reference}' is not followed`, refusal);
            continue;
          }
          if (documents.length >= MAX_DOCUMENTS) {
            const limit = `The definition refers to more than ${MAX_DOCUMENTS} documents`;
            problems.invalid(place, limit, 'Join some of them.');
            return joined(documents, files);
          }
          const loaded = await library.load(targetKey, place);
          if (loaded === undefined) continue;
          target = documents.push(structuredClone(loaded.value)) - 1;
          files.push(loaded);
          keys.push(targetKey);
          indexByKey.set(targetKey, target);
        } else target = known;
      }
      holder['$ref'] = target === 0 ? `#${pointer}` : `#/${FOREIGN}/${target}${pointer}`;
    }
  }
  return joined(documents, files);
}

function joined(documents: readonly unknown[], files: readonly SourceFile[]): Bundle {
  const [root, ...foreign] = documents;
  const value = isObject(root) ? { ...root } : {};
  if (foreign.length > 0) {
    value[FOREIGN] = Object.fromEntries(foreign.map((document, index) => [index + 1, document]));
  }
  return new Bundle(value, files);
}

/** Every object with a string `$ref`, in document order, without recursion. */
function* references(
  root: unknown,
): Generator<{ path: JsonPath; holder: Record<string, unknown> }> {
  const open: { path: JsonPath; value: unknown }[] = [{ path: [], value: root }];
  const seen = new Set<unknown>();
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { path, value } = next;
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    if (Array.isArray(value)) {
      open.push(
        ...value.map((item: unknown, index) => ({ path: [...path, index], value: item })).reverse(),
      );
      continue;
    }
    const holder = value as Record<string, unknown>;
    if (typeof holder['$ref'] === 'string') yield { path: [...path, '$ref'], holder };
    const entries = Object.entries(holder).map(([key, item]) => ({
      path: [...path, key],
      value: item,
    }));
    open.push(...entries.reverse());
  }
}

/** RFC 6901 section 6: the URI fragment form of a JSON pointer. */
function pointerPath(reference: string): string[] {
  const pointer = reference.slice(reference.indexOf('#') + 1);
  if (pointer === '' || pointer === '/') return [];
  return pointer.split('/').slice(1).map(unescapeStep);
}

function unescapeStep(step: string): string {
  let text = step;
  try {
    text = decodeURIComponent(step);
  } catch {
    // A lone percent sign: the step is meant as it stands.
  }
  return text.replaceAll('~1', '/').replaceAll('~0', '~');
}

function valueAt(root: unknown, path: JsonPath): unknown {
  let value = root;
  for (const step of path) {
    if (Array.isArray(value) && typeof step === 'number') value = value[step];
    else value = member(value, String(step));
  }
  return value;
}

function splitOnce(text: string, separator: string): [string, string] {
  const index = text.indexOf(separator);
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index + 1)];
}
