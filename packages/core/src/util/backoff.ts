/** Pauses between attempts that fail: longer each time, and not in step with anybody else's. */

interface Backoff {
  /** The longest pause after the first failure, milliseconds; doubled with each further one. */
  first: number;
  /** The longest pause of all, milliseconds. */
  most: number;
  /** No pause is shorter; what an answer asked for, milliseconds. */
  atLeast?: number;
}

/**
 * How long to wait: from half of a bound that grows up to the bound, so that many who failed
 * together do not come again together.
 *
 * @param failures in a row, ≥ 1
 * @param random from [0, 1)
 * @returns milliseconds
 */
export function pauseAfter(
  failures: number,
  { first, most, atLeast = 0 }: Backoff,
  random: () => number = Math.random,
): number {
  const half = Math.min(most, first * 2 ** (failures - 1)) / 2;
  return Math.max(atLeast, half) + random() * half;
}
