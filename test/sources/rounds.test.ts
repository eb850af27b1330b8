import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { Bell, Round, together } from '../../src/sources/rounds.ts';

const untilAborted = async (signal: AbortSignal): Promise<void> => {
  if (!signal.aborted) await once(signal, 'abort');
};

describe('bell', { timeout: 10_000 }, () => {
  const LONG_MS = 60_000;

  it('ends a pause, also when it rang before', async () => {
    const bell = new Bell();
    const { signal } = new AbortController();
    const pause = bell.pause(LONG_MS, signal);
    bell.ring();
    await pause;
    bell.ring();
    await bell.pause(LONG_MS, signal);
  });

  it('counts once: the next pause takes its time', async () => {
    const bell = new Bell();
    const stop = new AbortController();
    bell.ring();
    bell.ring();
    await bell.pause(LONG_MS, stop.signal);
    let over = false;
    const pause = bell.pause(LONG_MS, stop.signal).then(() => {
      over = true;
    });
    await bell.pause(5, AbortSignal.abort());
    assert.equal(over, false);
    stop.abort();
    await pause;
  });

  it('an abort ends a pause, and one that has not begun', async () => {
    const stop = new AbortController();
    const pause = new Bell().pause(LONG_MS, stop.signal);
    stop.abort();
    await pause;
    await new Bell().pause(LONG_MS, stop.signal);
  });
});

describe('round', { timeout: 10_000 }, () => {
  it('ends quietly after the silence, and loudly with the outer signal', async () => {
    const quiet = new Round(new AbortController().signal, 5);
    await untilAborted(quiet.signal);
    assert.equal(quiet.quiet, true);
    quiet.close();
    const outer = new AbortController();
    const ended = new Round(outer.signal, 60_000);
    outer.abort();
    assert.ok(ended.signal.aborted);
    assert.equal(ended.quiet, false);
    ended.close();
    assert.ok(new Round(outer.signal, 60_000).signal.aborted);
  });
});

describe('together', { timeout: 10_000 }, () => {
  it('fails with the first failure, after all others have ended', async () => {
    let ended = 0;
    const waits = async (signal: AbortSignal): Promise<void> => {
      await untilAborted(signal);
      ended++;
      throw new Error('because of the end');
    };
    await assert.rejects(
      together(new AbortController().signal, [
        waits,
        () => Promise.reject(new Error('the first')),
        waits,
      ]),
      /the first/,
    );
    assert.equal(ended, 2);
  });

  it('ends with the first task that ends, and with the signal', async () => {
    await together(new AbortController().signal, [untilAborted, () => Promise.resolve()]);
    const stop = new AbortController();
    const all = together(stop.signal, [untilAborted, untilAborted]);
    stop.abort();
    await all;
    await together(stop.signal, [untilAborted]);
  });
});
