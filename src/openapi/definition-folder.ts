import { readFile, readdir, realpath, stat } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Place, Problems } from './problems.ts';
import type { Library } from './references.ts';
import { MAX_DEFINITION_BYTES, SourceFile } from './source-file.ts';

/** Milliseconds for one remote document. */
const REMOTE_TIMEOUT_MS = 10_000;
const DEFINITION_FILE = /\.(?:json|yaml|yml)$/i;

/** The folder that definitions are read from: its files, and what a `$ref` in them may reach. */
export class DefinitionFolder implements Library {
  /** Path and name for messages of every definition file, by key. */
  readonly #files = new Map<string, SourceFile | undefined>();
  readonly #root: string;
  readonly #name: string;
  readonly #allowRemote: boolean;
  readonly #problems: Problems;
  /** Keys that another document refers to. */
  readonly #referred = new Set<string>();

  private constructor(root: string, name: string, allowRemote: boolean, problems: Problems) {
    this.#root = root;
    this.#name = name;
    this.#allowRemote = allowRemote;
    this.#problems = problems;
  }

  static async open(
    dir: string,
    allowRemote: boolean,
    problems: Problems,
  ): Promise<DefinitionFolder> {
    return new DefinitionFolder(await realpath(dir), basename(dir), allowRemote, problems);
  }

  /** Reads every `*.json`, `*.yaml` and `*.yml`, at any depth, in an order that does not depend on the machine. */
  async read(): Promise<{ key: string; file: SourceFile }[]> {
    const paths: string[] = [];
    await this.#walk(this.#root, new Set([this.#root]), paths);
    const read: { key: string; file: SourceFile }[] = [];
    for (const path of paths.sort()) {
      const key = pathToFileURL(path).href;
      const file = await this.load(key, { file: this.#nameOf(path) });
      if (file !== undefined) read.push({ key, file });
    }
    return read;
  }

  /** Path below the folder, `/` between its parts. */
  below(key: string): string {
    return relative(this.#root, fileURLToPath(key)).split(sep).join('/');
  }

  /** True when some document's `$ref` leads to this one: it may then be a part of a definition and no definition itself. */
  isReferredTo(key: string): boolean {
    return this.#referred.has(key);
  }

  resolve(reference: string, from: string): string {
    const url = URL.parse(reference, from);
    return url === null ? reference : url.href;
  }

  refusal(key: string): string | undefined {
    const url = URL.parse(key);
    if (url?.protocol === 'file:' && url.host === '') {
      const absolute = pathOf(url);
      if (absolute === undefined)
        return 'Its percent-encoding hides a path separator or NUL, or is none: write the name of the file as it is.';
      const path = relative(this.#root, absolute);
      const outside = path === '' || path.startsWith('..') || path.startsWith(sep);
      return outside ? `Only files inside ${this.#name}/ may be referred to.` : undefined;
    }
    if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
      return `Only files inside ${this.#name}/, http and https addresses can be referred to.`;
    }
    if (this.#allowRemote) return undefined;
    return `Remote references are fetched only with --allow-remote-refs; or copy the document into ${this.#name}/.`;
  }

  async load(key: string, place: Place): Promise<SourceFile | undefined> {
    // Whoever reads the folder itself passes the file's own place.
    if (key.startsWith('file:') && place.line !== undefined) this.#referred.add(key);
    if (this.#files.has(key)) return this.#files.get(key);
    const file = await this.#read(key, place);
    this.#files.set(key, file);
    return file;
  }

  async #read(key: string, place: Place): Promise<SourceFile | undefined> {
    if (!key.startsWith('file:')) return this.#fetch(key, place);
    const path = fileURLToPath(key);
    try {
      const real = await realpath(path);
      // A link inside the folder is the owner's own choice; one that a reference leads to is not.
      if (place.line !== undefined && !`${real}${sep}`.startsWith(`${this.#root}${sep}`)) {
        const remedy = `Only files inside ${this.#name}/ may be referred to.`;
        this.#problems.invalid(place, `The $ref leads outside ${this.#name}/`, remedy);
        return undefined;
      }
      if ((await stat(real)).size > MAX_DEFINITION_BYTES) {
        this.#problems.invalid(place, 'The file is larger than 10 MiB', 'Split it.');
        return undefined;
      }
      return SourceFile.parse(this.#nameOf(path), await readFile(real, 'utf8'), this.#problems);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
      const message = `${this.#nameOf(path)} cannot be read (${code})`;
      this.#problems.invalid(place, message, 'Check the path.');
      return undefined;
    }
  }

  async #fetch(url: string, place: Place): Promise<SourceFile | undefined> {
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(REMOTE_TIMEOUT_MS) });
      if (!answer.ok || answer.body === null) throw new Error(`HTTP status ${answer.status}`);
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
        bytes += chunk.byteLength;
        if (bytes > MAX_DEFINITION_BYTES) throw new Error('larger than 10 MiB');
        chunks.push(chunk);
      }
      return SourceFile.parse(url, Buffer.concat(chunks).toString('utf8'), this.#problems);
    } catch (error) {
      const cause = error instanceof Error ? (error.cause ?? error) : error;
      const reason = cause instanceof Error ? cause.message : String(cause);
      const remedy = 'Check the address, or copy the document into the project.';
      this.#problems.invalid(place, `${url} cannot be fetched: ${reason}`, remedy);
      return undefined;
    }
  }

  async #walk(folder: string, seen: Set<string>, paths: string[]): Promise<void> {
    for (const name of await readdir(folder)) {
      if (name.startsWith('.')) continue;
      const path = join(folder, name);
      const stats = await stat(path).catch(() => undefined);
      if (stats?.isDirectory() === true) {
        const real = await realpath(path);
        if (seen.has(real)) continue;
        seen.add(real);
        await this.#walk(path, seen, paths);
      } else if (DEFINITION_FILE.test(name)) paths.push(path);
      else {
        this.#problems.warn(
          { file: this.#nameOf(path) },
          'not an API definition (.json, .yaml, .yml): not used',
        );
      }
    }
  }

  #nameOf(path: string): string {
    return `${this.#name}/${relative(this.#root, path).split(sep).join('/')}`;
  }
}

/** The path that a `file:` URL means, or undefined where its percent-encoding is invalid, or names what no file name can hold. */
function pathOf(url: URL): string | undefined {
  if (url.pathname.includes('%00')) return undefined;
  try {
    return fileURLToPath(url);
  } catch {
    return undefined;
  }
}
