import { describeError, OperatorError } from '../errors.ts';
import { ListenError } from '../gateway/options.ts';
import type { Refusal } from './messages.ts';

/** An error on its way to another thread. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof ListenError)
    return { kind: 'listen', address: error.address, reason: error.reason };
  if (error instanceof OperatorError)
    return { kind: 'operator', code: error.code, message: error.message };
  return { kind: 'other', message: describeError(error) };
}

/** The error again, on the other side. */
export function errorOf(refusal: Refusal): Error {
  if (refusal.kind === 'listen')
    return new ListenError(refusal.address, { code: refusal.reason, message: refusal.reason });
  return refusal.kind === 'operator'
    ? new OperatorError(refusal.code, refusal.message)
    : new Error(refusal.message);
}
