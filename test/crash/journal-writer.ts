/**
 * A life of a journal, for being killed in it. Says on standard output what was acknowledged, as soon as it was; what is refused is
 * said and asked for again. Call: journal-writer.ts <folder> <number of the first token> <short | long>
 */
import { writeSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { openJournal } from '../../src/revocation/journal/journal.ts';
import { fingerprint, LATER_S, subjectRule } from '../revocation/journal/stage.ts';

const [folder = '', first = '0', life = 'short'] = process.argv.slice(2);

/** One synchronous call: what was acknowledged is said before anything else happens. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

const silent = (): void => undefined;
const journal = await openJournal({
  folder,
  log: { debugEnabled: false, debug: silent, info: silent, warn: silent, error: silent },
});
const { whole } = await journal.restore({
  token: silent,
  rule: silent,
  lift: silent,
  forgottenUntil: silent,
});
say(`whole ${whole}`);

let next = Number(first);

async function insist(what: string, work: () => Promise<void>): Promise<void> {
  for (;;)
    try {
      await work();
      say(what);
      return;
    } catch (error) {
      say(`refused ${String(error)}`);
      await pause(20);
    }
}

async function learn(): Promise<void> {
  journal.token(fingerprint(next), 0, LATER_S, 'broker', next + 1);
  journal.rule(subjectRule(`s${next}`, next), 'operator', next + 1);
  await insist(`durable ${next}`, () => journal.durable());
  next++;
}

await learn();
journal.knownAsOf(1000 + next - 1);
await learn();
if (life === 'long') {
  const keys = `{"keys":[${next}]}`;
  await insist(`keys ${keys}`, () => journal.saveKeySet('https://issuer.example', keys, next));
  const gap = next;
  await insist(`gap ${gap}`, () => journal.saveGaps(new Map([['topic', gap]])));
  await insist('snapshot', () => journal.snapshot());
  await learn();
}
await journal.close();
say('closed');
