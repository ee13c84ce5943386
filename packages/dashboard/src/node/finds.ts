/** The finds of a round, as many as a page can hold: each once, in the order of their finding. */

import { signal } from "@preact/signals";
import type { NoncesEvent, RoundEvent } from "@proofmill/client";

/**
 * Finds that are kept, 16 bytes for each; of more the newest. A list of so many rows is about as high
 * as browsers make an element.
 */
export const MOST_FINDS = 500_000;
const FIRST_CAPACITY = 1024;

export class Finds {
  /** The round they are of; null before the first. */
  readonly round = signal<RoundEvent | null>(null);
  /** Finds of the round so far. Those from `first` up to it are kept. */
  readonly total = signal(0);
  readonly #most: number;
  /** Rings: the find of index i stands at i modulo their length. */
  #nonces = new Float64Array(FIRST_CAPACITY);
  #distances = new Float64Array(FIRST_CAPACITY);
  /** Index of the oldest that came at all. */
  #begin = 0;

  /** @param most finds that are kept, at least 1,024 */
  constructor(most = MOST_FINDS) {
    this.#most = most;
  }

  /** Index of the oldest that is kept. */
  get first(): number {
    return Math.max(this.#begin, this.total.peek() - this.#most);
  }

  /** A round begins, or is told of once more by a connection that begins anew. */
  begin(round: RoundEvent): void {
    if (this.round.peek()?.round_id === round.round_id) return;
    this.#restart(0);
    this.round.value = round;
  }

  /** Finds that are known already are left out. */
  add({ round_id, from, nonces, distances }: NoncesEvent): void {
    if (this.round.peek()?.round_id !== round_id) return;
    let total = this.total.peek();
    if (from > total) {
      // Older ones were left out on purpose.
      this.#restart(from);
      total = from;
    }
    for (let i = total - from; i < nonces.length; i++, total++) {
      if (total - this.#begin >= this.#nonces.length) this.#grow();
      const place = total % this.#nonces.length;
      this.#nonces[place] = nonces[i] ?? 0;
      this.#distances[place] = distances[i] ?? 0;
    }
    this.total.value = total;
  }

  nonce(index: number): number {
    return this.#nonces[index % this.#nonces.length] ?? 0;
  }

  distance(index: number): number {
    return this.#distances[index % this.#distances.length] ?? 0;
  }

  /** The newest `many`, in the order of their finding. */
  newest(many: number): { nonces: number[]; distances: number[] } {
    const total = this.total.peek();
    const from = Math.max(this.first, total - many);
    const nonces = Array.from({ length: total - from }, (_, i) => this.nonce(from + i));
    const distances = Array.from({ length: total - from }, (_, i) => this.distance(from + i));
    return { nonces, distances };
  }

  #restart(begin: number): void {
    this.#nonces = new Float64Array(FIRST_CAPACITY);
    this.#distances = new Float64Array(FIRST_CAPACITY);
    this.#begin = begin;
    this.total.value = begin;
  }

  /** Twice the room, until there is as much as there may be; then the oldest give up theirs. */
  #grow(): void {
    const old = { nonces: this.#nonces, distances: this.#distances };
    const length = Math.min(this.#most, old.nonces.length * 2);
    if (length === old.nonces.length) return;
    this.#nonces = new Float64Array(length);
    this.#distances = new Float64Array(length);
    for (let i = this.#begin; i < this.#begin + old.nonces.length; i++) {
      this.#nonces[i % length] = old.nonces[i % old.nonces.length] ?? 0;
      this.#distances[i % length] = old.distances[i % old.distances.length] ?? 0;
    }
  }
}
