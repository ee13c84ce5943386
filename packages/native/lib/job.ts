/** What a job must be before it goes down to the addon. */
import { batchOf, type ModelInfo, type PrefillJob } from "@proofmill/core";

/** Far above any job of ours; a faulty caller must not take the memory of the machine. */
const MAX_OUTPUT_BYTES = 2 ** 31;

/**
 * @throws RangeError or TypeError naming the field, what it is and what was expected
 */
export function checkJob(job: PrefillJob, info: ModelInfo): void {
  const { id, seq_len, input_seeds, input_streams = 1, output } = job;
  if (!Number.isSafeInteger(id) || id < 0) {
    throw new RangeError(`job id is ${id}, expected an integer ≥ 0`);
  }
  const { max_seq_len, max_position_embeddings: context } = info;
  if (!Number.isInteger(seq_len) || seq_len < 1 || seq_len > max_seq_len) {
    const bound = max_seq_len === context ? "the model's context" : "the most that is allowed here";
    throw new RangeError(`seq_len is ${seq_len}, expected 1 … ${max_seq_len}, ${bound}`);
  }
  checkSeeds("input_seeds", input_seeds);
  if (input_streams !== 1 && input_streams !== 8) {
    throw new RangeError(`input_streams is ${input_streams}, expected 1 or 8`);
  }
  const batch = batchOf(job);
  if (batch < 1) throw new RangeError("input_seeds is empty, expected at least one seed");
  if (!Number.isInteger(batch)) {
    throw new RangeError(
      `input_seeds holds ${input_seeds.length} seeds, expected ${input_streams} for each nonce`,
    );
  }
  const width = widthOf(output, info);
  if (width === undefined) {
    throw new RangeError(
      `output.kind is ${JSON.stringify(output.kind)}, expected distance, artifact, logits or hidden`,
    );
  }
  if (batch * width * 4 > MAX_OUTPUT_BYTES) {
    throw new RangeError(
      `a batch of ${batch} times ${width} ${output.kind} is ${batch * width * 4} bytes, expected at most ${MAX_OUTPUT_BYTES}`,
    );
  }
  if (output.kind === "distance") checkDistance(output, batch);
  if (output.kind === "artifact") checkArtifact(output, batch, info);
}

/** Floats that a nonce yields; undefined for a kind that there is none of. */
function widthOf(output: PrefillJob["output"], info: ModelInfo): number | undefined {
  if (output.kind === "artifact") return checkedKDim(output.k_dim, info);
  return { distance: 1, logits: info.vocab_size, hidden: info.hidden_size }[output.kind];
}

function checkedKDim(k_dim: number, { hidden_size }: ModelInfo): number {
  if (Number.isInteger(k_dim) && k_dim >= 1 && k_dim <= hidden_size) return k_dim;
  throw new RangeError(
    `output.k_dim is ${k_dim}, expected 1 … ${hidden_size}, the model's hidden_size`,
  );
}

function checkArtifact(
  output: PrefillJob["output"] & { kind: "artifact" },
  batch: number,
  { num_hidden_layers }: ModelInfo,
): void {
  const { k_dim, layer_seeds, pick_seeds, rotation_seeds } = output;
  checkCount("output.layer_seeds", layer_seeds, num_hidden_layers);
  checkCount("output.pick_seeds", pick_seeds, batch);
  checkCount("output.rotation_seeds", rotation_seeds, batch * (k_dim - 1));
}

function checkCount(name: string, seeds: Uint32Array, expected: number): void {
  checkSeeds(name, seeds);
  if (seeds.length === expected) return;
  throw new RangeError(`${name} holds ${seeds.length} seeds, expected ${expected}`);
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
