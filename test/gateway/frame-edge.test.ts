import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { closeFrame, FrameEdge } from '../../src/gateway/frame-edge.ts';
import { CLOSE_REVOKED, frame } from './web-socket.ts';

test('it knows at every byte whether a frame is under way, however the bytes are cut', () => {
  const one = fc.record({
    opcode: fc.constantFrom(0, 1, 2, 9, 10),
    length: fc.oneof(fc.nat(300), fc.constantFrom(125, 126, 65_535, 65_536, 70_000)),
    masked: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(one, { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 5_000 })),
      (all, cuts) => {
        const frames = all.map(({ opcode, length, masked }) =>
          frame(opcode, Buffer.alloc(length, 0x88), masked),
        );
        const edges = new Set([0]);
        let end = 0;
        for (const { length } of frames) edges.add((end += length));
        const bytes = Buffer.concat(frames);
        const edge = new FrameEdge();
        for (let at = 0, cut = 0; at < bytes.length; cut++) {
          const step = cuts[cut % cuts.length] ?? 70_000;
          edge.pass(bytes.subarray(at, at + step));
          at = Math.min(at + step, bytes.length);
          assert.equal(edge.isHere, edges.has(at), `after ${at} bytes of ${bytes.length}`);
        }
        assert.equal(edge.closed, false);
      },
    ),
    { numRuns: 200 },
  );
});

test('it sees a Close frame pass, in a piece or byte by byte', () => {
  for (const step of [1, 100]) {
    const edge = new FrameEdge();
    const bytes = Buffer.concat([frame(1, '\x88\x00'), frame(8, '')]);
    for (let at = 0; at < bytes.length; at += step) {
      assert.equal(edge.closed, false);
      edge.pass(bytes.subarray(at, at + step));
    }
    assert.deepEqual([edge.closed, edge.isHere], [true, true]);
  }
});

test('a length that no connection lives to see leaves it in the middle of a frame', () => {
  const edge = new FrameEdge();
  edge.pass(Buffer.from([0x82, 127, ...Array<number>(8).fill(0xff)]));
  edge.pass(Buffer.alloc(1 << 20));
  assert.equal(edge.isHere, false);
});

test('a Close frame holds its code and reason', () => {
  assert.deepEqual(closeFrame(1008, 'token revoked'), CLOSE_REVOKED);
});
