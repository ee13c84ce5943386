/** What a job must be before it goes down to the addon. */
import type { ModelInfo, PrefillJob } from "@proofmill/core";

/** Far above any job of ours; a faulty caller must not take the memory of the machine. */
const MAX_OUTPUT_BYTES = 2 ** 31;

/**
 * @throws RangeError or TypeError naming the field, what it is and what was expected
 */
export function checkJob(job: PrefillJob, info: ModelInfo): void {
  const { id, seq_len, input_seeds, output } = job;
  if (!Number.isSafeInteger(id) || id < 0) {
    throw new RangeError(`job id is ${id}, expected an integer ≥ 0`);
  }
  const { max_seq_len, max_position_embeddings: context } = info;
  if (!Number.isInteger(seq_len) || seq_len < 1 || seq_len > max_seq_len) {
    const bound = max_seq_len === context ? "the model's context" : "the most that is allowed here";
    throw new RangeError(`seq_len is ${seq_len}, expected 1 … ${max_seq_len}, ${bound}`);
  }
  checkSeeds("input_seeds", input_seeds);
  const batch = input_seeds.length;
  if (batch < 1) throw new RangeError("input_seeds is empty, expected at least one seed");
  const width = { distance: 1, logits: info.vocab_size, hidden: info.hidden_size }[output.kind];
  if (width === undefined) {
    throw new RangeError(
      `output.kind is ${JSON.stringify(output.kind)}, expected distance, logits or hidden`,
    );
  }
  if (batch * width * 4 > MAX_OUTPUT_BYTES) {
    throw new RangeError(
      `a batch of ${batch} times ${width} ${output.kind} is ${batch * width * 4} bytes, expected at most ${MAX_OUTPUT_BYTES}`,
    );
  }
  if (output.kind === "distance") checkDistance(output, batch);
}

function checkDistance(
  { permutation_seeds, target_seed }: PrefillJob["output"] & { kind: "distance" },
  batch: number,
): void {
  checkSeeds("output.permutation_seeds", permutation_seeds);
  if (permutation_seeds.length !== batch) {
    throw new RangeError(
      `output.permutation_seeds holds ${permutation_seeds.length} seeds, expected ${batch}, one for each of input_seeds`,
    );
  }
  if (target_seed !== target_seed >>> 0) {
    throw new RangeError(`output.target_seed is ${target_seed}, expected a uint32`);
  }
}

function checkSeeds(name: string, seeds: Uint32Array): void {
  if (!(seeds instanceof Uint32Array)) throw new TypeError(`${name} must be a Uint32Array`);
}
