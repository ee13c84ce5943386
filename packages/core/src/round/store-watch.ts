/** Watches whether the store works. */
import type { Logger } from "../util/log.ts";
import { Patience } from "../util/patience.ts";
import { PocError } from "../wire/errors.ts";
import type { RoundStore } from "./store.ts";

/** The store is tried so often, milliseconds: while it works, and while it does not. */
const WATCH_MS = 5000;
const RETRY_MS = 1000;
/** A store that takes longer does not work. */
const ANSWER_MS = 10_000;

interface StoreWatchOptions {
  store: RoundStore;
  log: Logger;
  /** The store answers again: gives it what it did not take, and rejects when it still does not. */
  onRecovery: () => Promise<void>;
  /** The fault is there, or is gone. */
  onChange: () => void;
}

/** Tries the store now and then, and more often after a fault, until it works again. */
export class StoreWatch {
  readonly store: RoundStore;
  readonly #options: StoreWatchOptions;
  #fault: string | null = null;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: StoreWatchOptions) {
    this.store = options.store;
    this.#options = options;
  }

  /** Why nothing can be stored now; null while it can. */
  get fault(): string | null {
    return this.#fault;
  }

  /** Throws PocError STORE_FAILED while nothing can be stored. */
  refuseFault(): void {
    if (this.#fault !== null) throw new PocError("STORE_FAILED");
  }

  start(): void {
    this.#tryIn(WATCH_MS);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** To be called when a call of the store has failed. */
  onFault(error: unknown): void {
    if (this.#isClosed) return;
    const isNew = this.#fault === null;
    this.#fault = error instanceof Error ? error.message : String(error);
    if (!isNew) return;
    const fields = { reason: this.#fault };
    this.#options.log.error(fields, "the store does not work: no round begins until it does");
    this.#options.onChange();
    this.#tryIn(RETRY_MS);
  }

  /**
   * Stores what a caller is waiting for, and refuses it when that fails.
   *
   * @param what for the log, e.g. "a verdict"
   * @throws PocError STORE_FAILED
   */
  async keep<T>(what: string, store: (store: RoundStore) => Promise<T>): Promise<T> {
    try {
      return await store(this.store);
    } catch (cause) {
      this.#options.log.error({ err: cause }, `${what} could not be stored`);
      this.onFault(cause);
      throw new PocError("STORE_FAILED", { cause });
    }
  }

  #tryIn(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#try(), milliseconds).unref();
  }

  async #try(): Promise<void> {
    const { store, log, onRecovery, onChange } = this.#options;
    const late = new Patience(ANSWER_MS, () => this.onFault(new Error("the disk does not answer")));
    try {
      await store.probe();
      if (this.#fault !== null) {
        await onRecovery();
        this.#fault = null;
        log.info({}, "the store works again");
        onChange();
      }
    } catch (error) {
      this.onFault(error);
    }
    late.stop();
    if (!this.#isClosed) this.#tryIn(this.#fault === null ? WATCH_MS : RETRY_MS);
  }
}
