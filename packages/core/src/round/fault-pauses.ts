/** What happens when search jobs fail: their runner pauses, and the others go on without it. */
import type { AttachedRunner } from "../runner/dispatcher.ts";

/** Milliseconds after the first fault in a row, the second, …; after every further one the last. */
const PAUSES_MS = [250, 500, 1000, 2000] as const;

interface Faults {
  /** Faults since the last success. */
  inARow: number;
  pause: NodeJS.Timeout | null;
}

/** Counts each runner's faults and makes it pause, longer each time. */
export class FaultPauses {
  readonly #faults = new Map<AttachedRunner, Faults>();
  readonly #onEnd: () => void;

  /** @param onEnd called whenever a runner's pause is over */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  isPaused(runner: AttachedRunner): boolean {
    return (this.#faults.get(runner)?.pause ?? null) !== null;
  }

  /** Whether its next job failed even after the longest pause. */
  keepsFailing(runner: AttachedRunner): boolean {
    return (this.#faults.get(runner)?.inARow ?? 0) > PAUSES_MS.length;
  }

  /**
   * Counts a fault of a runner that is not paused, and pauses it.
   *
   * @returns for how many milliseconds
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

  /** A job of this runner succeeded, so that its next fault is a first one again. */
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
