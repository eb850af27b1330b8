import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { RevocationSink, RevocationSource } from '../../src/revocation/source.ts';
import { until } from '../support/until.ts';
import { openCore } from './core.ts';
import { temporaryFolder } from './journal/stage.ts';
import { POLICY } from './stage.ts';

type Topic = RevocationSource & { sink: RevocationSink | undefined };

/** A real-time source that the test speaks for. */
function topic(): Topic {
  const source: Topic = {
    name: 'topic',
    kind: 'events',
    sink: undefined,
    follow(sink: RevocationSink, signal: AbortSignal): Promise<void> {
      source.sink = sink;
      return new Promise((resolve) =>
        signal.addEventListener('abort', () => resolve(), { once: true }),
      );
    },
  };
  return source;
}

/** One run of a gateway on this folder, whose only source is a topic that stands, `gapless` or not, or which has a store beside it; or one that does not come to stand. */
async function run(folder: string, gapless: boolean, withStore = false, stands = true) {
  const source = topic();
  const store = { ...topic(), name: 'store', kind: 'list' as const };
  const followed = (source: RevocationSource, tellsOf: readonly string[]) => ({
    source,
    policy: POLICY,
    required: true,
    tellsOf,
  });
  const { revocations, journal, close } = await openCore(folder, {
    sources: withStore
      ? [followed(source, ['store']), followed(store, [])]
      : [followed(source, [])],
    denyOnUnclosedGap: true,
  });
  revocations.start();
  if (stands) source.sink?.complete(gapless);
  return { source, revocations, journal, end: close };
}

describe('a gap', () => {
  it('is not closed by a restart, though the subscription kept everything since', async (t) => {
    const folder = temporaryFolder(t);
    const first = await run(folder, false);
    assert.equal(first.revocations.ready, false);
    await first.end();
    const second = await run(folder, true);
    assert.equal(second.revocations.inGap('topic'), true);
    assert.equal(second.revocations.ready, false);
    await second.end();
  });

  it('is closed by a store that the topic has beside it from now on', async (t) => {
    const folder = temporaryFolder(t);
    await (await run(folder, false)).end();
    const second = await run(folder, false, true);
    assert.equal(second.revocations.inGap('topic'), false);
    await second.end();
  });

  it('is there when the folder is new, however old the subscription is', async (t) => {
    const only = await run(temporaryFolder(t), true);
    assert.equal(only.revocations.inGap('topic'), true);
    await only.end();
  });

  it('is not there after a restart of a gateway that had none', async (t) => {
    const folder = temporaryFolder(t);
    const first = await run(folder, false);
    await until(() => first.revocations.list.state.known, 'it is known');
    // As if the longest token life had passed since.
    await first.journal.saveGaps(new Map());
    await first.end();
    const second = await run(folder, true);
    assert.equal(second.revocations.inGap('topic'), false);
    assert.equal(second.revocations.ready, true);
    await second.end();
  });

  it('is there when what was kept of gaps cannot be read', async (t) => {
    const folder = temporaryFolder(t);
    await (await run(folder, false)).end();
    await writeFile(join(folder, 'gaps'), 'x');
    const second = await run(folder, true);
    assert.equal(second.revocations.inGap('topic'), true);
    await second.end();
  });

  it('is written down from the first start on, also that there is none', async (t) => {
    const folder = temporaryFolder(t);
    const only = await run(folder, true, true);
    await only.end();
    assert.match(await readFile(join(folder, 'gaps'), 'utf8'), /\n\[\]\n$/);
  });

  it('is there when the file of gaps is gone, also after an end before the topic stood', async (t) => {
    for (const stood of [true, false]) {
      const folder = temporaryFolder(t);
      const first = await run(folder, false);
      await until(() => first.revocations.list.state.known, 'it is known');
      await first.end();
      await rm(join(folder, 'gaps'));
      if (!stood) await (await run(folder, true, false, false)).end();
      const second = await run(folder, true);
      assert.equal(second.revocations.inGap('topic'), true);
      await second.end();
    }
  });

  it('is there when another gateway had the journal, and what that one heard is damaged', async (t) => {
    for (const withStore of [false, true]) {
      const folder = temporaryFolder(t);
      const first = await run(folder, true, withStore);
      first.revocations.list.addToken({ keys: ['i1'], endsAtMs: Date.now() + 3_600_000 }, 'topic');
      // As if the longest token life had passed since.
      await first.journal.saveGaps(new Map());
      await first.end();
      const only = await run(folder, true, withStore);
      t.after(() => only.end());
      assert.equal(only.revocations.inGap('topic'), false);
      await only.journal.lend();
      await only.journal.takeBack();
      assert.equal(only.revocations.inGap('topic'), false, 'nobody had it meanwhile');
      await only.journal.lend();
      await writeFile(join(folder, 'committed'), 'x'.repeat(64));
      await writeFile(join(folder, 'segment-0000000001'), 'damaged');
      assert.equal(await only.journal.takeBack(), true);
      assert.equal(only.revocations.inGap('topic'), !withStore, 'what a store says is not lost');
      assert.equal((await only.journal.loadGaps())?.has('topic'), !withStore, 'nor forgotten');
    }
  });
});

describe('what an earlier run has known', () => {
  const store = () => [
    {
      source: { ...topic(), name: 'store', kind: 'list' as const },
      policy: POLICY,
      required: true,
      tellsOf: [],
    },
  ];

  /** A run whose only source is never read; and one without sources, which knows all there is. */
  const waiting = (folder: string, basis: string) => openCore(folder, { basis, sources: store() });
  const knowing = async (folder: string, basis: string): Promise<void> => {
    const { revocations, close } = await openCore(folder, { basis });
    const begun = performance.now();
    revocations.start();
    const isSaidAnew = () => (revocations.stalenessMs ?? Infinity) < performance.now() - begun;
    await until(isSaidAnew, 'it is said of a moment after the start');
    await close();
  };

  it('is known after a restart that follows the same', async (t) => {
    const folder = temporaryFolder(t);
    await knowing(folder, 'a');
    const second = await waiting(folder, 'a');
    assert.equal(second.revocations.reader.knowledge(), 'fresh');
    await second.close();
  });

  it('is not known where something else is followed, nor by the run after that', async (t) => {
    const folder = temporaryFolder(t);
    await knowing(folder, 'a');
    for (const basis of ['b', 'b', 'a']) {
      const run = await waiting(folder, basis);
      assert.equal(run.revocations.reader.knowledge(), 'never', basis);
      await run.close();
    }
  });
});
