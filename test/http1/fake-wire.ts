import assert from 'node:assert/strict';
import type { Clock, Settling, Wire } from '../../src/http1/wire.ts';

/** Time that a test moves. */
export class FakeClock implements Clock {
  nowMs = 1_000_000;
}

/** A socket without a network. It holds its user to the contract: nothing after the end, nothing at all once it is closed. */
export class FakeWire implements Wire {
  /** Everything written, latin1. */
  written = '';
  /** System calls that it took. */
  calls = 0;
  backlog = 0;
  /** Writes go into the backlog, and return false. */
  full = false;
  paused = false;
  /** FIN was sent. */
  ended = false;
  closed: 'no' | 'destroyed' | 'reset' = 'no';
  /** The turn ends when a test says so; else at once. */
  turning = false;
  #settling: Settling | undefined;

  write(bytes: string | Uint8Array): boolean {
    return this.#write(typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('latin1'));
  }

  writeAll(first: string, body: Uint8Array, last: string): boolean {
    return this.#write(first + Buffer.from(body).toString('latin1') + last);
  }

  settle(who: Settling): void {
    this.#settling = who;
    if (!this.turning) this.endTurn();
  }

  endTurn(): void {
    this.#settling?.settled();
    this.#settling = undefined;
  }

  pause(): void {
    assert.equal(this.closed, 'no');
    assert.equal(this.paused, false, 'paused twice');
    this.paused = true;
  }

  resume(): void {
    assert.equal(this.closed, 'no');
    assert.equal(this.paused, true, 'resumed twice');
    this.paused = false;
  }

  end(): void {
    assert.equal(this.closed, 'no');
    assert.equal(this.ended, false, 'ended twice');
    this.ended = true;
  }

  destroy(): void {
    assert.equal(this.closed, 'no');
    this.closed = 'destroyed';
  }

  reset(): void {
    assert.equal(this.closed, 'no');
    this.closed = 'reset';
  }

  /** What was written since this was asked last. */
  take(): string {
    const { written } = this;
    this.written = '';
    return written;
  }

  #write(text: string): boolean {
    assert.equal(this.closed, 'no', 'write on a closed wire');
    assert.equal(this.ended, false, 'write behind FIN');
    assert.notEqual(text, '');
    this.calls += 1;
    this.written += text;
    if (!this.full) return true;
    this.backlog += text.length;
    return false;
  }
}

export const LIMITS = { maxTarget: 4_096, maxFieldBytes: 8_192, maxFields: 100 };

export function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
