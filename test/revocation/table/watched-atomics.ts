type Operation = 'load' | 'store' | 'add';
type Plain = (array: object, ...rest: unknown[]) => number;

/**
 * Replaces these atomic operations of this thread by what `wrap` makes of them, until the function returned is called. (`mock.method` keeps
 * every call in memory: there are millions.)
 */
export function wrapAtomics(
  names: readonly Operation[],
  wrap: (name: Operation, original: Plain) => Plain,
): () => void {
  const originals = names.map((name) => [name, Atomics[name]] as const);
  const atomics = Atomics as unknown as Record<Operation, unknown>;
  for (const [name, original] of originals) atomics[name] = wrap(name, original as Plain);
  return () => {
    for (const [name, original] of originals) atomics[name] = original;
  };
}
