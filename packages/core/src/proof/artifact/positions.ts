/** Where the sequences of past rounds stand, so that an equal round need not begin anew. */
import type { ArtifactConfig } from "./config.ts";

/** Rounds that are remembered: far more than a block has. */
const MAX_ROUNDS = 64;

/**
 * Remembers by all that decides which nonces a round yields, and for whom, how many of its sequence
 * are done. Another receiver has not got those, so that its round begins at 0.
 */
export class Positions {
  /** The oldest first. */
  readonly #byRound = new Map<string, number>();

  /** @param position counted from the round's own beginning */
  remember(config: ArtifactConfig, position: number): void {
    const key = keyOf(config);
    this.#byRound.delete(key);
    this.#byRound.set(key, config.begins_at + position);
    for (const oldest of this.#byRound.keys()) {
      if (this.#byRound.size <= MAX_ROUNDS) break;
      this.#byRound.delete(oldest);
    }
  }

  of(config: ArtifactConfig): number {
    return this.#byRound.get(keyOf(config)) ?? 0;
  }
}

/** Equal for rounds of equal bodies. The batch size is a hint. */
export function keyOf({ batch_size, begins_at, ...body }: ArtifactConfig): string {
  return JSON.stringify(Object.entries(body).sort(([a], [b]) => (a < b ? -1 : 1)));
}
