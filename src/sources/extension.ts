import type { ConfigSection, ExtensionSink, RevocationExtension } from '../extension.ts';
import type { Log } from '../log.ts';
import type { RevocationEvent } from '../revocation/revocation.ts';
import type { RevocationSink, RevocationSource } from '../revocation/source.ts';
import { isJsonObject } from './json-answer.ts';
import { Bell, together } from './rounds.ts';

export interface ExtensionSourceOptions {
  readonly name: string;
  readonly extension: RevocationExtension;
  /** `[tokenRevocationConfig.persistent]`, own keys included. */
  readonly config: ConfigSection;
  readonly log: Log;
  /** Milliseconds after which an extension that read everything and returned is called again. Default 300,000. */
  readonly reconcileIntervalMs?: number;
  /** Milliseconds that an extension may take to return once its signal aborted. Default 5,000. */
  readonly graceMs?: number;
}

const RECONCILE_INTERVAL_MS = 300_000;
const GRACE_MS = 5_000;
const LOG_KEY = 'TokenRevocationExtension';

/**
 * Runs a project's revocation extension. One that follows its store stays in its function until the signal aborts; one that calls
 * `complete` and returns is called again every `reconcileIntervalMs`. `reread` aborts its signal and calls it again. What it adds is
 * checked like anything from outside.
 */
export function createExtensionSource(options: ExtensionSourceOptions): RevocationSource {
  const { name, log } = options;
  const graceMs = options.graceMs ?? GRACE_MS;
  const bell = new Bell();

  /** One call of the extension, until it returns or `signal` aborts. @throws what it throws, or Error when it read nothing */
  async function run(sink: RevocationSink, signal: AbortSignal): Promise<void> {
    const call = new CheckedSink(sink);
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
    if (!call.completed) throw new Error('the extension returned before it called complete()');
  }

  return {
    name,
    kind: 'list',
    reread: () => bell.ring(),
    async follow(sink, signal) {
      while (!signal.aborted) {
        let reread = false;
        let returned = false;
        await together(signal, [
          async (signal) => {
            await run(sink, signal);
            returned = !signal.aborted;
          },
          async (signal) => {
            await bell.pause(2 ** 31 - 1, signal);
            reread = !signal.aborted;
          },
        ]);
        if (returned && !reread)
          await bell.pause(options.reconcileIntervalMs ?? RECONCILE_INTERVAL_MS, signal);
      }
    },
  };
}

/**
 * What an extension sees of the sink: nothing passes unchecked, and nothing after its end. A list in which nothing could be used is not
 * complete: `complete` throws then, and the call has failed also where the extension swallows that.
 */
class CheckedSink implements ExtensionSink {
  readonly #sink: RevocationSink;
  readonly #unusable = Promise.withResolvers<never>();
  #ended = false;
  #added = 0;
  #refused = 0;
  completed = false;

  constructor(sink: RevocationSink) {
    this.#sink = sink;
    this.#unusable.promise.catch(() => undefined);
  }

  /** Rejects when the extension called a list complete of which nothing could be used. */
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
    this.#added++;
    this.#sink.add(checked);
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
    this.completed = true;
    this.#sink.complete();
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
