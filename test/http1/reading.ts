/** What a parser made of one message. */
export interface Read {
  /** Method, target and version of a request; status and version of a response. */
  readonly first: string;
  /** Names in lower case, values without OWS, alternating, in their order. */
  readonly fields: readonly string[];
  /** All of the body that was handed over, latin1. */
  readonly body: string;
  readonly trailers: readonly string[];
  /** It was handed over as a whole message. */
  readonly whole: boolean;
  /** It was taken for a request to switch protocols. */
  readonly upgrade: boolean;
  /** Its sender waits for a 100. */
  readonly waits: boolean;
}

/** What a parser made of the bytes of one connection, up to FIN. */
export interface Reading {
  readonly messages: readonly Read[];
  /** Why it refused them; undefined when it did not. */
  readonly refused: string | undefined;
  /** In which words, where a reason has several. */
  readonly at?: string;
  /** Of a response: the connection may be used again. */
  readonly keeps?: boolean;
}
