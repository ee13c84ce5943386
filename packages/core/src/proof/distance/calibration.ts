/** From measured distances to the `r_target` that makes a wanted share of nonces valid. */
import { betaQuantile, incompleteBeta } from "../beta.ts";

/** The confidence of every interval here. */
const CONFIDENCE = 0.95;
const BINS = 24;
const QUANTILES = [0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999];

interface HistogramBin {
  /** Distances from here … */
  from: number;
  /** … to below here. */
  to: number;
  count: number;
  /** How many there would be were the logits a random direction. */
  expected: number;
}

export interface Calibration {
  samples: number;
  mean: number;
  /** Of one distance, not of the mean. */
  deviation: number;
  quantiles: { share: number; distance: number }[];
  /** What a random direction in as many dimensions has (docs/protocol.md §1.9). */
  theory: { mean: number; deviation: number };
  /** The share of valid nonces that was asked for. */
  rate: number;
  /** Nonces with distances below it are valid; so many samples are. */
  r_target: number;
  valid_samples: number;
  /** Holds the share that `r_target` really makes valid, with 95 % confidence. */
  rate_interval: [number, number];
  /** Holds the target for exactly the wanted share, with 95 % confidence. */
  r_target_interval: [number, number];
  histogram: HistogramBin[];
}

/**
 * Describes a sample of distances and reads `r_target` from its order statistics: it presumes
 * nothing of the distribution, which a trained model bends differently for each block.
 *
 * @param options.distances finite, in any order; at least 1 / rate of them
 * @param options.rate wanted share of valid nonces, in (0, 1)
 * @param options.vocab_size for the theoretical curve, at least 2
 * @throws RangeError when there are too few distances for the rate
 */
export function calibrate(options: {
  distances: readonly number[];
  rate: number;
  vocab_size: number;
}): Calibration {
  const { rate, vocab_size } = options;
  const sorted = options.distances.toSorted((a, b) => a - b);
  const n = sorted.length;
  const at = (index: number) => sorted[Math.min(n - 1, Math.max(0, index))] ?? Number.NaN;
  const k = Math.round(rate * n);
  if (k < 1 || k >= n) {
    throw new RangeError(`${n} samples are too few for a rate of ${rate}: take ${needed(rate)}`);
  }
  const mean = sorted.reduce((sum, x) => sum + x, 0) / n;
  const variance = sorted.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, n - 1);
  const tail = (1 - CONFIDENCE) / 2;
  // The k-th of n order statistics (from 0) has F ~ Beta(k + 1, n − k), whatever F is.
  const share = (p: number) => betaQuantile(p, k + 1, n - k);
  return {
    samples: n,
    mean,
    deviation: Math.sqrt(variance),
    quantiles: QUANTILES.map((share) => ({ share, distance: at(Math.floor(share * n)) })),
    theory: { mean: Math.SQRT2, deviation: 1 / Math.sqrt(2 * vocab_size) },
    rate,
    r_target: at(k),
    valid_samples: sorted.filter((distance) => distance < at(k)).length,
    rate_interval: [share(tail), share(1 - tail)],
    r_target_interval: orderInterval({ n, rate, tail, at }),
    histogram: histogram(sorted, vocab_size),
  };
}

/** As many as give ten valid ones: with fewer the interval says next to nothing. */
function needed(rate: number): number {
  return Math.ceil(10 / Math.min(rate, 1 - rate));
}

/** The order statistics between which the distribution's `rate` quantile lies. */
function orderInterval(options: {
  n: number;
  rate: number;
  tail: number;
  at: (index: number) => number;
}): [number, number] {
  const { n, rate, tail, at } = options;
  // P(x₍ᵢ₎ > quantile) = P(Binomial(n, rate) ≤ i) = 1 − I_rate(i + 1, n − i), i from 0.
  const below = (i: number) => 1 - incompleteBeta(rate, i + 1, n - i);
  let low = Math.round(rate * n);
  while (low > 0 && below(low) > tail) low--;
  let high = Math.round(rate * n);
  while (high < n - 1 && below(high) < 1 - tail) high++;
  return [at(low), at(high)];
}

function histogram(sorted: readonly number[], vocab_size: number): HistogramBin[] {
  const first = sorted[0] ?? 0;
  const last = sorted.at(-1) ?? 0;
  const width = (last - first) / BINS || Number.EPSILON;
  const bins = Array.from({ length: BINS }, (_, i): HistogramBin => {
    const [from, to] = [first + i * width, first + (i + 1) * width];
    const share = randomDistanceCdf(to, vocab_size) - randomDistanceCdf(from, vocab_size);
    return { from, to, count: 0, expected: share * sorted.length };
  });
  for (const distance of sorted) {
    const bin = bins[Math.min(BINS - 1, Math.floor((distance - first) / width))];
    if (bin) bin.count++;
  }
  return bins;
}

/**
 * P(distance < d) between two independent random directions: their cosine c = 1 − d²/2 has
 * density ∝ (1 − c²)^((V − 3) / 2).
 *
 * @param d in [0, 2]
 * @param dimensions V, at least 2
 */
export function randomDistanceCdf(d: number, dimensions: number): number {
  const c = 1 - (d * d) / 2;
  const tail = incompleteBeta(Math.max(0, 1 - c * c), (dimensions - 1) / 2, 0.5) / 2;
  return c >= 0 ? tail : 1 - tail;
}
