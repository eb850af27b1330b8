import { addressBlock } from '../net/address-block.ts';
import { FailedAttempts } from './failed-attempts.ts';

/** Questions that wait for their answers; more are not asked, instead of piling up behind a slow key manager. */
const MAX_UNDER_WAY = 512;
/** Of these the ones of one address, so that tokens for which the key manager takes long leave room for others. */
const MAX_OF_ADDRESS = MAX_UNDER_WAY / 2;

/** Questions of one address that may get no usable answer. */
const UNANSWERED = { perSecond: 5, burst: 20 } as const;

/** Why a question is not asked. */
export interface NotAsked {
  readonly why: string;
  /** Until one may be asked, where that is known. */
  readonly waitMs?: number;
}

const FULL: NotAsked = { why: 'no answers to too many questions yet' };
const FULL_OF_ADDRESS: NotAsked = { why: 'no answers to too many questions of one address yet' };

/**
 * What the key manager is asked about opaque tokens. Whether it is the key manager that fails, or the token that makes it fail, nobody can
 * tell, and a client chooses its token: so questions without an answer count against the address that they came from, and against no other.
 */
export class QuestionLimit {
  readonly #unanswered: FailedAttempts;
  readonly #ofAddress = new Map<string, number>();
  #underWay = 0;

  /** @param monotonicNow milliseconds of a clock that never steps */
  constructor(monotonicNow: () => number) {
    this.#unanswered = new FailedAttempts(UNANSWERED, monotonicNow);
  }

  /**
   * @param address who sent the token; undefined: nobody is held to a bound of its own
   * @returns why not; undefined: the question is under way, until {@link end}
   */
  begin(address: string | undefined): NotAsked | undefined {
    if (this.#underWay >= MAX_UNDER_WAY) return FULL;
    if (address !== undefined) {
      const waitMs = this.#unanswered.waitMs(address);
      if (waitMs > 0) return { why: 'too few answers to questions of one address', waitMs };
      const block = addressBlock(address);
      const own = this.#ofAddress.get(block) ?? 0;
      if (own >= MAX_OF_ADDRESS) return FULL_OF_ADDRESS;
      this.#ofAddress.set(block, own + 1);
    }
    this.#underWay += 1;
    return undefined;
  }

  end(address: string | undefined, answered: boolean): void {
    this.#underWay -= 1;
    if (address === undefined) return;
    const block = addressBlock(address);
    const left = (this.#ofAddress.get(block) ?? 1) - 1;
    if (left === 0) this.#ofAddress.delete(block);
    else this.#ofAddress.set(block, left);
    if (!answered) this.#unanswered.failed(address, 1);
  }
}
