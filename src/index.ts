/** The types that extensions are written against. Extensions import only types from here and get everything else as arguments. */
export type {
  ConfigSection,
  ExtensionFilter,
  ExtensionSink,
  FilterAnswer,
  FilterRequest,
  FilterResponse,
  RevocationExtension,
  RevocationExtensionContext,
  RevocationRule,
  StartupExtension,
} from './extension.ts';
export type { Log } from './log.ts';
export type { RevocationEvent, TtlUnit } from './revocation/revocation.ts';
