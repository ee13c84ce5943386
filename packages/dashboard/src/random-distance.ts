/**
 * How far apart two random directions are (docs/protocol.md §1.9): their cosine c = 1 − d²/2 has a
 * density ∝ (1 − c²)^((V − 3) / 2), and so their distance d one ∝ d · (1 − c²)^((V − 3) / 2). It is
 * summed up numerically, and divided by its own whole sum.
 */

/** Intervals of a sum by Simpson's rule; an even number. */
const STEPS = 4000;
/** Beyond so many standard deviations there is nothing that a number could show. */
const REACH = 20;
/** No two directions are farther apart. */
const FARTHEST = 2;
/** Of that range, for a distance with all its digits. */
const HALVINGS = 40;
/** Below it the density has no greatest value in the middle. */
const LEAST_DIMENSIONS = 4;

export interface RandomDistance {
  readonly mean: number;
  readonly deviation: number;
  /** P(distance < d), with all digits also where it is tiny. */
  share(d: number): number;
  /** The distance that so many are within, 0 < share < 1. */
  within(share: number): number;
  /** Its derivative. */
  density(d: number): number;
}

/** @param dimensions V; @returns null for fewer than 4, which no model has */
export function randomDistance(dimensions: number): RandomDistance | null {
  if (dimensions < LEAST_DIMENSIONS) return null;
  const mean = Math.SQRT2;
  const deviation = 1 / Math.sqrt(2 * dimensions);
  const reach = REACH * deviation;

  /** The density but for a factor: 1 at about √2. */
  const shape = (d: number) => {
    if (d <= 0 || d >= FARTHEST) return 0;
    const c = 1 - (d * d) / 2;
    return (d / Math.SQRT2) * Math.exp(((dimensions - 3) / 2) * Math.log1p(-c * c));
  };
  const sum = (from: number, to: number) => {
    const width = (to - from) / STEPS;
    let total = shape(from) + shape(to);
    for (let i = 1; i < STEPS; i++) total += shape(from + i * width) * (i % 2 === 0 ? 2 : 4);
    return (total * width) / 3;
  };
  const all = sum(Math.max(0, mean - reach), Math.min(FARTHEST, mean + reach));

  const shareOf = (d: number) => {
    if (d <= 0) return 0;
    if (d >= Math.min(FARTHEST, mean + reach)) return 1;
    return Math.min(1, sum(Math.max(0, d - reach), d) / all);
  };

  return {
    mean,
    deviation,
    share: shareOf,
    within(share) {
      let [low, high] = [Math.max(0, mean - reach), Math.min(FARTHEST, mean + reach)];
      for (let i = 0; i < HALVINGS; i++) {
        const middle = (low + high) / 2;
        if (shareOf(middle) < share) low = middle;
        else high = middle;
      }
      return high;
    },
    density: (d) => shape(d) / all,
  };
}
