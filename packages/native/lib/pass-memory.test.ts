import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { loadShape } from "./bench.ts";
import { loadModel } from "./index.ts";
import { memoryNeeds } from "./model/memory.ts";
import { writeRandomModel } from "./model/random-model.ts";
import { shapeConfig } from "./model/shapes.ts";
import { longestSequence } from "./pass-memory.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

test("a model is said to take no less than a search was seen to take", async () => {
  for (const dtype of ["bfloat16", "float32"] as const) {
    const { total } = memoryNeeds(shapeConfig("qwen3-tiny"), dtype);
    const before = process.memoryUsage.rss();
    const { model } = await loadShape({ shape: "qwen3-tiny", dtype, device: "cpu" });
    onTestFinished(() => model.close());
    const input_seeds = Uint32Array.of(1, 2, 3, 4);
    const output = { kind: "distance", permutation_seeds: input_seeds, target_seed: 0 } as const;
    for (const id of [0, 1]) await model.run({ id, seq_len: 256, input_seeds, output });
    const most = process.resourceUsage().maxRSS * 1024;
    expect(most - before).toBeLessThan(total);
  }
});

describe("the longest sequence", () => {
  /** A model of which a token takes a KiB. */
  const model = (left = Number.POSITIVE_INFINITY) => ({
    longest: 40_960,
    passBytes: (tokens: number) => tokens * 1024,
    memoryLeft: () => left,
  });

  test("is the context where there is plenty, and what fits where there is not", () => {
    expect(longestSequence(model(), GIB)).toBe(40_960);
    // An eighth stays free.
    expect(longestSequence(model(), 8 * MIB)).toBe(7 * 1024);
    expect(longestSequence(model(), 8 * MIB + 1023)).toBe(7 * 1024);
    // A GPU's memory is what counts where there is one.
    expect(longestSequence(model(16 * MIB), GIB)).toBe(14 * 1024);
    expect(longestSequence(model(), 16 * MIB, 8 * MIB)).toBe(7 * 1024);
    expect(longestSequence(model(16 * MIB), GIB, 8 * MIB)).toBe(7 * 1024);
    expect(longestSequence(model(GIB), 8 * MIB)).toBe(40_960);
    // Such lengths were promised when the model was loaded.
    expect(longestSequence(model(), 0)).toBe(256);
    expect(longestSequence({ ...model(), longest: 100 }, 0)).toBe(100);
  });

  test("takes no more memory than it says", async () => {
    const { model } = await loadShape({ shape: "qwen3-tiny", dtype: "bfloat16", threads: 2 });
    onTestFinished(() => model.close());
    const job = (seq_len: number) =>
      model.run({ id: 0, seq_len, input_seeds: Uint32Array.of(1), output: { kind: "logits" } });
    await job(16);
    const before = process.memoryUsage.rss();
    await job(4096);
    const taken = process.memoryUsage.rss() - before;
    expect(taken).toBeLessThan(model.passBytes(4096));
    // Nor much less: else lengths would be refused that fit.
    expect(taken).toBeGreaterThan(model.passBytes(4096) / 2);
    expect(model.passBytes(2048)).toBeLessThan(model.passBytes(4096));
  });

  test("gives its memory back when a short one follows", async () => {
    const directory = await mkdtemp(join(tmpdir(), "proofmill-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    const config = {
      architectures: ["Qwen3ForCausalLM"],
      ...{ hidden_size: 16, intermediate_size: 8192, num_hidden_layers: 2, vocab_size: 64 },
      ...{ num_attention_heads: 1, num_key_value_heads: 1, head_dim: 8 },
      ...{ max_position_embeddings: 8192, rms_norm_eps: 1e-6, tie_word_embeddings: true },
    };
    await writeRandomModel({ directory, config, seed: 1 });
    const runner = await loadModel({ directory, threads: 1 });
    onTestFinished(() => runner.close());
    const job = (seq_len: number) =>
      runner.run({ id: 0, seq_len, input_seeds: Uint32Array.of(1), output: { kind: "logits" } });
    const short = await job(16);
    const before = process.memoryUsage.rss();
    await job(8192);
    const taken = process.memoryUsage.rss() - before;
    expect(taken).toBeGreaterThan(100 * MIB);
    expect(await job(16)).toEqual(short);
    expect(process.memoryUsage.rss() - before).toBeLessThan(taken / 4);
  });
});
