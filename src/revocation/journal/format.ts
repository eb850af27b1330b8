import { crc32 } from 'node:zlib';

/** Version of every file in the state folder: a gateway reads its own version only. The format is described in docs/journal.md. */
const FORMAT_VERSION = 1;

/** Bytes of the header of a segment or snapshot: one page, so that what follows is aligned. */
export const HEADER_BYTES = 4096;

/** Words of one token's record: three of its fingerprint, its end, when it was learnt, and from which source. */
export const RECORD_WORDS = 6;
export const RECORD_BYTES = RECORD_WORDS * 4;

/** Bytes of one block of a snapshot, and how many records are in a full one; the rest are count, number and checksum. */
export const BLOCK_BYTES = 65_536;
export const BLOCK_RECORDS = Math.floor((BLOCK_BYTES - 12) / RECORD_BYTES);

/** Bytes in front of the records of one frame: mark, length, sequence, checksum. */
export const FRAME_HEADER_BYTES = 16;
/** Longest frame, its header included: no reader ever needs more room than this. */
export const FRAME_BYTES = 262_144;

const MAGIC = 'PCULJRNL';
const FRAME_MAGIC = 0x4d_52_46_50;
const KINDS = { segment: 1, snapshot: 2 } as const;
const CHECKSUM_AT = HEADER_BYTES - 4;
const NUMBERS_AT = 48;

export type FileKind = keyof typeof KINDS;

/** Whose files these are. */
export interface Identity {
  /** UUID of this installation. */
  readonly installation: string;
  /** 16 bytes of the same. */
  readonly installationBytes: Uint8Array;
  /** 16 bytes that only the holder of the secret can make: fingerprints made with another secret mean nothing. */
  readonly keyCheck: Uint8Array;
}

/** Numbers in a header. Where a field says nothing about a kind of file, it is 0. */
export interface HeaderFields {
  /** Segment: its number. Snapshot: the number of the first segment that is not merged into it. */
  readonly number: number;
  /** Segment: bytes of the segment before it that count; what is behind them was never acknowledged. */
  readonly previousBytes: number;
  /** Snapshot: how many tokens it has. */
  readonly tokens: number;
  /** Snapshot: bytes of the frames behind its blocks. */
  readonly tailBytes: number;
  /** Snapshot: everything that was learnt up to then is in it; epoch milliseconds, 0 for unknown. */
  readonly knownAsOfMs: number;
  /** Snapshot: latest end of a token that has left; epoch milliseconds. */
  readonly forgottenUntilMs: number;
}

const NUMBERS = [
  'number',
  'previousBytes',
  'tokens',
  'tailBytes',
  'knownAsOfMs',
  'forgottenUntilMs',
] as const satisfies readonly (keyof HeaderFields)[];

/** Why a file cannot be taken as it is. */
export type DamageKind =
  | 'damaged'
  | 'missing'
  | 'other version'
  | 'other installation'
  | 'other secret';

/** One thing that is wrong with the files of a journal. */
export interface Damage {
  /** Name in the state folder. */
  readonly file: string;
  readonly kind: DamageKind;
  readonly detail: string;
}

export function encodeHeader(kind: FileKind, fields: HeaderFields, identity: Identity): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(MAGIC, 0, 'latin1');
  bytes.writeUInt32LE(FORMAT_VERSION, 8);
  bytes.writeUInt32LE(KINDS[kind], 12);
  bytes.set(identity.installationBytes, 16);
  bytes.set(identity.keyCheck, 32);
  for (const [i, name] of NUMBERS.entries()) bytes.writeDoubleLE(fields[name], NUMBERS_AT + i * 8);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CHECKSUM_AT)), CHECKSUM_AT);
  return bytes;
}

/** A header that can be trusted, and the seed of the checksums of everything behind it. */
export interface Header extends HeaderFields {
  readonly seed: number;
}

/** Reads a header; what is wrong with it, if anything. */
export function decodeHeader(
  bytes: Buffer,
  kind: FileKind,
  identity: Identity,
): Header | Omit<Damage, 'file'> {
  if (bytes.length !== HEADER_BYTES) return { kind: 'damaged', detail: 'is shorter than a header' };
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC)
    return { kind: 'damaged', detail: 'is no file of a journal' };
  const version = bytes.readUInt32LE(8);
  if (version !== FORMAT_VERSION)
    return { kind: 'other version', detail: `has format ${version}, not ${FORMAT_VERSION}` };
  if (crc32(bytes.subarray(0, CHECKSUM_AT)) !== bytes.readUInt32LE(CHECKSUM_AT))
    return { kind: 'damaged', detail: 'has a header with a wrong checksum' };
  if (bytes.readUInt32LE(12) !== KINDS[kind]) return { kind: 'damaged', detail: `is no ${kind}` };
  if (!bytes.subarray(16, 32).equals(identity.installationBytes))
    return { kind: 'other installation', detail: 'is of another installation' };
  if (!bytes.subarray(32, 48).equals(identity.keyCheck))
    return { kind: 'other secret', detail: 'was written with another secret' };
  const numbers = NUMBERS.map((_, i) => bytes.readDoubleLE(NUMBERS_AT + i * 8));
  if (!numbers.every((number) => Number.isFinite(number) && number >= 0))
    return { kind: 'damaged', detail: 'has a header with impossible numbers' };
  const [number = 0, previousBytes = 0, tokens = 0, tailBytes = 0, knownAsOfMs = 0, forgotten = 0] =
    numbers;
  const seed = seedOf(bytes);
  return {
    number,
    previousBytes,
    tokens,
    tailBytes,
    knownAsOfMs,
    forgottenUntilMs: forgotten,
    seed,
  };
}

/** Checksums of frames begin here, so that a frame of another file is none of this one. */
export function seedOf(header: Buffer): number {
  return header.readUInt32LE(CHECKSUM_AT);
}

/** Fills in the header of a frame whose records are in place behind it. */
export function sealFrame(frame: Buffer, sequence: number, seed: number): void {
  frame.writeUInt32LE(FRAME_MAGIC, 0);
  frame.writeUInt32LE(frame.length - FRAME_HEADER_BYTES, 4);
  frame.writeUInt32LE(sequence, 8);
  frame.writeUInt32LE(frameChecksum(frame, seed), 12);
}

/** Length of the whole frame that begins here, or undefined where none does. */
export function frameLength(bytes: Buffer): number | undefined {
  if (bytes.length < FRAME_HEADER_BYTES || bytes.readUInt32LE(0) !== FRAME_MAGIC) return undefined;
  const length = bytes.readUInt32LE(4) + FRAME_HEADER_BYTES;
  return length > FRAME_BYTES ? undefined : length;
}

/** Whether a frame is the one of this sequence number, unharmed. */
export function frameHolds(frame: Buffer, sequence: number, seed: number): boolean {
  return (
    frame.readUInt32LE(8) === sequence && frame.readUInt32LE(12) === frameChecksum(frame, seed)
  );
}

function frameChecksum(frame: Buffer, seed: number): number {
  return crc32(frame.subarray(FRAME_HEADER_BYTES), crc32(frame.subarray(0, 12), seed));
}

/** Names of files in the state folder. */
export const SNAPSHOT = 'snapshot';
export const SNAPSHOT_TEMPORARY = 'snapshot.tmp';
export const SEGMENT_TEMPORARY = 'segment.tmp';

export function segmentName(number: number): string {
  return `segment-${String(number).padStart(10, '0')}`;
}

/** The number of a segment by its name; undefined for other files. */
export function segmentNumber(name: string): number | undefined {
  const digits = /^segment-(\d{10})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
