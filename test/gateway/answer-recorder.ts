import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import type { UpstreamAnswer, UpstreamFailure } from '../../src/gateway/upstream-side.ts';
import { until } from '../support/until.ts';

/** What a call to an upstream comes to. */
export class AnswerRecorder implements UpstreamAnswer {
  status = 0;
  length = 0;
  readonly fields: string[] = [];
  readonly hash = createHash('sha256');
  bytes = 0;
  flushes = 0;
  ended = false;
  failure: UpstreamFailure | undefined;
  socket: Socket | undefined;
  early = '';
  /** What `onHead` and `onData` say. */
  takes = true;

  onHead(status: number, fields: readonly string[], length: number): boolean {
    this.status = status;
    this.fields.push(...fields);
    this.length = length;
    return this.takes;
  }

  onData(chunk: Uint8Array): boolean {
    this.hash.update(chunk);
    this.bytes += chunk.length;
    return this.takes;
  }

  onEnd(): void {
    assert.equal(this.over, false);
    this.ended = true;
  }

  onFlush(): void {
    this.flushes++;
  }

  onSwitch(fields: readonly string[], socket: Socket, early: Buffer): void {
    assert.equal(this.over, false);
    this.fields.push(...fields);
    this.socket = socket;
    this.early = early.toString('latin1');
  }

  onFailure(failure: UpstreamFailure): void {
    assert.equal(this.over, false);
    this.failure = failure;
  }

  get over(): boolean {
    return this.ended || this.failure !== undefined || this.socket !== undefined;
  }

  async end(): Promise<this> {
    await until(() => this.over, 'the call is over');
    return this;
  }
}
