/** The nonces that one node walks: `first + i·step`, i = 0, 1, 2… (docs/protocol.md §2). */

/** A run of indices of the sequence: `start`, `start + 1`, … `start + count − 1`; `count` ≥ 1. */
export interface IndexRange {
  readonly start: number;
  readonly count: number;
}

/**
 * Hands out a node's sequence in order. What is given back comes first again, so that no nonce is
 * skipped. The sequence ends with the last nonce that is a safe integer.
 */
export class NonceSequence {
  readonly #first: number;
  readonly #step: number;
  readonly #lastIndex: number;
  #next: number;
  /** Given back and not handed out again: ascending, with gaps between them. */
  #returned: IndexRange[] = [];

  /**
   * @param options.first ≥ 0
   * @param options.step ≥ 1
   * @param options.position the first index to hand out
   */
  constructor(options: { first: number; step: number; position?: number }) {
    const room = Number.MAX_SAFE_INTEGER - options.first;
    this.#first = options.first;
    this.#step = options.step;
    this.#lastIndex = (room - (room % options.step)) / options.step;
    this.#next = options.position ?? 0;
  }

  /** The nonce at an index that was handed out. */
  nonceAt(index: number): number {
    return this.#first + index * this.#step;
  }

  /** Whether something that was given back has not been handed out again. */
  get hasReturned(): boolean {
    return this.#returned.length > 0;
  }

  /** The next at most `atMost` (≥ 1) indices, or null when the sequence has ended. */
  take(atMost: number): IndexRange | null {
    const returned = this.#returned.shift();
    if (returned) {
      if (returned.count <= atMost) return returned;
      this.#returned.unshift({ start: returned.start + atMost, count: returned.count - atMost });
      return { start: returned.start, count: atMost };
    }
    const count = Math.min(atMost, this.#lastIndex - this.#next + 1);
    if (count <= 0) return null;
    const start = this.#next;
    this.#next += count;
    return { start, count };
  }

  /** Takes back indices that were handed out and not finished. */
  giveBack(range: IndexRange): void {
    if (range.count === 0) return;
    const sorted = [...this.#returned, range].sort((a, b) => a.start - b.start);
    const merged: IndexRange[] = [];
    for (const next of sorted) {
      const last = merged.at(-1);
      if (last && last.start + last.count === next.start) {
        merged[merged.length - 1] = { start: last.start, count: last.count + next.count };
      } else {
        merged.push(next);
      }
    }
    this.#returned = merged;
  }
}
