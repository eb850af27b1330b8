import { LARGE_BODY_PATH } from '../peers.ts';
import { FEW_FIELDS, wrkCase } from './wrk-case.ts';

/** Answers of a megabyte. */
export const largeAnswers = wrkCase({
  name: 'large',
  title: 'Answers of 1 MB',
  targets: ['haproxy-plain', 'haproxy-jwt', 'own', 'node'],
  rounds: 3,
  path: LARGE_BODY_PATH,
  fields: FEW_FIELDS,
  secure: false,
  notes: 'Requests a second are megabytes a second too.',
  aims: () => [],
});
