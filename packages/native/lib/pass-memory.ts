/** How long sequences may be, by the memory that their passes take. */
import type { NativeModel } from "./binding.ts";
import { availableMemory } from "./model/available-memory.ts";
import { sizeText, USUAL_LENGTH } from "./model/memory.ts";

/** Share of the free memory that the longest sequence leaves to the rest of the node and the machine. */
const KEPT_FREE = 1 / 8;
/** More memory than this is looked for before a job is given it. Bytes. */
const LARGE_GROWTH = 64 * 2 ** 20;

/** What a loaded model says of its memory. */
type Sized = Pick<NativeModel, "longest" | "passBytes" | "memoryLeft">;

/**
 * Tokens of the longest sequence whose pass fits into the memory that is left now: the GPU's, or
 * this process'.
 *
 * @param available bytes that this process may still take, where that is what counts; what there
 *   is by default
 * @param promised bytes of either that are for something else, and not taken yet
 */
export function longestSequence(model: Sized, available = availableMemory(), promised = 0): number {
  const ofDevice = model.memoryLeft();
  const left = ((Number.isFinite(ofDevice) ? ofDevice : available) - promised) * (1 - KEPT_FREE);
  let fits = Math.min(USUAL_LENGTH, model.longest);
  let tooLong = model.longest + 1;
  while (tooLong - fits > 1) {
    const middle = Math.floor((fits + tooLong) / 2);
    if (model.passBytes(middle) <= left) fits = middle;
    else tooLong = middle;
  }
  return fits;
}

/**
 * What the passes of a search take of the machine's memory. What was free when the model was loaded
 * may have gone to others since, and a refusal is better than a process that is killed.
 */
export class PassMemory {
  readonly #model: Pick<NativeModel, "passBytes">;
  /** Bytes that the last job's passes take. */
  #held = 0;

  constructor(model: Pick<NativeModel, "passBytes">) {
    this.#model = model;
  }

  /** @throws Error with both numbers, when passes of this length need more than there is */
  take(seqLen: number): void {
    const needed = this.#model.passBytes(seqLen);
    const growth = needed - this.#held;
    if (growth > LARGE_GROWTH) {
      const available = availableMemory();
      if (growth > available) {
        throw new Error(
          `out of memory: a seq_len of ${seqLen} takes ${sizeText(growth)} more, ${sizeText(available)} are available`,
        );
      }
    }
    this.#held = needed;
  }
}
