/**
 * One suite for every adapter, against its real server: what `RevocationSource` promises and what the revocation list relies on.
 *
 * An adapter's test calls `testSource(name, start)`; `start` brings the server up once and returns a {@link SourceHarness}.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { inspect } from 'node:util';
import type { Log } from '../../src/log.ts';
import type { RevocationEvent } from '../../src/revocation/revocation.ts';
import type { RuleEvent } from '../../src/revocation/rule-event.ts';
import type { RevocationSink, RevocationSource } from '../../src/revocation/source.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { until } from '../support/until.ts';

/** An adapter and what the test made for it (an HTTP client, a certificate), which `close` lets go of. */
export interface OpenedSource {
  readonly source: RevocationSource;
  readonly close: () => Promise<void>;
}

/** One real server with a way to revoke there. Each call of `open` is a new adapter on the same server. */
export interface SourceHarness {
  open(log: Log): OpenedSource;
  /** An adapter with a wrong password, where the server has passwords. */
  openRefused?(log: Log): OpenedSource;
  /** Revokes on the server, also while the adapter's link is broken. Resolves when the server has it. Twice the same is no error. */
  revoke(token: string): Promise<void>;
  /** Puts one entry or message there that carries no usable revocation. Absent: the server cannot hold one. */
  revokeMalformed?(): Promise<void>;
  /** Breaks the adapter's link: what is open ends and new connections are refused. */
  breakLink(): Promise<void>;
  /** Most entries that a `list` adapter tells of without a rest. Absent: it has no hold on how many come at a time. */
  readonly portion?: number;
  mendLink(): Promise<void>;
  /** Words that must be in no error and no log line. */
  readonly secrets: readonly string[];
  close(): Promise<void>;
}

const DEADLINE_MS = 15_000;

/** Text that a careless key, path or object changes or loses. `unique` keeps one run apart from another. */
export function awkwardTokens(unique: string): readonly string[] {
  return [
    `a/b/${unique}`,
    `/${unique}`,
    `../${unique}`,
    `.${unique}`,
    `_${unique}`,
    `${unique}/`,
    `nul\u0000nul-${unique}`,
    `caf\u00e9-${unique}`,
    `cafe\u0301-${unique}`,
    `\ufeffbom-${unique}`,
    `\u{1f512}-${unique}`,
    `per%2Fcent%-${unique}`,
    `plus+and space ${unique} `,
    `"quoted" 'line'\r\n\t${unique}`,
    `jti:*?[${unique}]`,
    '__proto__',
    'constructor',
    `${'x'.repeat(1000 - unique.length)}${unique}`,
  ];
}

/** Remembers everything an adapter says, and can be waited on. */
export class CollectingSink implements RevocationSink {
  readonly events: RevocationEvent[] = [];
  readonly tokens = new Set<string>();
  readonly rules: RuleEvent[] = [];
  readonly drops: string[] = [];
  /** How many tokens were known at each `complete`. */
  readonly completes: number[] = [];
  /** The tokens known at the first `complete`. */
  firstList: ReadonlySet<string> | undefined;
  /** What each `complete` said of the gap behind it. */
  readonly gapless: boolean[] = [];
  /** The moments that were proved, `performance.now()`. */
  readonly provedAt: number[] = [];
  /** Set by a test that has a journal. */
  durable?: () => Promise<void>;
  /** Set by a test that looks at the rests of an adapter. */
  rest?: () => Promise<void>;

  add(event: RevocationEvent): void {
    this.events.push(event);
    if (event.token !== undefined) this.tokens.add(event.token);
  }

  rule(event: RuleEvent): void {
    this.rules.push(event);
  }

  drop(reason: string): void {
    this.drops.push(reason);
  }

  complete(gapless = false): void {
    this.gapless.push(gapless);
    this.completes.push(this.tokens.size);
    this.firstList ??= new Set(this.tokens);
  }

  alive(sinceMs = performance.now()): void {
    assert.ok(sinceMs <= performance.now(), 'nothing is proved for a moment to come');
    this.provedAt.push(sinceMs);
  }

  get proofs(): number {
    return this.provedAt.length;
  }

  has(...tokens: readonly string[]): boolean {
    return tokens.every((token) => this.tokens.has(token));
  }
}

/** A running `follow`, whose end can be looked at. */
export class Following {
  readonly sink: CollectingSink;
  readonly #opened: OpenedSource;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #ended: { readonly error?: unknown } | undefined;

