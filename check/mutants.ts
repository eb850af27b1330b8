import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { REPLACEMENTS, type Replacement } from './mutation.ts';
import type { ValidatorName } from './validators.ts';

/** A bug that the check has to find. */
export interface Mutant {
  readonly name: string;
  /** What somebody could have got wrong. */
  readonly bug: string;
  readonly replacements: readonly Replacement[];
  /**
   * Shorter times in the product, without which the bug would show only after minutes. With these alone the same run has to be good: it is the
   * bug that is found, not they.
   */
  readonly hurry?: readonly Replacement[];
  /** Faults aimed at it: kind, gateway or server that it hits where the kind leaves that open, and milliseconds from the start. */
  readonly faults: readonly {
    readonly kind: string;
    readonly at: number;
    readonly target?: string;
  }[];
  /** One of these has to fail. Neither V0 nor V4 is among them: a gateway that only stopped working would fail those too. */
  readonly caughtBy: readonly ValidatorName[];
}

/** How long a run against a mutant has traffic, milliseconds. */
export const MUTANT_RUN_MS = 9_000;

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'no-re-read',
    bug: 'after a reconnect the store is followed from its newest revision, and what was written meanwhile is not read',
    replacements: [
      {
        file: 'sources/etcd-v3-prefix.js',
        from: 'await this.addAll(kvs, signal); key = page',
        to: 'if ((globalThis.wholeReads ?? 0) < 2) await this.addAll(kvs, signal); key = page',
      },
      {
        file: 'sources/etcd-v3-prefix.js',
        from: "if (position === undefined) throw new Error('etcd gave no revision'); return position;",
        to: "if (position === undefined) throw new Error('etcd gave no revision'); globalThis.wholeReads = (globalThis.wholeReads ?? 0) + 1; return position;",
      },
    ],
    faults: [{ kind: 'etcd-compact', at: 1_000 }],
    caughtBy: ['V1'],
  },
  {
    name: 'cached-allow',
    bug: 'a token that was admitted once is admitted again without asking the list',
    replacements: [
      {
        file: 'revocation/reader.js',
        from: "if (this.revokedBy(token) !== undefined) return 'revoked'; return fresh ? 'clear' : 'unknown';",
        to: "if (token.admitted === true) return 'clear'; if (this.revokedBy(token) !== undefined) return 'revoked'; if (!fresh) return 'unknown'; token.admitted = true; return 'clear';",
      },
    ],
    faults: [{ kind: 'links-cut', at: 1_000 }],
    caughtBy: ['V1', 'V2'],
  },
  {
    name: 'last-ttl-wins',
    bug: 'a later message with a shorter life shortens an entry',
    replacements: [
      {
        file: 'revocation/table/table-store.js',
        from: 'Math.max(secondsOf(given), secondsOf(known))',
        to: 'secondsOf(given)',
      },
    ],
    hurry: [
      {
        file: 'revocation/revocations.js',
        from: 'const SPARE_MARGIN_MS = 60_000;',
        to: 'const SPARE_MARGIN_MS = 0;',
      },
      { file: 'revocation/revocations.js', from: 'const SKEWS = 3;', to: 'const SKEWS = 0;' },
      {
        file: 'revocation/revocation-list.js',
        from: 'const END_STEP_S = 64;',
        to: 'const END_STEP_S = 1;',
      },
    ],
    faults: [{ kind: 'late-look', at: 500 }],
    caughtBy: ['V1'],
  },
  {
    name: 'null-delivery',
    bug: 'the broker says that it has cancelled the consumer, and a connection that stands counts as a subscription that stands',
    replacements: [
      {
        file: 'sources/amqp.js',
        from: "this.#broken.reject(new Error('the broker cancelled the consumer (was its queue deleted?)'));",
        to: '',
      },
      {
        file: 'sources/amqp.js',
        from: 'const found = await this.#within(limit, channel.checkQueue(name), stop);',
        to: 'const found = { messageCount: 0, consumerCount: 1 };',
      },
      {
        file: 'sources/amqp.js',
        from: 'for (const exchange of exchanges) await',
        to: 'for (const exchange of []) await',
      },
    ],
    faults: [{ kind: 'queue-deleted', at: 1_000 }],
    caughtBy: ['V1'],
  },
  {
    name: 'topic-rule-ignored',
    bug: 'a rule that comes over the topic is passed over, which only a gateway without a store shows',
    replacements: [{ file: 'sources/amqp.js', from: 'sink.rule(reading.event);', to: '' }],
    faults: [{ kind: 'slow-links', at: 1_000, target: 'gamma' }],
    caughtBy: ['V1'],
  },
  {
    name: 'acknowledged-before-written',
    bug: 'what was learnt is acknowledged before it is in the journal, which is written later',
    replacements: [
      {
        file: 'revocation/journal/group-commit.js',
        from: 'async durable() {',
        to: 'async durable() { return;',
      },
      {
        file: 'revocation/journal/group-commit.js',
        from: '? Math.min(SOON_MS, this.#options.groupCommitMs) : this.#options.groupCommitMs;',
        to: '? 10_000 : 10_000;',
      },
    ],
    faults: [
      { kind: 'revoke-and-kill', at: 1_000, target: 'alpha' },
      { kind: 'gateway-kill', at: 3_000, target: 'gamma' },
    ],
    caughtBy: ['V1', 'V2'],
  },
];

/** Environment of a gateway process with these replacements. */
export function mutatedEnvironment(
  replacements: readonly Replacement[],
): Readonly<Record<string, string>> {
  const preload = pathToFileURL(join(import.meta.dirname, 'preload.ts')).href;
  return {
    NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import=${preload}`.trim(),
    [REPLACEMENTS]: JSON.stringify(replacements),
  };
}
