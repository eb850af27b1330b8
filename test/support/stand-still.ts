/** Nothing of this thread runs meanwhile: what is written before lies in the buffers of sockets. */
export function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
