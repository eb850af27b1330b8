import type { ConfigSection, ExtensionSink, RevocationExtension } from '../extension.ts';
import type { Log } from '../log.ts';
import type { RevocationEvent } from '../revocation/revocation.ts';
import type { RevocationSink, RevocationSource } from '../revocation/source.ts';
import { ruleEventOf } from './decode/rule-text.ts';
import { EntryLimit } from './entry-limit.ts';
import { isJsonObject } from './json-answer.ts';
import { Bell, together } from './rounds.ts';

export interface ExtensionSourceOptions {
  readonly name: string;
  readonly extension: RevocationExtension;
  /** `[tokenRevocationConfig.persistent]`, own keys included. */
  readonly config: ConfigSection;
  readonly log: Log;
  /** Milliseconds after which an extension that read everything is called again, unless it said so once more itself. Default 20,000. */
  readonly reconcileIntervalMs?: number | undefined;
  /** What it may add between two calls of `complete`. Default: no limit. */
  readonly maxEntries?: number | undefined;
  /** Milliseconds that an extension may take to return once its signal aborted. Default 5,000. */
  readonly graceMs?: number;
}

const RECONCILE_INTERVAL_MS = 20_000;
const GRACE_MS = 5_000;
const LOG_KEY = 'TokenRevocationExtension';

/**
 * Runs a project's revocation extension. One that follows its store stays in its function until the signal aborts; one that calls
 * `complete` and returns is called again every `reconcileIntervalMs`, and so is one that stays without calling `complete` again: nothing else
 * proves that it still hears of everything. `reread` aborts its signal and calls it again too. What it adds is checked like anything from
 * outside.
 */
export function createExtensionSource(options: ExtensionSourceOptions): RevocationSource {
  const { name, log } = options;
  const graceMs = options.graceMs ?? GRACE_MS;
  const intervalMs = options.reconcileIntervalMs ?? RECONCILE_INTERVAL_MS;
  const bell = new Bell();

  /** One call of the extension, until it returns or `signal` aborts. @throws what it throws, or Error when it read nothing */
  async function run(call: CheckedSink, signal: AbortSignal): Promise<void> {
    let failure: string | undefined;
    try {
      const done = Promise.resolve(
        options.extension(call, { config: options.config, signal, log }),
      );
      if (!(await settledInTime(Promise.race([done, call.unusable]), signal, graceMs)))
        log.warn(
          LOG_KEY,
          `The extension of source ${name} did not return when it was told to stop`,
        );
    } catch (error) {
      failure = withoutSecrets(error, options.config);
    } finally {
      call.end();
    }
    if (signal.aborted) return;
    if (failure !== undefined) throw new Error(`the extension failed: ${failure}`);
    if (call.completedAt === undefined)
      throw new Error('the extension returned before it called complete()');
  }

  /** Resolves when it is to be called again. A first read is given the time that it takes. */
  async function due(call: CheckedSink, signal: AbortSignal): Promise<void> {
    for (let ms = intervalMs; ms > 0;) {
      if ((await bell.pause(ms, signal)) || signal.aborted) return;
      const { completedAt } = call;
      ms = completedAt === undefined ? intervalMs : completedAt + intervalMs - performance.now();
    }
  }

  return {
    name,
    kind: 'list',
    reread: () => bell.ring(),
    async follow(sink, signal) {
      while (!signal.aborted) {
        const call = new CheckedSink(sink, options.maxEntries);
        let returned = false;
        let again = false;
        await together(signal, [
          async (signal) => {
            await run(call, signal);
            returned = !signal.aborted;
          },
          async (signal) => {
            await due(call, signal);
            again = !signal.aborted;
          },
        ]);
        if (returned && !again) await bell.pause(intervalMs, signal);
      }
    },
  };
}

/**
 * What an extension sees of the sink: nothing passes unchecked, and nothing after its end. A list in which nothing could be used is not
 * complete: `complete` throws then, and the call has failed also where the extension swallows that. So does `add` beyond the limit.
 */
