/**
 * What becomes of requests that two readers may understand in two ways: `[edgeRules]` of micro-gw.conf, docs/edge-rules.md. The first value
 * of each is the default, and closed. Framing, a second Host, CONNECT, NUL and invalid UTF-8 are no rules: they are refused always.
 */
export interface EdgeRules {
  /** `.` and `..`, `%2e` included. `normalise`: resolved, and what comes out is matched and forwarded. */
  readonly dotSegments: 'refuse' | 'normalise';
  /** `//`. `merge`: taken for one slash, and forwarded as one. */
  readonly emptySegments: 'refuse' | 'merge';
  /** `%2F`, `%5C`. `keep`: text of the segment. */
  readonly encodedSlash: 'refuse' | 'keep';
  /** `;x`. `both`: looked up with and without, one operation or none. `keep`: text. */
  readonly pathParameters: 'both' | 'refuse' | 'keep';
  /** Names with `_`. Look-alikes of framing fields are refused, and those of fields that the gateway reads or sets dropped, in any case. */
  readonly underscoreNames: 'drop' | 'refuse' | 'pass';
  /** `GET http://host/path`. `sameHost`: when Host says the same. */
  readonly absoluteForm: 'sameHost' | 'refuse';
  /** `X-HTTP-Method-Override` and its like. */
  readonly methodOverride: 'remove' | 'pass';
  /** TRACE. `serve`: where a definition has it. */
  readonly trace: 'refuse' | 'serve';
  /** Two credential fields. `first`: the others are as if they were not there. */
  readonly duplicateCredentials: 'refuse' | 'first';
  /** Fields about earlier hops. `pass`: from everybody. */
  readonly forwardedFields: 'trusted' | 'pass';
  /** Fields that the client names in `Connection`. */
  readonly nominatedFields: 'remove' | 'keep';
  /** A body of GET or HEAD. */
  readonly requestBodyOnGet: 'forward' | 'refuse';
  /** `Upgrade`. `none`: ignored and not forwarded, like any other protocol. */
  readonly upgrade: 'websocket' | 'none';
}

export const CLOSED: EdgeRules = {
  dotSegments: 'refuse',
  emptySegments: 'refuse',
  encodedSlash: 'refuse',
  pathParameters: 'both',
  underscoreNames: 'drop',
  absoluteForm: 'sameHost',
  methodOverride: 'remove',
  trace: 'refuse',
  duplicateCredentials: 'refuse',
  forwardedFields: 'trusted',
  nominatedFields: 'remove',
  requestBodyOnGet: 'forward',
  upgrade: 'websocket',
};

/** All rules: what is not said is closed. */
export function edgeRules(said: Partial<EdgeRules> = {}): EdgeRules {
  return { ...CLOSED, ...said };
}
