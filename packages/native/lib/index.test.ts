import { cp, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ModelRunner, PrefillJob } from "@proofmill/core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { addon } from "./binding.ts";
import { type LoadModelOptions, loadModel } from "./index.ts";
import { parseConfig } from "./model/config.ts";
import { requiredTensors } from "./model/weights.ts";
import { goldenDirectory } from "./selftest/golden.ts";

const SEEDS = Uint32Array.of(0, 1, 2 ** 32 - 1);

async function load(options: LoadModelOptions): Promise<ModelRunner> {
  const runner = await loadModel({ threads: 2, ...options });
  onTestFinished(() => runner.close());
  return runner;
}

/** A copy of a golden model that a test may spoil. */
async function copyOf(name: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  await cp(goldenDirectory(name), directory, { recursive: true });
  return directory;
}

describe("loads", () => {
  test("and tells what it is", async () => {
    const { info } = await load({ directory: goldenDirectory("qwen3-tiny"), device: "auto" });
    expect(info).toEqual({
      arithmetic: expect.stringMatching(/^cpu-\w+-bf16-\d+$/),
      architecture: "Qwen3ForCausalLM",
      device: expect.stringMatching(/^cpu \(.*2 threads\)$/),
      dtype: "bfloat16",
      hidden_size: 64,
      vocab_size: 512,
      num_hidden_layers: 3,
      max_position_embeddings: 40960,
      max_seq_len: 40960,
      preferred_tokens: expect.any(Number),
    });
    expect(structuredClone(info)).toEqual(info);
  });

  test("and says how far it is, and how long it took", async () => {
    const directory = goldenDirectory("qwen3-tiny");
    const lines: string[] = [];
    const options = { directory, device: "cpu", onNotice: (text: string) => lines.push(text) };
    await load({ ...options, noticeEvery: 0 });
    // Layers that follow each other fast may share a line.
    expect(lines.length).toBeGreaterThanOrEqual(2);
    expect(lines.at(-2)).toMatch(/^3 of 3 layers loaded in \d+\.\d s$/);
    expect(lines.at(-1)).toMatch(/^0\.\d{3} GB of weights loaded in \d+\.\d\d s, [\d.]+ GB\/s$/);
    lines.length = 0;
    await load(options);
    expect(lines).toHaveLength(1);
  });

  test.each([
    ["qwen3-tiny", "BF16", "bfloat16"],
    ["llama-tiny", "F16", "float32"],
    ["qwen2-tiny", "F32", "float32"],
  ])("%s, stored in %s, in %s by itself, and in either on demand", async (name, _, dtype) => {
    const directory = goldenDirectory(name);
    expect((await load({ directory })).info.dtype).toBe(dtype);
    const tags = new Set<string>();
    for (const wanted of ["bfloat16", "float32"] as const) {
      const { info } = await load({ directory, dtype: wanted });
      expect(info.dtype).toBe(wanted);
      tags.add(info.arithmetic);
    }
    expect(tags.size).toBe(2);
  });

  test("with a config.json that somebody has read", async () => {
    const directory = await copyOf("qwen3-tiny");
    const path = join(directory, "config.json");
    const config = JSON.parse(await readFile(path, "utf8"));
    await rm(path);
    const { info } = await load({
      directory,
      config: { ...config, max_position_embeddings: 77 },
    });
    expect(info.max_position_embeddings).toBe(77);
    await expect(loadModel({ directory, config: {} })).rejects.toThrow(
      `${path}: max_position_embeddings is missing`,
    );
  });

  test("on the instruction set that PROOFMILL_ISA names, unless the caller names one", async () => {
    onTestFinished(() => void vi.unstubAllEnvs());
    const directory = goldenDirectory("qwen3-tiny");
    vi.stubEnv("PROOFMILL_ISA", "baseline");
    expect((await load({ directory })).info.device).toContain("baseline");
    vi.stubEnv("PROOFMILL_ISA", "mmx");
    await expect(loadModel({ directory })).rejects.toThrow(
      `isa is "mmx", expected one of ${addon.isas().join(", ")}`,
    );
    expect((await load({ directory, isa: "baseline" })).info.device).toContain("baseline");
    vi.stubEnv("PROOFMILL_ISA", "");
    expect((await load({ directory })).info.device).toContain(addon.isas()[0]);
  });

  test("with rope_theta where newer files have it, to the same bits", async () => {
    const job = { id: 0, seq_len: 16, input_seeds: SEEDS, output: { kind: "logits" } } as const;
    const logits = async (change: (config: Record<string, unknown>) => void) => {
      const directory = await copyOf("qwen2-tiny-strong");
      const path = join(directory, "config.json");
      const config = JSON.parse(await readFile(path, "utf8"));
      change(config);
      await writeFile(path, JSON.stringify(config));
      return (await (await load({ directory })).run(job)).values;
    };
    const stored = await logits(() => {});
    const outside = await logits((config) => {
      config.rope_theta = 1e6;
    });
    expect(outside).not.toEqual(stored);
    for (const key of ["rope_scaling", "rope_parameters"]) {
      const inside = await logits((config) => {
        delete config.rope_theta;
        config[key] = { rope_type: "default", rope_theta: 1e6 };
      });
      expect(inside).toEqual(outside);
    }
  });

  test("and names keys that nobody knows in one warning", async () => {
    const directory = await copyOf("qwen3-tiny");
    const path = join(directory, "config.json");
    const config = JSON.parse(await readFile(path, "utf8"));
    const rope_parameters = { rope_theta: config.rope_theta, wobble: 1 };
    await writeFile(path, JSON.stringify({ ...config, frobnicate: 3, rope_parameters }));
    const warnings: string[] = [];
    const onNotice = (text: string, level: string) =>
      void (level === "warn" && warnings.push(text));
    await load({ directory, onNotice });
    expect(warnings).toEqual([expect.stringContaining('"frobnicate", "rope_parameters.wobble"')]);
  });

  test("and names tensors that the architecture does not read", async () => {
    const directory = await copyOf("qwen2-tiny");
    const path = join(directory, "config.json");
    const config = JSON.parse(await readFile(path, "utf8"));
    const llama = { architectures: ["LlamaForCausalLM"], model_type: "llama" };
    await writeFile(path, JSON.stringify({ ...config, ...llama }));
    const warnings: string[] = [];
    const onNotice = (text: string, level: string) => {
      if (level === "warn") warnings.push(text);
    };
    await load({ directory, onNotice });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^the model holds tensors that LlamaForCausalLM does not read: "/);
    expect(warnings[0]).toContain('"model.layers.1.self_attn.q_proj.bias"');
  });

  test("tensors that lie at odd places", async () => {
    const directory = await copyOf("qwen2-tiny");
    const aligned = await load({ directory: goldenDirectory("qwen2-tiny") });
    const path = join(directory, "model.safetensors");
    const file = await readFile(path);
    const headerBytes = Number(file.readBigUInt64LE());
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(headerBytes + 1));
    const header = file.subarray(8, 8 + headerBytes);
    const data = file.subarray(8 + headerBytes);
    await writeFile(path, Buffer.concat([prefix, header, Buffer.from(" "), data]));
    const odd = await load({ directory });
    const job = { id: 0, seq_len: 5, input_seeds: SEEDS, output: { kind: "logits" } } as const;
    expect(await odd.run(job)).toEqual(await aligned.run(job));
  });
});