  constructor(opened: OpenedSource, sink = new CollectingSink()) {
    this.#opened = opened;
    this.sink = sink;
    this.#done = opened.source.follow(sink, this.#stop.signal).then(
      () => {
        this.#ended = {};
      },
      (error: unknown) => {
        this.#ended = { error };
      },
    );
  }

  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** Waits for a state; an adapter that gives up meanwhile fails the test with its reason. */
  async until(condition: (sink: CollectingSink) => boolean, what: string): Promise<void> {
    await until(
      () => {
        if (condition(this.sink)) return true;
        if (this.#ended !== undefined)
          throw new Error(`follow ended before: ${what}`, { cause: this.#ended.error });
        return false;
      },
      what,
      DEADLINE_MS,
    );
  }

  async complete(): Promise<void> {
    await this.until((sink) => sink.completes.length > 0, 'complete() was called');
  }

  /** The reason for which `follow` gave up. */
  async rejection(): Promise<Error> {
    await until(() => this.ended, 'follow gave up', DEADLINE_MS);
    const { error } = this.#ended ?? {};
    assert.ok(error instanceof Error, 'follow rejects with an Error when its link is broken');
    return error;
  }

  /** Ends it as the gateway does, and lets go of the adapter. */
  async stop(): Promise<void> {
    this.#stop.abort();
    try {
      await Promise.race([
        this.#done,
        pause(DEADLINE_MS, undefined, { ref: false }).then(() => {
          throw new Error('follow did not end after the abort');
        }),
      ]);
    } finally {
      await this.#opened.close();
    }
  }
}

/** Sockets and timers that would keep the process alive. */
async function activeResources(): Promise<string[]> {
  await pause(1);
  return process
    .getActiveResourcesInfo()
    .filter((name) => /TCPSocketWrap|TLSWrap|Timeout/.test(name))
    .sort();
}

function assertNoSecrets(harness: SourceHarness, what: string, text: string): void {
  for (const secret of harness.secrets)
    assert.ok(!text.includes(secret), `${what} holds a secret: ${text.replaceAll(secret, '***')}`);
}

/** Runs the suite over one adapter. `kind` is what the adapter says it is. */
export function testSource(
  name: string,
  kind: RevocationSource['kind'],
  start: () => Promise<SourceHarness>,
): void {
  describe(`source ${name} keeps what every source promises`, { timeout: 180_000 }, () => {
    let harness: SourceHarness;
    let log = recordedLog();
    const running = new Set<Following>();

    before(async () => {
      harness = await start();
    });
    after(async () => {
      await harness?.close();
    });

    const fresh = (word: string): string => `${word}-${randomUUID()}`;

    function follow(sink = new CollectingSink(), opened = harness.open(log)): Following {
      const following = new Following(opened, sink);
      running.add(following);
      return following;
    }

    function promise(title: string, body: () => Promise<void>): void {
      it(title, { timeout: 60_000 }, async () => {
        log = recordedLog();
        try {
          await body();
        } finally {
          for (const following of running) await following.stop();
          running.clear();
        }
        assertNoSecrets(harness, 'the log', log.lines.join('\n'));
      });
    }

    promise('says its name and kind', async () => {
      const opened = harness.open(log);
      assert.equal(opened.source.kind, kind);
      assert.notEqual(opened.source.name, '');
      await opened.close();
    });

    if (kind === 'list') {
      promise('delivers what was revoked before, all of it before complete()', async () => {
        const tokens = Array.from({ length: 50 }, () => fresh('before'));
        for (const token of tokens) await harness.revoke(token);
        const following = follow();
        await following.complete();
        for (const token of tokens)
          assert.ok(
            following.sink.firstList?.has(token),
            'a revoked token was missing at complete()',
          );
      });

      promise('tells of a long list in portions, and waits for each rest to be over', async () => {
        const { portion } = harness;
        if (portion === undefined) return;
        for (let i = 0; i < 2 * portion + 10; i++) await harness.revoke(fresh('long'));
        const sink = new CollectingSink();
        const atRest: number[] = [];
        const rested = Promise.withResolvers<void>();
        sink.rest = () => {
          atRest.push(sink.events.length);
          return rested.promise;
        };
        const following = follow(sink);
        await following.until(() => atRest.length > 0, 'the adapter rests');
        for (let turn = 0; turn < 20; turn++) await pause(1);
        assert.deepEqual([atRest.length, sink.completes.length], [1, 0]);
        assert.equal(sink.events.length, atRest[0], 'nothing was told while it rested');
        rested.resolve();
        await following.complete();
        for (const [i, count] of atRest.entries())
          assert.ok(count - (atRest[i - 1] ?? 0) <= portion, `at ${atRest.join()}`);
        assert.ok(atRest.length >= 2, `${atRest.length} rests`);
      });

      promise('completes an unchanged list too, and reads it again when asked', async () => {
        const opened = harness.open(log);
        const following = follow(new CollectingSink(), opened);
        await following.complete();
        if (opened.source.reread === undefined) return;
        const { length } = following.sink.completes;
        opened.source.reread();
        await following.until((sink) => sink.completes.length > length, 'a second complete()');
      });
    }

    promise('delivers a change while it follows', async () => {
      const following = follow();
      await following.complete();
      for (const word of ['first', 'second']) {
        const token = fresh(word);
        assert.ok(!following.sink.has(token));
        await harness.revoke(token);
        await following.until((sink) => sink.has(token), 'the change arrived');
      }
      assert.ok(!following.ended);
    });

    promise('rejects when its link breaks, and says nothing secret', async () => {
      const following = follow();
      await following.complete();
      await harness.breakLink();
      try {
        assertNoSecrets(harness, 'the error', inspect(await following.rejection(), { depth: 9 }));
      } finally {
        await harness.mendLink();
      }
    });

    promise('rejects when its server cannot be reached', async () => {
      await harness.breakLink();
      try {
        const following = follow();
        const error = await following.rejection();
        assert.notEqual(error.message, '');
        assertNoSecrets(harness, 'the error', inspect(error, { depth: 9 }));
        assert.equal(
          following.sink.completes.length,
          0,
          'nothing was read, so nothing is complete',
        );
      } finally {
        await harness.mendLink();
      }
    });

    promise('rejects a wrong password, and says nothing secret', async () => {
      if (harness.openRefused === undefined) return;
      const following = follow(new CollectingSink(), harness.openRefused(log));
      const error = await following.rejection();
      assert.notEqual(error.message, '');
      assertNoSecrets(harness, 'the error', inspect(error, { depth: 9 }));
      assert.equal(following.sink.completes.length, 0, 'nothing was read, so nothing is complete');
    });

    promise('goes on after a gap with a new follow of the same adapter', async () => {
      const opened = harness.open(log);
      const sink = new CollectingSink();
      const first = follow(sink, { source: opened.source, close: () => Promise.resolve() });
      await first.complete();
      const missed = fresh('missed');
      await harness.breakLink();
      try {
        await first.rejection();
        await harness.revoke(missed);
      } finally {
        await harness.mendLink();
      }
      const { length } = sink.completes;
      const second = follow(sink, opened);
      await second.until(({ completes }) => completes.length > length, 'complete() again');
      if (kind === 'list') assert.ok(sink.has(missed), 'what was revoked in the gap is known');
      const later = fresh('later');
      await harness.revoke(later);
      await second.until((seen) => seen.has(later), 'a change after the gap arrived');
    });

    if (kind === 'list') {
      promise(
        'forgets nothing between two gateways: another sink gets the whole list',
        async () => {
          const token = fresh('whole');
          await harness.revoke(token);
          const opened = harness.open(log);
          const first = follow(new CollectingSink(), {
            source: opened.source,
            close: () => Promise.resolve(),
          });
          await first.complete();
          await first.stop();
          const second = follow(new CollectingSink(), opened);
          await second.complete();
          assert.ok(second.sink.firstList?.has(token));
        },
      );
    }

    promise('takes the same revocation twice', async () => {
      const following = follow();
      await following.complete();
      const twice = fresh('twice');
      await harness.revoke(twice);
      await harness.revoke(twice);
      const afterwards = fresh('afterwards');
      await harness.revoke(afterwards);
      await following.until((sink) => sink.has(twice, afterwards), 'both arrived');
      assert.ok(!following.ended);
    });

    promise('counts a malformed entry and keeps the good ones around it', async () => {
      if (harness.revokeMalformed === undefined) return;
      const [good, better, live] = [fresh('good'), fresh('better'), fresh('live')];
      const following = follow();
      await following.complete();
      await harness.revoke(good);
      await harness.revokeMalformed();
      await harness.revoke(better);
      await following.until((sink) => sink.has(good, better), 'the good ones arrived');
      await following.until((sink) => sink.drops.length > 0, 'the malformed one was counted');
      for (const reason of following.sink.drops) assert.match(reason, /^[\w ,'()-]{3,80}$/);
      assert.ok(!following.ended, 'a malformed entry breaks no link');
      if (kind === 'list') {
        const again = follow();
        await again.complete();
        assert.ok(again.sink.has(good, better), 'a list with a malformed entry is read whole');
        assert.ok(again.sink.drops.length > 0);
      }
      await harness.revoke(live);
      await following.until((sink) => sink.has(live), 'the next change arrived');
    });

    promise('carries every token exactly as it was revoked', async () => {
      const live = awkwardTokens(fresh('live'));
      const following = follow();
      await following.complete();
      for (const token of live) await harness.revoke(token);
      for (const token of live)
        await following.until((sink) => sink.has(token), `${inspect(token)} arrived as a change`);
      if (kind === 'list') {
        const again = follow();
        await again.complete();
        for (const token of live)
          assert.ok(again.sink.has(token), `${inspect(token)} is in the list`);
      }
    });

    promise('ends at once when aborted, at any time, and leaves nothing open', async () => {
      const before = await activeResources();
      for (const when of ['before', 'connecting', 'following'] as const) {
        const opened = harness.open(log);
        const stop = new AbortController();
        if (when === 'before') stop.abort();
        const sink = new CollectingSink();
        const done = opened.source.follow(sink, stop.signal);
        if (when === 'following') await until(() => sink.completes.length > 0, 'complete()');
        stop.abort();
        await done;
        const { length } = sink.events;
        await opened.close();
        assert.equal(sink.events.length, length, 'nothing comes after the end');
      }
      await until(
        async () => {
          const now = await activeResources();
          return now.length <= before.length;
        },
        `nothing open but ${inspect(before)}`,
      ).catch(async (error: unknown) => {
        assert.fail(`${String(error)}; open: ${inspect(await activeResources())}`);
      });
    });
  });
}
