import type { Complaints, Place } from './config-error.ts';
import type { ReadSettings } from './settings.ts';

/** Something the start should say in the log. */
export interface ConfigNote {
  readonly level: 'info' | 'warn';
  readonly message: string;
}

/** What the assembling functions work on: what was read, and where to put complaints and notes. */
export class Assembly {
  readonly read: ReadSettings;
  readonly complaints: Complaints;
  readonly notes: ConfigNote[] = [];
  readonly #file: string | undefined;

  constructor(read: ReadSettings, complaints: Complaints, file: string | undefined) {
    this.read = read;
    this.complaints = complaints;
    this.#file = file;
  }

  /** Whether a key was written anywhere. */
  has(key: string): boolean {
    return this.read.places.has(key);
  }

  /** Where a key was written; else its table; else the file. */
  placeOf(key: string): Place {
    const parts = key.split('.');
    for (let length = parts.length; length > 0; length--) {
      const place = this.read.places.get(parts.slice(0, length).join('.'));
      if (place !== undefined) return place;
    }
    return this.#file === undefined ? {} : { file: this.#file };
  }

  /** `line 12`, or how the flag or variable is called: for naming the second of two places. */
  whereIs(key: string): string {
    const place = this.placeOf(key);
    if (place.source !== undefined) return place.source;
    return place.line === undefined ? 'by default' : `line ${place.line}`;
  }

  /** Two settings that cannot both hold, or one that lacks another. */
  contradiction(key: string, problem: string): void {
    this.complaints.add({
      code: 'ERR_CONFIG_CONTRADICTION',
      key,
      message: `\`${key}\` ${problem}`,
      place: this.placeOf(key),
    });
  }

  /** A value that is impossible for a reason that one key alone does not show. */
  badValue(key: string, problem: string, nearest?: string): void {
    const hint = nearest === undefined ? '' : `: did you mean \`${nearest}\`?`;
    this.complaints.add({
      code: 'ERR_CONFIG_BAD_VALUE',
      key,
      message: `\`${key}\` ${problem}${hint}`,
      place: this.placeOf(key),
      ...(nearest === undefined ? {} : { nearest }),
    });
  }

  warn(message: string): void {
    this.notes.push({ level: 'warn', message });
  }
}
