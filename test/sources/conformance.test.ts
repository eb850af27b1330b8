import type { RevocationSink, RevocationSource } from '../../src/revocation/source.ts';
import { testSource } from './conformance.ts';

/** The simplest adapter there can be, in both kinds: shows that the suite asks nothing that a right adapter does not do. */
function memorySource(kind: RevocationSource['kind']) {
  const entries: (string | undefined)[] = [];
  const followers = new Map<RevocationSink, (error: Error) => void>();
  let broken = false;

  const deliver = (sink: RevocationSink, entry: string | undefined): void => {
    if (entry === undefined) sink.drop('no token in it');
    else sink.add({ token: entry });
  };
  const put = (entry: string | undefined): Promise<void> => {
    entries.push(entry);
    for (const sink of followers.keys()) deliver(sink, entry);
    return Promise.resolve();
  };

  function readAll(sink: RevocationSink): void {
    if (kind === 'list') for (const entry of entries) deliver(sink, entry);
    sink.complete();
  }

  return Promise.resolve({
    open: () => {
      let reread = (): void => undefined;
      return {
        source: {
          name: 'memory',
          kind,
          reread: () => reread(),
          async follow(sink: RevocationSink, signal: AbortSignal) {
            if (signal.aborted) return;
            if (broken) throw new Error('memory: unreachable');
            await new Promise<void>((resolve, reject) => {
              reread = () => readAll(sink);
              followers.set(sink, reject);
              readAll(sink);
              signal.addEventListener('abort', () => resolve(), { once: true });
            }).finally(() => followers.delete(sink));
          },
        },
        close: () => Promise.resolve(),
      };
    },
    revoke: put,
    revokeMalformed: () => put(undefined),
    breakLink: () => {
      broken = true;
      for (const reject of followers.values()) reject(new Error('memory: link lost'));
      followers.clear();
      return Promise.resolve();
    },
    mendLink: () => {
      broken = false;
      return Promise.resolve();
    },
    secrets: [],
    close: () => Promise.resolve(),
  });
}

testSource('memory (list)', 'list', () => memorySource('list'));
testSource('memory (events)', 'events', () => memorySource('events'));
