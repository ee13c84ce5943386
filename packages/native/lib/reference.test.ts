/** The fast forward pass against the plain one, its oracle, on ragged sizes. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { addon, type NativeModel } from "./binding.ts";
import { loadNative } from "./load-native.ts";
import { readConfig } from "./model/config.ts";
import type { Precision } from "./model/precision.ts";
import { writeRandomModel } from "./model/random-model.ts";
import { readTensors } from "./model/safetensors.ts";
import { locateWeights } from "./model/weights.ts";

/** Nothing here is a multiple of a tile, and one head is wider than another model's whole layer. */
const SHAPES = [
  { architecture: "Qwen3ForCausalLM", hidden: 36, ffn: 77, heads: 3, kv: 1, head_dim: 14 },
  { architecture: "Qwen2ForCausalLM", hidden: 70, ffn: 131, heads: 7, kv: 7, head_dim: 10 },
  { architecture: "LlamaForCausalLM", hidden: 33, ffn: 50, heads: 6, kv: 2, head_dim: 2 },
  { architecture: "MistralForCausalLM", hidden: 130, ffn: 257, heads: 4, kv: 2, head_dim: 66 },
] as const;

/** Greatest L2 error in shares of the logits' norm. */
const BOUNDS: Record<Precision, number> = { float32: 2e-6, bfloat16: 1e-2 };

/** Greatest L2 error of an artifact, which is of length 1. */
const VECTOR_BOUNDS: Record<Precision, number> = { float32: 2e-5, bfloat16: 8e-2 };

const LOADS = SHAPES.flatMap((shape) =>
  addon.isas().flatMap((isa) => [
    { ...shape, isa, dtype: "float32" as const },
    { ...shape, isa, dtype: "bfloat16" as const },
  ]),
);

test.each(LOADS)("logits: $architecture in $dtype on $isa", async ({ isa, dtype, ...shape }) => {
  const model = await load(shape, { isa, dtype });
  for (const seq_len of [1, 2, 3, 7, 16, 17, 65]) {
    const input_seeds = Uint32Array.of(1, 2, 2 ** 32 - 1);
    const { values } = await model.run({ id: 0, seq_len, input_seeds, output: { kind: "logits" } });
    const width = values.length / input_seeds.length;
    for (const [i, seed] of input_seeds.entries()) {
      const reference = model.referenceLogits(seq_len, seed);
      const logits = values.subarray(i * width, (i + 1) * width);
      const error = Math.hypot(...logits.map((logit, j) => logit - Number(reference[j])));
      expect(error / Math.hypot(...reference), `seq_len ${seq_len}`).toBeLessThan(BOUNDS[dtype]);
    }
  }
});

test.each(LOADS)("artifacts: $architecture in $dtype on $isa", async ({ isa, dtype, ...shape }) => {
  const model = await load(shape, { isa, dtype });
  for (const [seq_len, k_dim, input_streams] of [
    [1, 1, 1],
    [3, 12, 8],
    [17, 5, 1],
    [65, shape.hidden, 8],
  ] as const) {
    const batch = 3;
    const seeds = (length: number, first: number) =>
      Uint32Array.from({ length }, (_, i) => Math.imul(first + i, 0x9e3779b1));
    const output = {
      kind: "artifact",
      k_dim,
      layer_seeds: seeds(3, 1),
      pick_seeds: seeds(batch, 100),
      rotation_seeds: seeds(batch * (k_dim - 1), 1000),
    } as const;
    const input_seeds = seeds(batch * input_streams, 10);
    const job = { id: 0, seq_len, input_seeds, input_streams, output };
    const { values } = await model.run(job);
    const reference = model.referenceArtifacts(job);
    expect(values).toHaveLength(batch * k_dim);
    for (let i = 0; i < batch; i++) {
      const [own, plain] = [values, reference].map((all) =>
        all.subarray(i * k_dim, (i + 1) * k_dim),
      );
      const error = Math.hypot(...(own ?? []).map((x, j) => x - Number(plain?.[j])));
      expect(error, `seq_len ${seq_len}`).toBeLessThan(VECTOR_BOUNDS[dtype]);
      expect(Math.hypot(...(own ?? []))).toBeCloseTo(1, 5);
    }
  }
});

async function load(
  shape: Omit<(typeof SHAPES)[number], "isa" | "dtype">,
  options: { isa: string; dtype: Precision },
): Promise<NativeModel> {
  const directory = await mkdtemp(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  await writeRandomModel({
    directory,
    seed: 3,
    config: {
      architectures: [shape.architecture],
      hidden_size: shape.hidden,
      intermediate_size: shape.ffn,
      num_hidden_layers: 3,
      num_attention_heads: shape.heads,
      num_key_value_heads: shape.kv,
      head_dim: shape.head_dim,
      vocab_size: 203,
      max_position_embeddings: 128,
      rms_norm_eps: 1e-6,
      tie_word_embeddings: shape.hidden % 2 === 0,
    },
  });
  const config = await readConfig(directory);
  const model = await loadNative({
    config,
    tensors: locateWeights(config, await readTensors(directory)),
    dtype: options.dtype,
    device: { threads: 2, isa: options.isa },
  });
  onTestFinished(() => model.close());
  return model;
}
