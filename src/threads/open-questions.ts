interface Asker {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: Error) => void;
}

/** Questions to another thread that are not answered yet, by number. */
export class OpenQuestions {
  readonly #askers = new Map<number, Asker>();
  #last = 0;

  /** @param send called with the question's number */
  ask<T>(send: (id: number) => void): Promise<T> {
    const id = ++this.#last;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#askers.set(id, { resolve, reject });
    send(id);
    return promise as Promise<T>;
  }

  answered(id: number, value: unknown): void {
    this.#take(id)?.resolve(value);
  }

  refused(id: number, reason: Error): void {
    this.#take(id)?.reject(reason);
  }

  /** Nobody answers any more. */
  abandon(reason: Error): void {
    for (const { reject } of this.#askers.values()) reject(reason);
    this.#askers.clear();
  }

  #take(id: number): Asker | undefined {
    const asker = this.#askers.get(id);
    this.#askers.delete(id);
    return asker;
  }
}
