import type { SettingsOf } from './field.ts';
import { AUTH_SCHEMA } from './schema-auth.ts';
import { EDGE_SCHEMA } from './schema-edge.ts';
import { OPERATOR_SCHEMA } from './schema-operator.ts';
import { PROTECTION_SCHEMA } from './schema-protection.ts';
import { REVOCATION_SCHEMA } from './schema-revocation.ts';
import { TELEMETRY_SCHEMA } from './schema-telemetry.ts';
import { TRAFFIC_SCHEMA } from './schema-traffic.ts';

/** Every key of micro-gw.conf that has an effect, by table, in the order of the reference. */
export const SCHEMA = {
  ...TRAFFIC_SCHEMA,
  ...EDGE_SCHEMA,
  ...PROTECTION_SCHEMA,
  ...AUTH_SCHEMA,
  ...REVOCATION_SCHEMA,
  ...OPERATOR_SCHEMA,
  ...TELEMETRY_SCHEMA,
};

/** The file as read: every key with its value or default, durations in milliseconds, sizes in bytes. */
export type Settings = SettingsOf<typeof SCHEMA>;

export type TableName = keyof typeof SCHEMA;
