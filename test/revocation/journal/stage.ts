import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  type Journal,
  type JournalOptions,
  type JournalTarget,
  openJournal,
  type RestoreResult,
} from '../../../src/revocation/journal/journal.ts';
import { fingerprintText } from '../../../src/revocation/journal/record.ts';
import { type Lift, nameOfRule, type Rule } from '../../../src/revocation/rule.ts';
import { recordedLog } from '../../support/recorded-log.ts';

/** A folder that ends with the test. */
export function temporaryFolder(t: Pick<TestContext, 'after'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-journal-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What a gateway would have in its list after a start. */
export interface Memory extends JournalTarget {
  /** Ends in epoch seconds by fingerprint. */
  readonly tokens: Map<string, number>;
  readonly rules: Map<string, Rule>;
  readonly lifts: Map<string, Lift>;
  forgottenMs: number;
}

function memory(): Memory {
  const into: Memory = {
    tokens: new Map(),
    rules: new Map(),
    lifts: new Map(),
    forgottenMs: 0,
    token(fingerprints, at, endSeconds) {
      const key = fingerprintText(fingerprints, at);
      into.tokens.set(key, Math.max(into.tokens.get(key) ?? 0, endSeconds));
    },
    rule: ({ rule }) => void into.rules.set(nameOfRule(rule), rule),
    lift: ({ lift }) => void into.lifts.set(nameOfRule(lift), lift),
    forgottenUntil(ms) {
      into.forgottenMs = Math.max(into.forgottenMs, ms);
    },
  };
  return into;
}

/** A journal that is open, what it had, and what it said of that. */
export interface Opened extends AsyncDisposable {
  readonly journal: Journal;
  readonly memory: Memory;
  readonly restored: RestoreResult;
  readonly lines: string[];
}

export async function open(folder: string, options: Partial<JournalOptions> = {}): Promise<Opened> {
  const log = recordedLog();
  const journal = await openJournal({ folder, log, ...options });
  const into = memory();
  const restored = await journal.restore(into);
  return {
    journal,
    memory: into,
    restored,
    lines: log.lines,
    [Symbol.asyncDispose]: async () => await journal.close(),
  };
}

/** The fingerprint with this number: its words depend on all of it, and many share a first word. */
export function fingerprint(number: number): Uint32Array {
  return Uint32Array.of(
    Math.imul(number >>> 2, 0x9e37_79b1),
    number,
    Math.imul(number, 0x85eb_ca6b),
  );
}

export const LATER_S = 4_000_000_000;

export function subjectRule(subject: string, issuedBeforeMs: number): Rule {
  return {
    issuer: 'https://issuer.example',
    claims: [['sub', subject]],
    issuedBeforeMs,
    endsAtMs: LATER_S * 1000,
  };
}
