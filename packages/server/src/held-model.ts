/** The model that the node holds, as the network's broker sees it: its names, and whether it is up. */

/**
 * The weights stay in memory whatever the broker says: a stop is followed by an `up` for the same
 * model, as a rule. Stopped, the node takes no rounds, proofs and jobs of either protocol and no inference.
 */
export class HeldModel {
  readonly #served: string[];
  readonly #others: readonly string[];
  #isStopped = false;
  #stopping = new AbortController();

  /** @param others names that callers may use too, which are not shown: the model's path, for example */
  constructor(name: string, others: readonly string[] = []) {
    this.#served = [name];
    this.#others = others;
  }

  /** As it is shown, the name that it goes by first. */
  get names(): readonly string[] {
    return this.#served;
  }

  /** By which rounds may name it. */
  get allNames(): readonly string[] {
    return [...new Set([...this.#served, ...this.#others])];
  }

  get name(): string {
    return this.#served[0] ?? "";
  }

  isNamed(name: string): boolean {
    return this.#served.includes(name) || this.#others.includes(name);
  }

  /** It goes by this name first from now on. */
  serveAs(name: string): void {
    const at = this.#served.indexOf(name);
    if (at !== -1) this.#served.splice(at, 1);
    this.#served.unshift(name);
    this.#served.splice(MAX_NAMES);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopping.abort();
  }

  /** @returns what aborts with the next stop */
  start(): AbortSignal {
    this.#isStopped = false;
    this.#stopping = new AbortController();
    return this.#stopping.signal;
  }
}

/** Callers may add names; the oldest of them is forgotten then. */
const MAX_NAMES = 16;
