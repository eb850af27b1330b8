/** One span, once it is over. Ids are lower-case hexadecimal. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | undefined;
  readonly kind: 'server' | 'client';
  readonly name: string;
  /** Epoch milliseconds, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
  /** By OpenTelemetry's semantic conventions for HTTP spans, and what begins with `portcullis.`. */
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly failed: boolean;
}
