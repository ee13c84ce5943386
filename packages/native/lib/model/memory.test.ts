import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { benchPrefill, loadShape } from "../bench.ts";
import { loadModel } from "../index.ts";
import { type ModelConfig, parseConfig } from "./config.ts";
import { checkConfig, longestSequence, memoryNeeds, refuseTooLarge } from "./memory.ts";
import { writeRandomModel } from "./random-model.ts";
import { shapeConfig } from "./shapes.ts";
import { requiredTensors } from "./weights.ts";

const GIB = 2 ** 30;

/** Shapes as their config.json state them. */
const SHAPES: Record<string, object> = {
  "Qwen3-1.7B": { h: 2048, f: 6144, l: 28, q: 16, v: 151_936, tied: true },
  "Qwen3-4B": { h: 2560, f: 9728, l: 36, q: 32, v: 151_936, tied: true },
  "Qwen3-8B": { h: 4096, f: 12_288, l: 36, q: 32, v: 151_936, tied: false },
  "Llama-3.1-8B": { h: 4096, f: 14_336, l: 32, q: 32, v: 128_256, tied: false },
  "Llama-3.1-405B": { h: 16_384, f: 53_248, l: 126, q: 128, v: 128_256, tied: false },
};

function shape(name: string, more: object = {}): ModelConfig {
  return parseConfig(configFile(name, more), name);
}

function configFile(name: string, more: object = {}): object {
  const { h, f, l, q, v, tied } = SHAPES[name] as Record<string, number | boolean>;
  return {
    architectures: [name.startsWith("Qwen3") ? "Qwen3ForCausalLM" : "LlamaForCausalLM"],
    hidden_size: h,
    intermediate_size: f,
    num_hidden_layers: l,
    num_attention_heads: q,
    num_key_value_heads: 8,
    head_dim: 128,
    vocab_size: v,
    tie_word_embeddings: tied,
    rms_norm_eps: 1e-6,
    max_position_embeddings: 40_960,
    ...more,
  };
}

test.each([
  ["Qwen3-1.7B", 1.72e9],
  ["Qwen3-4B", 4.02e9],
  ["Qwen3-8B", 8.19e9 - 151_936 * 4096],
  ["Llama-3.1-8B", 8.03e9 - 128_256 * 4096],
  ["Llama-3.1-405B", 405.9e9 - 128_256 * 16_384],
])("%s: two or four bytes for each parameter but the input embeddings", (name, parameters) => {
  const { weights, total } = memoryNeeds(shape(name), "bfloat16");
  expect(weights / (2 * parameters)).toBeCloseTo(1, 2);
  expect(memoryNeeds(shape(name), "float32").weights / (4 * parameters)).toBeCloseTo(1, 2);
  expect(total).toBeGreaterThan(weights);
  // Qwen3-8B and Llama-3.1-8B run where 24 GiB are.
  if (parameters < 1e10) expect(total).toBeLessThan(24 * GIB);
});

test("no less than a search was seen to take", async () => {
  for (const dtype of ["bfloat16", "float32"] as const) {
    const { total } = memoryNeeds(shapeConfig("qwen3-tiny"), dtype);
    const options = { shape: "qwen3-tiny", dtype, seqLen: 256, batch: 4, repeats: 1 };
    const before = process.memoryUsage.rss();
    const { peak_rss_mib } = await benchPrefill(options);
    expect(peak_rss_mib * 2 ** 20 - before).toBeLessThan(total);
  }
});

test("both numbers, and the precision that would fit", () => {
  const config = shape("Qwen3-8B");
  const refusal = (available: number, dtype: "bfloat16" | "float32") => () =>
    refuseTooLarge({ directory: "/m", config, dtype, available });
  expect(refusal(24 * GIB, "bfloat16")).not.toThrow();
  expect(refusal(24 * GIB, "float32")).toThrow(
    "/m: needs 28.5 GiB of memory (28.2 GiB of weights in float32), 24.0 GiB are available; " +
      "--dtype bfloat16 needs 14.4 GiB",
  );
  expect(refusal(8 * GIB, "bfloat16")).toThrow(
    "/m: needs 14.4 GiB of memory (14.1 GiB of weights in bfloat16), 8.0 GiB are available; " +
      "choose a smaller model or a machine with more",
  );
  const { total } = memoryNeeds(config, "bfloat16");
  expect(refusal(total, "bfloat16")).not.toThrow();
  expect(refusal(total - 1, "bfloat16")).toThrow("choose a smaller model");
});

describe("the longest sequence", () => {
  /** A model of which a token takes a KiB. */
  const model = (left = Number.POSITIVE_INFINITY) => ({
    longest: 40_960,
    passBytes: (tokens: number) => tokens * 1024,
    memoryLeft: () => left,
  });
  const MIB = 2 ** 20;

  test("is the context where there is plenty, and what fits where there is not", () => {
    expect(longestSequence(model(), GIB)).toBe(40_960);
    // An eighth stays free.
    expect(longestSequence(model(), 8 * MIB)).toBe(7 * 1024);
    expect(longestSequence(model(), 8 * MIB + 1023)).toBe(7 * 1024);
    // A GPU's memory is what counts where there is one.
    expect(longestSequence(model(16 * MIB), GIB)).toBe(14 * 1024);
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

/** A model directory of that size, whose weights are one hole. */
async function hollowModel(file: object): Promise<{ directory: string; bytes: number }> {
  const directory = await mkdtemp(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "config.json"), JSON.stringify(file));
  const header: Record<string, object> = {};
  let end = 0;
  for (const [name, shape] of requiredTensors(parseConfig(file, "config.json"))) {
    const begin = end;
    end += shape.reduce((product, extent) => product * extent, 2);
    header[name] = { dtype: "BF16", shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const handle = await open(join(directory, "model.safetensors"), "w");
  await handle.write(Buffer.concat([length, json]));
  await handle.truncate(8 + json.length + end);
  await handle.close();
  return { directory, bytes: end };
}

test("a model far too large is refused before a weight is read", async () => {
  const { directory, bytes } = await hollowModel(
    configFile("Llama-3.1-405B", { num_hidden_layers: 500 }),
  );
  expect(bytes).toBeGreaterThan(3e12);
  const before = process.memoryUsage.rss();
  const refused = expect.stringMatching(
    /: needs 29\d\d\.\d GiB of memory \(29\d\d\.\d GiB of weights in bfloat16\), \d+\.\d GiB are available; choose a smaller model/,
  );
  await expect(loadModel({ directory })).rejects.toThrow(
    expect.objectContaining({ message: refused }),
  );
  await expect(checkConfig(directory, { dtype: "auto", device: "cpu" })).rejects.toThrow(
    expect.objectContaining({ message: refused }),
  );
  expect(process.memoryUsage.rss() - before).toBeLessThan(GIB);
});

test("config.json alone tells an architecture that cannot be loaded", async () => {
  const directory = await mkdtemp(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(
    join(directory, "config.json"),
    JSON.stringify({ ...configFile("Qwen3-4B"), architectures: ["MambaForCausalLM"] }),
  );
  await expect(checkConfig(directory, { dtype: "auto", device: "cpu" })).rejects.toThrow(
    "architectures.0",
  );
});
