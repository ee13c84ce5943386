/** What follows when search jobs fail: their runner pauses, and the others go on without it. */
import type { AttachedRunner } from "../runner/dispatcher.ts";

/** After one fault in a row, after two, …; every further one is followed by the last. Milliseconds. */
const PAUSES_MS = [250, 500, 1000, 2000] as const;

interface Faults {
  /** Without a success between them. */
  inARow: number;
  pause: NodeJS.Timeout | null;
}

/** Counts each runner's faults and makes it pause, longer each time. */
export class FaultPauses {
  readonly #faults = new Map<AttachedRunner, Faults>();
  readonly #onEnd: () => void;

  /** @param onEnd some runner's pause is over */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  isPaused(runner: AttachedRunner): boolean {
    return (this.#faults.get(runner)?.pause ?? null) !== null;
  }

  /** Whether it has had every pause there is, and has failed once more. */
  keepsFailing(runner: AttachedRunner): boolean {
    return (this.#faults.get(runner)?.inARow ?? 0) > PAUSES_MS.length;
  }

  /**
   * A job of this runner failed, while it was not paused.
   *
   * @returns for how many milliseconds it is paused now
   */
  begin(runner: AttachedRunner): number {
    const inARow = (this.#faults.get(runner)?.inARow ?? 0) + 1;
    const milliseconds = PAUSES_MS[inARow - 1] ?? PAUSES_MS[3];
    const faults: Faults = {
      inARow,
      pause: setTimeout(() => {
        faults.pause = null;
        this.#onEnd();
      }, milliseconds),
    };
    this.#faults.set(runner, faults);
    return milliseconds;
  }

  /** A job of this runner succeeded: its next fault counts as the first. */
  recover(runner: AttachedRunner): void {
    const faults = this.#faults.get(runner);
    if (faults) faults.inARow = 0;
  }

  /** Ends all pauses and forgets all faults. */
  clear(): void {
    for (const { pause } of this.#faults.values()) if (pause) clearTimeout(pause);
    this.#faults.clear();
  }
}