describe("refuses", () => {
  const directory = goldenDirectory("qwen3-tiny");

  // As they may come over a channel between processes, where no compiler has looked.
  test.each([
    [{ dtype: "int8" }, 'dtype is "int8", expected one of auto, bfloat16, float32'],
    [{ device: "gpu" }, 'device is "gpu", expected auto, cpu, cuda or cuda:N'],
    [{ threads: 0 }, "threads is 0, expected 1 … 1024"],
    [{ threads: 1.5 }, "threads is 1.5, expected 1 … 1024"],
    [{ threads: 1025 }, "threads is 1025, expected 1 … 1024"],
    [{ maxModelLen: 0 }, "maxModelLen is 0, expected 1 … 40960, the model's context"],
    [{ maxModelLen: 40961 }, "maxModelLen is 40961, expected 1 … 40960, the model's context"],
  ])("%j", async (options, message) => {
    const loading = loadModel({ directory, ...options } as LoadModelOptions);
    await expect(loading).rejects.toThrow(message);
  });

  test("a directory that holds no model", async () => {
    await expect(loadModel({ directory: "/nowhere" })).rejects.toThrow(
      "/nowhere/config.json: cannot be read; a model directory holds config.json",
    );
  });

  test("a truncated shard, naming it and the tensor", async () => {
    const spoiled = await copyOf("llama-tiny");
    const shard = join(spoiled, "model-00002-of-00002.safetensors");
    await truncate(shard, (await readFile(shard)).length - 1);
    const loading = loadModel({ directory: spoiled });
    await expect(loading).rejects.toThrow(`${shard}: tensor `);
    await expect(loading).rejects.toThrow("it is truncated");
  });

  test("a config of another shape than the weights", async () => {
    const spoiled = await copyOf("qwen3-tiny");
    const path = join(spoiled, "config.json");
    const config = JSON.parse(await readFile(path, "utf8"));
    await writeFile(path, JSON.stringify({ ...config, intermediate_size: 161 }));
    await expect(loadModel({ directory: spoiled })).rejects.toThrow(
      `${join(spoiled, "model.safetensors")}: tensor model.layers.0.mlp.gate_proj.weight has shape [160, 64], expected [161, 64]`,
    );
  });
});

