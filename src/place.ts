import type { LoadedConfig } from './config/load.ts';
import { OperatorError } from './errors.ts';

/** Where a key of the configuration was written. */
export type PlaceOf = LoadedConfig['placeOf'];

/**
 * Does what a configured value is for. A refusal that comes of it gets the place of its key: rooms do not know where their options come from.
 * @param key full name, `listenerConfig.keyStorePath`; a function where the refusal decides which one it is
 * @throws OperatorError `<file>:<line>: <key>: <reason>`
 */
export async function withPlace<T>(
  placeOf: PlaceOf,
  key: string | ((refusal: OperatorError) => string),
  work: () => T | Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof OperatorError)) throw cause;
    const name = typeof key === 'string' ? key : key(cause);
    const { source, ...place } = placeOf(name);
    const where = source === undefined ? '' : `${source}: `;
    throw new OperatorError(cause.code, `${where}\`${name}\`: ${cause.message}`, {
      ...place,
      cause,
    });
  }
}
