/** How many finds have which distance, counted as they come. */
import type { RandomDistance } from "../random-distance.ts";
import type { Finds } from "./finds.ts";

const BINS = 48;
/** How far the picture reaches below the target, in standard deviations of a random direction. */
const BELOW = 4;

interface Range {
  readonly from: number;
  readonly to: number;
}

/**
 * What a histogram of a round's finds shows: they are all below the target, and hardly any lies far
 * under it or under √2, around which all distances are.
 */
export function rangeOf(r_target: number, { mean, deviation }: RandomDistance): Range {
  const to = Math.max(deviation, Math.min(r_target, mean + BELOW * deviation));
  const from = Math.max(0, Math.min(r_target, mean) - BELOW * deviation);
  // A target that no two directions are as near as.
  return to > from ? { from, to } : { from: Math.max(0, to - deviation), to };
}

export class Histogram {
  readonly range: Range;
  readonly width: number;
  /** Finds of each bin; what lies beyond an end is in the bin at that end. */
  readonly counts: number[] = Array(BINS).fill(0);
  readonly #finds: Finds;
  /** Index of the first find that is not counted yet. */
  #next: number;

  constructor(finds: Finds, range: Range) {
    this.range = range;
    this.width = (range.to - range.from) / BINS;
    this.#finds = finds;
    this.#next = finds.first;
  }

  /** Counts what has come since. */
  count(): void {
    const total = this.#finds.total.peek();
    for (this.#next = Math.max(this.#next, this.#finds.first); this.#next < total; this.#next++) {
      const bin = Math.floor((this.#finds.distance(this.#next) - this.range.from) / this.width);
      const place = Math.min(BINS - 1, Math.max(0, bin));
      this.counts[place] = (this.counts[place] ?? 0) + 1;
    }
  }

  /** The middle of each bin. */
  middles(): number[] {
    return this.counts.map((_, i) => this.range.from + (i + 0.5) * this.width);
  }
}