class CheckedSink implements ExtensionSink {
  readonly #sink: RevocationSink;
  readonly #unusable = Promise.withResolvers<never>();
  #ended = false;
  #added = 0;
  #refused = 0;
  readonly #maxEntries: number | undefined;
  #limit: EntryLimit;
  /** What is read now was asked for no earlier, `performance.now()`. */
  #begunAt = performance.now();
  /** When it last said that everything was added, `performance.now()`. */
  completedAt: number | undefined;

  constructor(sink: RevocationSink, maxEntries: number | undefined) {
    this.#sink = sink;
    this.#maxEntries = maxEntries;
    this.#limit = new EntryLimit(maxEntries);
    this.#unusable.promise.catch(() => undefined);
  }

  /** Rejects when the extension called a list complete of which nothing could be used, or adds more than it may. */
  get unusable(): Promise<never> {
    return this.#unusable.promise;
  }

  add(event: unknown): void {
    if (this.#ended) return;
    const checked = checkedEvent(event);
    if (typeof checked === 'string') {
      this.#refused++;
      this.#sink.drop(checked);
      return;
    }
    this.#count();
    this.#sink.add(checked);
  }

  rule(event: unknown): void {
    if (this.#ended) return;
    const checked = isJsonObject(event) ? ruleEventOf(event) : 'rule is not an object';
    if (typeof checked === 'string') {
      this.#refused++;
      this.#sink.drop(checked);
      return;
    }
    this.#count();
    this.#sink.rule(checked);
  }

  #count(): void {
    try {
      this.#limit.count(1);
    } catch (error) {
      this.#ended = true;
      this.#unusable.reject(error);
      throw error;
    }
    this.#added++;
  }

  complete(): void {
    if (this.#ended) return;
    if (this.#refused > 0 && this.#added === 0) {
      const failure = new Error(
        `nothing of the ${this.#refused} entries that it added could be used`,
      );
      this.#unusable.reject(failure);
      throw failure;
    }
    const proved = this.#begunAt;
    this.#begunAt = performance.now();
    this.completedAt = this.#begunAt;
    this.#limit = new EntryLimit(this.#maxEntries);
    this.#sink.complete();
    this.#sink.alive(proved);
  }

  end(): void {
    this.#ended = true;
  }
}

function checkedEvent(event: unknown): RevocationEvent | string {
  if (!isJsonObject(event)) return 'entry is not an object';
  const { token, digest, issuer, ttl, expiryTime } = event;
  if (issuer !== undefined && typeof issuer !== 'string') return 'issuer is not a string';
  const rest = {
    ...(issuer !== undefined && { issuer }),
    ...(ttl !== undefined && { ttl }),
    ...(expiryTime !== undefined && { expiryTime }),
  };
  if (token !== undefined && digest !== undefined) return 'both token and digest in it';
  if (typeof token === 'string' && token !== '') return { token, ...rest };
  if (typeof digest === 'string' && digest !== '') return { digest, ...rest };
  return 'no token in it';
}

/** False when `done` is still pending `graceMs` after the abort. Rejects as `done` does. */
async function settledInTime(
  done: Promise<void>,
  signal: AbortSignal,
  graceMs: number,
): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  try {
    return await Promise.race([
      done.then(() => true),
      new Promise<boolean>((resolve) => {
        onAbort = () => {
          timer = setTimeout(() => resolve(false), graceMs);
        };
        if (signal.aborted) onAbort();
        else signal.addEventListener('abort', onAbort, { once: true });
      }),
    ]);
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}

const SECRET_NAME = /password|secret|token|key|credential/i;

/** What an extension throws may quote its configuration: values of keys that sound secret are taken out. */
function withoutSecrets(error: unknown, config: ConfigSection): string {
  let text = error instanceof Error ? error.message : 'it threw no Error';
  for (const [name, value] of Object.entries(config)) {
    if (typeof value !== 'string' || value === '') continue;
    if (SECRET_NAME.test(name)) text = text.replaceAll(value, '***');
  }
  return text.replaceAll(/(:\/\/)[^\s/@]*@/g, '$1***@');
}
