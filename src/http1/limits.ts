/** Bounds of one message's head, and of its trailers. */
export interface HeadLimits {
  /** Bytes of the request target. */
  readonly maxTarget: number;
  /** Bytes of all field names and values, and 4 more for each field. As they came, with blanks around values, at most twice that. */
  readonly maxFieldBytes: number;
  readonly maxFields: number;
}
