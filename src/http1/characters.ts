/** What each byte is in the grammar of HTTP (RFC 9110 section 5.6, RFC 9112 section 3). */

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;

function table(of: (byte: number) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => of(byte));
}

/** Of a byte that a token may have: the byte in lower case; of others 0. */
export const TOKEN: Uint8Array = table((byte) => {
  const character = String.fromCharCode(byte);
  return /[A-Za-z0-9!#$%&'*+.^_`|~-]/.test(character) ? character.toLowerCase().charCodeAt(0) : 0;
});

/** 1 for what a field value may have: HTAB, SP, visible characters and bytes beyond ASCII. */
export const FIELD_TEXT: Uint8Array = table((byte) =>
  byte === HTAB || (byte >= SP && byte !== 0x7f) ? 1 : 0,
);

/** 1 for what a request target may have: visible ASCII, no fragment. */
export const TARGET: Uint8Array = table((byte) =>
  byte > SP && byte < 0x7f && byte !== 0x23 ? 1 : 0,
);

/** The value of a hexadecimal digit; of all else 255. */
export const HEX: Uint8Array = table((byte) => {
  const value = Number.parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(value) ? 0xff : value;
});

export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** Below so many bytes a view of four at a time does not pay. */
const SHORT = 24;

/** Reads come in few buffers, often the same one again: making a view costs more than reading with it. */
let view: DataView = new DataView(new ArrayBuffer(0));

/** Whether bytes `from` up to `to` may all be in a field value. */
export function isFieldText(bytes: Uint8Array, from: number, to: number): boolean {
  let index = from;
  if (to - from >= SHORT) {
    if (view.buffer !== bytes.buffer) view = new DataView(bytes.buffer);
    const offset = bytes.byteOffset;
    let odd = 0;
    for (; index + 8 <= to; index += 8) {
      const one = view.getInt32(offset + index, true);
      const two = view.getInt32(offset + index + 4, true);
      // The top bit of a byte: of `x - 0x20` for controls, of `x + 1` for DEL, of `x` beyond ASCII. A carry from a lower byte
      // comes only from one that is itself odd.
      odd |= (one - 0x20202020) | (one + 0x01010101) | one;
      odd |= (two - 0x20202020) | (two + 0x01010101) | two;
    }
    if ((odd & 0x80808080) !== 0) index = from;
  }
  for (; index < to; index++) {
    if (FIELD_TEXT[bytes[index] ?? 0] === 0) return false;
  }
  return true;
}
