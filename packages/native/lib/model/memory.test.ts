import { describe, expect, test } from "vitest";
import { parseConfig } from "./config.ts";
import { checkConfig, memoryNeeds, refuseTooLarge } from "./memory.ts";
import type { ModelConfig } from "./model-config.ts";

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
  expect(() => {
    const limits = { available: 24 * GIB, maxMemory: 8 * GIB };
    refuseTooLarge({ directory: "/m", config, dtype: "bfloat16", ...limits });
  }).toThrow(
    "/m: needs 14.4 GiB of memory (14.1 GiB of weights in bfloat16), --runner-max-memory allows " +
      "8.0 GiB; allow more or choose a smaller model",
  );
  const { total } = memoryNeeds(config, "bfloat16");
  expect(refusal(total, "bfloat16")).not.toThrow();
  expect(refusal(total - 1, "bfloat16")).toThrow("choose a smaller model");
});

test("several runners load as many copies, which have to fit together", () => {
  const config = shape("Qwen3-8B");
  const refusal = (copies: number, available: number) => () =>
    refuseTooLarge({ directory: "/m", config, dtype: "bfloat16", copies, available });
  const { total } = memoryNeeds(config, "bfloat16");
  expect(refusal(2, 2 * total)).not.toThrow();
  expect(refusal(2, 2 * total - 1)).toThrow(
    "/m: needs 2 times 14.4 GiB of memory (14.1 GiB of weights in bfloat16), 28.8 GiB are " +
      "available; choose fewer devices, a smaller model or a machine with more",
  );
  expect(refusal(1, 2 * total - 1)).not.toThrow();
});

describe("config.json alone tells", () => {
  const check = (file: object) =>
    checkConfig(file, { directory: "/m", dtype: "auto", device: "cpu" });

  test("an architecture that cannot be loaded", () => {
    const file = { ...configFile("Qwen3-4B"), architectures: ["MambaForCausalLM"] };
    expect(() => check(file)).toThrow(/^\/m\/config.json: architectures.0 is "MambaForCausalLM"/);
  });

  test("a model that is far too large", () => {
    expect(() => check(configFile("Llama-3.1-405B", { num_hidden_layers: 500 }))).toThrow(
      /^\/m: needs 29\d\d\.\d GiB of memory \(29\d\d\.\d GiB of weights in bfloat16\), \d+\.\d GiB are available; choose a smaller model/,
    );
  });
});
