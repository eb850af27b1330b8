import { TARGET_NAMES } from '../targets.ts';
import { PETS_PATH } from '../wrk.ts';
import { cpuAim } from './case.ts';
import { FEW_FIELDS, wrkCase } from './wrk-case.ts';

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
  aims: (results) => [
    cpuAim('live tokens, 3 header fields: CPU, to HAProxy with JWT', 0.45, results, 'haproxy-jwt'),
    cpuAim('live tokens, 3 header fields: CPU, to HAProxy plain', 1.8, results, 'haproxy-plain'),
  ],
});
