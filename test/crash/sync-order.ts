/** What a trace of a journal's calls to the file system shows. */
export interface SyncOrder {
  /** Places where a power cut could lose what counts by then: the line of the trace, and why. */
  readonly violations: readonly string[];
  /** How often each call was made. */
  readonly calls: ReadonlyMap<string, number>;
}

/**
 * Reads the log of `strace -y` over the files of a state folder: files have to be synced before they get their names, names before anything is
 * removed, and both before anything counts (`committed`).
 */
export function syncOrder(log: string, folder: string): SyncOrder {
  /** Files with content that is not on the disk yet, and whether the folder has names that are not. */
  const dirty = new Set<string>();
  let namesDirty = false;
  const calls = new Map<string, number>();
  const violations: string[] = [];
  for (const line of log.split('\n')) {
    const [, call = '', , opened, first, second = ''] =
      /^\d+ +(\w+)\((\d+<([^>]*)>|"([^"]*)")?(?:, "([^"]*)")?/.exec(line) ?? [];
    const file = (opened ?? first ?? '').slice(folder.length + 1);
    const refuse = (why: string): number => violations.push(`${line}: ${why}`);
    calls.set(call, (calls.get(call) ?? 0) + 1);
    if (call === 'pwrite64') {
      // The mark needs no sync of its own, and must not come before that of what it marks.
      if (file !== 'committed') dirty.add(file);
      else if (dirty.size > 0) refuse(`marked before ${[...dirty].join()} is synced`);
      else if (namesDirty) refuse('marked in a file whose name may be lost');
    } else if (call === 'fsync' || call === 'fdatasync') {
      if (file === '') namesDirty = false;
      else dirty.delete(file);
    } else if (call === 'rename') {
      if (dirty.has(file)) refuse('not synced');
      if (!second.startsWith(folder)) refuse('moved elsewhere');
      namesDirty = true;
    } else if (call === 'unlink' && file.startsWith('segment-') && namesDirty) {
      refuse('removed before the names are synced');
    }
  }
  return { violations, calls };
}
