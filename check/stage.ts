import type { Member } from './member.ts';
import type { Scene } from './traffic.ts';

/** A run's scene with what faults need besides. */
export interface Stage extends Scene {
  readonly maxStalenessMs: number;
}

/** The gateway of this name. */
export function memberOf(stage: Stage, name: string): Member {
  const member = stage.members.find((candidate) => candidate.name === name);
  if (member === undefined) throw new Error(`no gateway ${name}`);
  return member;
}
