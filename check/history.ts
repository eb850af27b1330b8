import { createWriteStream, type WriteStream } from 'node:fs';

/** All times are milliseconds since the history began, by the monotonic clock of the one process that writes it. */

/** What a client saw. A timed-out or broken call is `unknown`: it may have been admitted or not. */
export type Result = 'ok' | 'denied' | 'unavailable' | 'unknown';

/**
 * Where a revocation can be seen. `pair`: it was put into the store first and then published on the topic, as WSO2 does, so that whoever follows both
 * finds it in one of them. `gateway:<name>` is the gateway whose operator made it.
 */
export type Medium = 'broker' | 'etcd' | 'pair' | 'service' | `gateway:${string}`;

/** How a revocation was made. */
export type Channel = 'broker' | 'etcd' | 'service' | 'operator' | 'rule';

export interface Issued {
  readonly type: 'issued';
  readonly at: number;
  readonly token: string;
  /** End of the token's life; may lie far behind the end of the run. */
  readonly expiresAt: number;
}

export interface Request {
  readonly type: 'request';
  readonly client: string;
  readonly gateway: string;
  readonly token: string;
  readonly tStart: number;
  readonly tEnd: number;
  readonly result: Result;
  /** HTTP status, or why there was none. */
  readonly answer: number | string;
  readonly connection: 'kept' | 'fresh';
}

export interface Revoke {
  readonly type: 'revoke';
  readonly channel: Channel;
  readonly token: string;
  readonly tStart: number;
  readonly tEnd: number;
  readonly result: 'ok' | 'unknown';
  /** The gateway whose operator did it. */
  readonly gateway?: string;
  /** Why the result is unknown. */
  readonly reason?: string;
}

/** From `at` on the revocation is in that medium: whoever reads it then finds it. */
export interface Visible {
  readonly type: 'visible';
  readonly at: number;
  readonly token: string;
  readonly medium: Medium;
}

/**
 * What the medium held of this token was lost (the store was put back from an old copy): who did not know it yet cannot learn it there. It was
 * there until `since`, and is known to be gone at `at`.
 */
export interface Lost {
  readonly type: 'lost';
  readonly since: number;
  readonly at: number;
  readonly token: string;
  readonly medium: Medium;
  /** The one gateway that it is lost for; absent: all. */
  readonly gateway?: string;
}

export interface FaultSpan {
  readonly type: 'fault';
  readonly kind: string;
  /** Gateway or server that it hits. */
  readonly target: string;
  readonly tStart: number;
  readonly tEnd: number;
}

export interface MemberEvent {
  readonly type: 'member';
  readonly at: number;
  readonly gateway: string;
  readonly event: 'started' | 'ended';
  readonly detail: string;
}

/** Everything was put right: from here on members have to agree soon. */
export interface Healed {
  readonly type: 'healed';
  readonly at: number;
}

export interface Sample {
  readonly type: 'sample';
  readonly at: number;
  readonly gateway: string;
  readonly when: 'baseline' | 'end';
  readonly rssBytes: number;
  readonly descriptors: number;
}

export type Entry =
  | Issued
  | Request
  | Revoke
  | Visible
  | Lost
  | FaultSpan
  | MemberEvent
  | Healed
  | Sample;

/** What happened in one run, in memory and, line by line, in a file. */
export class History {
  readonly entries: Entry[] = [];
  readonly #began = performance.now();
  readonly #file: WriteStream | undefined;

  /** @param path of a JSONL file; absent: in memory only */
  constructor(path?: string) {
    this.#file = path === undefined ? undefined : createWriteStream(path);
  }

  /** Milliseconds since it began. */
  now(): number {
    return Math.round((performance.now() - this.#began) * 10) / 10;
  }

  add(entry: Entry): void {
    this.entries.push(entry);
    this.#file?.write(`${JSON.stringify(entry)}\n`);
  }

  async close(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    await new Promise<void>((resolve) => {
      file.end(() => resolve());
    });
  }
}