/** A model directory of whatever size, whose weights are one hole. */
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
  const path = join(directory, "model.safetensors");
  await writeFile(path, Buffer.concat([length, json]));
  await truncate(path, 8 + json.length + end);
  return { directory, bytes: end };
}

test("a model far too large is refused before a weight is read", async () => {
  const { directory, bytes } = await hollowModel({
    architectures: ["LlamaForCausalLM"],
    ...{ hidden_size: 16_384, intermediate_size: 53_248, num_hidden_layers: 500 },
    ...{ num_attention_heads: 128, num_key_value_heads: 8, head_dim: 128, vocab_size: 128_256 },
    ...{ rms_norm_eps: 1e-6, max_position_embeddings: 40_960, tie_word_embeddings: false },
  });
  expect(bytes).toBeGreaterThan(3e12);
  const before = process.memoryUsage.rss();
  await expect(loadModel({ directory })).rejects.toThrow(
    /: needs 29\d\d\.\d GiB of memory \(29\d\d\.\d GiB of weights in bfloat16\), \d+\.\d GiB are available; choose a smaller model/,
  );
  expect(process.memoryUsage.rss() - before).toBeLessThan(2 ** 30);
});

describe("a runner", () => {
  let runner: ModelRunner;
  beforeAll(async () => {
    runner = await loadModel({ directory: goldenDirectory("qwen3-tiny"), threads: 2 });
  });
  afterAll(() => runner.close());

  const distance: PrefillJob["output"] = {
    kind: "distance",
    permutation_seeds: SEEDS,
    target_seed: 7,
  };
  const job: PrefillJob = { id: 1, seq_len: 5, input_seeds: SEEDS, output: distance };

  test("gives distances, logits and hidden states of every nonce", async () => {
    const run = async (output: PrefillJob["output"]) => {
      const { completed, values } = await runner.run({ ...job, output });
      expect(completed).toBe(3);
      expect(values.every(Number.isFinite)).toBe(true);
      return values;
    };
    const logits = await run({ kind: "logits" });
    expect(logits).toHaveLength(3 * runner.info.vocab_size);
    expect(await run({ kind: "hidden" })).toHaveLength(3 * runner.info.hidden_size);
    const distances = await run(distance);
    for (const [i, seed] of SEEDS.entries()) {
      const own = logits.subarray(i * 512, (i + 1) * 512);
      expect(distances[i]).toBe(addon.distance(own, seed, 7));
    }
  });

  test.each<[string, object]>([
    ["job id is -1, expected an integer ≥ 0", { id: -1 }],
    ["job id is 0.5, expected an integer ≥ 0", { id: 0.5 }],
    ["seq_len is 0, expected 1 … 40960, the model's context", { seq_len: 0 }],
    ["seq_len is 40961, expected 1 … 40960, the model's context", { seq_len: 40961 }],
    ["seq_len is 2.5, expected 1 … 40960", { seq_len: 2.5 }],
    ["input_seeds is empty, expected at least one seed", { input_seeds: new Uint32Array() }],
    ["input_seeds must be a Uint32Array", { input_seeds: [1, 2, 3] }],
    [
      'output.kind is "tokens", expected distance, artifact, logits or hidden',
      { output: { kind: "tokens" } },
    ],
    [
      "output.permutation_seeds holds 2 seeds, expected 3, one for each of input_seeds",
      { output: { ...distance, permutation_seeds: SEEDS.subarray(1) } },
    ],
    [
      "output.permutation_seeds must be a Uint32Array",
      { output: { ...distance, permutation_seeds: [1, 2, 3] } },
    ],
    [
      "output.target_seed is 4294967296, expected",
      { output: { ...distance, target_seed: 2 ** 32 } },
    ],
    [
      "a batch of 1048577 times 512 logits is 2147485696 bytes, expected at most 2147483648",
      { input_seeds: new Uint32Array(2 ** 20 + 1), output: { kind: "logits" } },
    ],
  ])("refuses a job: %s", async (message, changes) => {
    await expect(runner.run({ ...job, ...changes } as PrefillJob)).rejects.toThrow(message);
  });

  test.each(addon.isas())("gives NaN for weights that are not finite, on %s", async (isa) => {
    const directory = await copyOf("qwen3-tiny");
    const file = join(directory, "model.safetensors");
    const bytes = await readFile(file);
    const headerBytes = Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString("utf8", 8, 8 + headerBytes));
    const spoil = async (bits: number) => {
      const [begin] = header["model.layers.1.mlp.up_proj.weight"].data_offsets;
      bytes.writeUInt16LE(bits, 8 + headerBytes + begin);
      await writeFile(file, bytes);
      const spoilt = await load({ directory, dtype: "bfloat16", isa });
      return (await spoilt.run(job)).values;
    };
    for (const bits of [0x7fc0, 0x7f80, 0xff80]) {
      expect(await spoil(bits)).toEqual(new Float32Array(3).fill(Number.NaN));
    }
    expect((await spoil(0)).every(Number.isFinite)).toBe(true);
  });

  test("shows progress while it loads, and only where that can be shown", async () => {
    const directory = goldenDirectory("qwen3-tiny");
    const progress = new Int32Array(1);
    await load({ directory, progress });
    expect(progress).toEqual(Int32Array.of(1));
    for (const wrong of [new Int32Array(), new Uint32Array(1)]) {
      await expect(load({ directory, progress: wrong as Int32Array })).rejects.toThrow(
        "progress must be an Int32Array with an element",
      );
    }
  });

  test("works on after a refusal, and never throws for a cancel", async () => {
    for (const id of [-1, 0.5, Number.NaN, 2 ** 60, 12345]) runner.cancel(id);
    expect((await runner.run(job)).completed).toBe(3);
  });

  test("answers in the order of asking", async () => {
    const order: number[] = [];
    await Promise.all(
      [4, 3, 2, 1].map(async (seq_len, place) => {
        await runner.run({ ...job, id: place, seq_len: seq_len * 50 });
        order.push(place);
      }),
    );
    expect(order).toEqual([0, 1, 2, 3]);
  });
});
