/** Trying again what may pass. */
import { setTimeout as pause } from "node:timers/promises";
import { pauseAfter } from "@proofmill/core";
import { PassingFault } from "./hub.ts";

export interface RetryOptions {
  signal: AbortSignal;
  /** Milliseconds before the first new attempt, at most; each further one waits twice as long. */
  pauseMs: number;
  /** How much has been reached: an attempt that got further is followed by a full set of others. */
  progress?: () => number;
  onRetry: (fault: PassingFault) => void;
}

/** New attempts in a row that get nowhere. */
const MOST_RETRIES = 4;
/** Also where the hub asks for more. */
const LONGEST_PAUSE_MS = 60_000;

/** @throws the last PassingFault, or at once whatever else `attempt` throws */
export async function retrying<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { signal, pauseMs, progress = () => 0, onRetry } = options;
  let retries = 0;
  let reached = progress();
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof PassingFault)) throw error;
      if (progress() > reached) retries = 0;
      reached = progress();
      if (retries === MOST_RETRIES) throw error;
      onRetry(error);
      retries++;
      const atLeast = Math.min(error.retryAfter ?? 0, LONGEST_PAUSE_MS);
      const wait = pauseAfter(retries, { first: pauseMs, most: LONGEST_PAUSE_MS, atLeast });
      await pause(wait, undefined, { signal });
    }
  }
}
