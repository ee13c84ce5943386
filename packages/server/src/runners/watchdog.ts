/** Finds out that a runner hangs: it has work, and nothing of it was finished for too long. */

/** Between two looks, milliseconds. */
const TICK_MS = 1000;

/** Milliseconds. */
export interface HangLimits {
  /** However fast work was before, it may stand still for so long. */
  least: number;
  /** Nothing may stand still for longer, nor what was never done before. */
  most: number;
}

/** What is told of what hangs. */
interface WatchdogListener {
  /** Nothing was finished for so many milliseconds; then it watches no more. */
  onHang(standstill: number): void;
  /** It may well hang, or goes on after it seemed to; nobody needs to hear. */
  onStall?(isStalled: boolean): void;
}

const LIMITS: HangLimits = { least: 30_000, most: 300_000 };

/** How much slower than ever before work of a kind may be. */
const PATIENCE = 10;

/** Of what hangs, this much of the time that it gets has passed when it counts as stalled. */
const STALLED_AT = 1 / 3;

/**
 * Judges by progress alone: whoever answers a ping may still be stuck. Kinds of work, such as
 * sequences of one length, are told apart, since a step of a long one takes longer.
 */
export class Watchdog {
  readonly #limits: HangLimits;
  readonly #listener: WatchdogListener;
  readonly #slowest = new Map<number, number>();
  #isStalled = false;
  #kind: number | null = null;
  /** When anything was finished last, or the work began. */
  #since = 0;
  #looked = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(listener: WatchdogListener, limits: HangLimits = LIMITS) {
    this.#listener = listener;
    this.#limits = limits;
  }

  /** Whether nothing was finished for so long that it may well hang; until something is again. */
  get isStalled(): boolean {
    return this.#isStalled;
  }

  /**
   * What is at work from now on; the same kind again changes nothing.
   *
   * @param kind null: nothing
   * @param usual how many milliseconds it takes at most where all is well; as long as ever before where
   *   that is not known
   */
  watch(kind: number | null, usual?: number): void {
    if (kind === this.#kind) return;
    if (kind !== null && usual !== undefined) this.#slowest.set(kind, usual);
    this.#kind = kind;
    this.#stall(false);
    this.#since = this.#looked = performance.now();
    if (kind === null) this.stop();
    else this.#timer ??= setInterval(() => this.#look(), this.#tick).unref();
  }

  /** Something of the work was finished. */
  progress(): void {
    const now = performance.now();
    if (this.#kind !== null) {
      const slowest = this.#slowest.get(this.#kind) ?? 0;
      this.#slowest.set(this.#kind, Math.max(slowest, now - this.#since));
    }
    this.#since = now;
    this.#stall(false);
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    this.#kind = null;
  }

  #look(): void {
    const now = performance.now();
    // This process did not get its turn either, and what came meanwhile is not read yet: that time does
    // not count. What went before does, or who stands still now and then would never see what hangs.
    const passed = now - this.#looked;
    if (passed > 2 * this.#tick) this.#since += passed;
    this.#looked = now;
    const standstill = now - this.#since;
    this.#stall(standstill > STALLED_AT * this.#limit);
    if (standstill <= this.#limit) return;
    this.stop();
    this.#listener.onHang(standstill);
  }

  #stall(isStalled: boolean): void {
    if (isStalled === this.#isStalled) return;
    this.#isStalled = isStalled;
    this.#listener.onStall?.(isStalled);
  }

  get #limit(): number {
    const { least, most } = this.#limits;
    const slowest = this.#slowest.get(this.#kind ?? -1) ?? Number.POSITIVE_INFINITY;
    return Math.min(most, Math.max(least, PATIENCE * slowest));
  }

  get #tick(): number {
    return Math.min(TICK_MS, this.#limits.least / 2);
  }
}
