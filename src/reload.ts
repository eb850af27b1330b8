import { isDeepStrictEqual } from 'node:util';
import { dataPlaneSettings, type DataPlaneParts } from './data-plane-settings.ts';
import type { DataPlanes } from './data-planes.ts';
import type { Place } from './config/config-error.ts';
import { describeError, OperatorError } from './errors.ts';
import { type Loaded, type Materials, openMaterials } from './loaded.ts';
import type { Log } from './log.ts';
import { needsRestart } from './needs-restart.ts';

const LOG_KEY = 'Reload';

export interface ReloadsOptions {
  /** What the gateway was started with. */
  readonly first: Loaded & Materials;
  /** Reads configuration and artifact anew. */
  readonly load: () => Promise<Loaded>;
  readonly planes: Pick<DataPlanes, 'settings' | 'reload'>;
  /** What stays the same for as long as the process lives. */
  readonly common: Pick<DataPlaneParts, 'threads' | 'ticketKeys'>;
  readonly log: Log;
}

/**
 * Changes of what the data plane serves with while it serves. Everything is read and made whole first, in every thread; then it takes the
 * place of what there was, or, whatever is wrong with it, nothing changes at all.
 */
export class Reloads {
  readonly #options: ReloadsOptions;
  #current: Loaded & Materials;
  #running: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #done = 0;
  #failed = 0;

  constructor(options: ReloadsOptions) {
    this.#options = options;
    this.#current = options.first;
  }

  /** What is served with. */
  get current(): Loaded & Materials {
    return this.#current;
  }

  /** How many there were. */
  get counts(): { readonly done: number; readonly failed: number } {
    return { done: this.#done, failed: this.#failed };
  }

  /**
   * Reloads; those that are asked for while one is under way are one more together, after it. Never rejects: what is wrong is said in the
   * log. Resolves when what was there at the call is in use, or was refused.
   */
  request(): Promise<void> {
    this.#again = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** The gateway ends: there are no more, and what becomes of one that is under way is nobody's business. */
  close(): void {
    this.#closed = true;
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      try {
        await this.#reload();
        this.#done++;
      } catch (error) {
        if (this.#closed) return;
        this.#failed++;
        this.#say(error);
      }
    }
  }

  async #reload(): Promise<void> {
    const { load, planes, common, log } = this.#options;
    const loaded = await load();
    for (const { level, message } of loaded.notes) log[level]('Configuration', message);
    const fixed = needsRestart(this.#current.config, loaded.config);
    const [first] = fixed;
    if (first !== undefined)
      throw restartNeeded(fixed.map((key) => `\`${key}\``).join(', '), loaded.placeOf(first));
    const materials = await openMaterials(loaded, log);
    // The control thread reads and explains with them too.
    if (!isDeepStrictEqual(materials.issuers, this.#current.issuers))
      throw restartNeeded('the certificate of an issuer');
    if (this.#closed) return;
    const parts = { ...loaded, ...materials, ...common };
    await planes.reload(dataPlaneSettings(loaded.config, parts, planes.settings));
    this.#current = { ...loaded, ...materials };
    const { apis, project } = loaded.artifact;
    const routes = apis.reduce((sum, api) => sum + api.routes.length, 0);
    log.info(
      LOG_KEY,
      `Configuration, certificates and the artifact of ${project} are in use: ${routes} route(s)`,
    );
  }

  #say(error: unknown): void {
    const { log } = this.#options;
    if (!(error instanceof OperatorError)) {
      log.error(LOG_KEY, `Refused, everything stays as it is: ${describeError(error)}`);
      return;
    }
    for (const { message, code } of error.each ?? [error])
      log.error(LOG_KEY, `Refused, everything stays as it is: ${message} [${code}]`);
  }
}

/** @param place of the first of them */
function restartNeeded(what: string, place: Place = {}): OperatorError {
  const { source, ...where } = place;
  const from = source === undefined ? '' : `${source}: `;
  return new OperatorError('ERR_RELOAD', `${from}changed, and needs a restart: ${what}`, where);
}
