import { TARGET_NAMES } from '../targets.ts';
import { PETS_PATH } from '../wrk.ts';
import { FEW_FIELDS, liveAims, wrkCase } from './wrk-case.ts';

/** Live tokens in turn, three header fields. */
export const live = wrkCase({
  name: 'live',
  title: 'Live tokens, 3 header fields',
  targets: TARGET_NAMES,
  rounds: 5,
  path: PETS_PATH,
  fields: FEW_FIELDS,
  secure: false,
  notes: '',
  aims: (results) => liveAims('live tokens, 3 header fields', results),
});
