import type { Admission } from './admission.ts';
import type { EngineListener } from './client-side.ts';
import type { DataPlane } from './data-plane.ts';
import { StreamFront } from './node-engine/stream-front.ts';
import { NodeListener } from './node-engine/node-listener.ts';
import type { Engine, ListenerOptions, Timeouts } from './options.ts';
import { OwnListener } from './own-engine/own-listener.ts';
import type { Sweep } from './sweep.ts';

/**
 * A listener of the engine that is configured; it is not bound yet. HTTP/2 is node:http2's in both.
 * @param clock of the sweep that it is to be added to
 */
export function createListener(
  engine: Engine,
  options: ListenerOptions,
  plane: DataPlane,
  timeouts: Timeouts,
  admission: Admission,
  clock: Sweep['clock'],
): EngineListener {
  if (engine === 'node') return new NodeListener(options, plane, timeouts, admission, clock);
  const http2 = options.kind !== 'http' && (options.http2 ?? options.kind === 'https');
  const front = http2 ? new StreamFront(options, plane, timeouts, clock) : undefined;
  return new OwnListener(options, plane, timeouts, front, admission, clock);
}
