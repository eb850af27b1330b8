import { readFileSync } from 'node:fs';
import { Session, type Profiler } from 'node:inspector';
import { fileURLToPath } from 'node:url';

/** A source file and which of its characters have run. */
interface Covered {
  readonly text: string;
  readonly ran: Uint8Array;
}

/** What ran between two looks. */
export interface Look {
  /** Some of it had not run in any look that was marked. */
  readonly fresh: boolean;
  mark(): void;
}

/** What V8 has run of some source files, block by block, since the start of this. Start it before they are imported. */
export class BlockCoverage {
  readonly #session = new Session();
  readonly #wanted: (url: string) => boolean;
  /** By URL. */
  readonly #scripts = new Map<string, Covered>();

  constructor(wanted: (url: string) => boolean) {
    this.#wanted = wanted;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** What ran since the look before. */
  look(): Look {
    const looks = this.#take().map((script) => {
      const covered = this.#scriptOf(script.url);
      // Outer ranges come before those within them, which say more.
      const runs = new Uint8Array(covered.text.length);
      for (const { ranges } of script.functions)
        for (const { startOffset, endOffset, count } of ranges)
          runs.fill(count > 0 ? 1 : 0, startOffset, endOffset);
      return { ran: covered.ran, runs };
    });
    return {
      fresh: looks.some(({ ran, runs }) => runs.some((run, at) => run === 1 && ran[at] === 0)),
      mark: () => {
        for (const { ran, runs } of looks)
          for (const [at, run] of runs.entries()) if (run === 1) ran[at] = 1;
      },
    };
  }

  /** Of the lines with code: how many ran at least in part, and those of which something did not, as `file:line`. */
  summary(): { readonly lines: number; readonly ran: number; readonly missed: string[] } {
    let lines = 0;
    let ran = 0;
    const missed: string[] = [];
    for (const [url, { text, ran: chars }] of this.#scripts) {
      const name = url.slice(url.lastIndexOf('/') + 1);
      let start = 0;
      for (const [index, line] of text.split('\n').entries()) {
        const code = codeOf(line);
        const places = [...code.matchAll(/[^\s{}()[\];,]/g)].map(({ index }) => start + index);
        start += line.length + 1;
        if (places.length === 0) continue;
        lines++;
        if (places.some((place) => chars[place] === 1)) ran++;
        if (places.some((place) => chars[place] === 0)) missed.push(`${name}:${index + 1}`);
      }
    }
    return { lines, ran, missed };
  }

  close(): void {
    this.#session.disconnect();
  }

  #take(): Profiler.ScriptCoverage[] {
    let scripts: Profiler.ScriptCoverage[] = [];
    this.#session.post('Profiler.takePreciseCoverage', (error, coverage) => {
      if (error !== null) throw error;
      scripts = coverage.result.filter(({ url }) => this.#wanted(url));
    });
    return scripts;
  }

  #scriptOf(url: string): Covered {
    const known = this.#scripts.get(url);
    if (known !== undefined) return known;
    const text = readFileSync(fileURLToPath(url), 'utf8');
    const covered = { text, ran: new Uint8Array(text.length) };
    this.#scripts.set(url, covered);
    return covered;
  }
}

/** The line without what is only comment. */
function codeOf(line: string): string {
  return /^\s*(?:\*|\/\*|\/\/)/.test(line) ? '' : line.replace(/\s\/\/ .*$/, '');
}
