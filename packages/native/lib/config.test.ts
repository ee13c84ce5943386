import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { parseConfig, readConfig } from "./config.ts";

const PATH = "some/model/config.json";

const LLAMA3 = {
  rope_type: "llama3",
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
};

function config(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    architectures: ["LlamaForCausalLM"],
    hidden_size: 64,
    intermediate_size: 160,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    vocab_size: 512,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    hidden_act: "silu",
    ...changes,
  };
}

function architecture(name: string, changes: Record<string, unknown> = {}) {
  return config({ architectures: [name], ...changes });
}

describe("what is taken", () => {
  test.each([
    ["qwen3-tiny", { head_dim: 32, qk_norm: true, tie_word_embeddings: true, rope_theta: 1e6 }],
    ["qwen3-tiny-strong", { num_key_value_heads: 2, qkv_bias: false }],
    ["qwen2-tiny", { head_dim: 16, qkv_bias: true, qk_norm: false, tie_word_embeddings: false }],
    ["qwen2-tiny-strong", { head_dim: 12, num_attention_heads: 5, num_key_value_heads: 1 }],
    ["llama-tiny", { rms_norm_eps: 1e-5, rope_theta: 500000, qkv_bias: false, qk_norm: false }],
    [
      "llama-tiny-strong",
      {
        rope_scaling: {
          factor: 8,
          low_freq_factor: 1,
          high_freq_factor: 4,
          original_max_position_embeddings: 8192,
        },
      },
    ],
  ])("%s", async (model, expected) => {
    const directory = fileURLToPath(
      new URL(`../../../test/golden/models/${model}`, import.meta.url),
    );
    expect(await readConfig(directory)).toMatchObject(expected);
  });

  test("the defaults", () => {
    expect(parseConfig(config(), PATH)).toEqual({
      architecture: "LlamaForCausalLM",
      hidden_size: 64,
      intermediate_size: 160,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 4,
      head_dim: 16,
      vocab_size: 512,
      max_position_embeddings: 2048,
      rms_norm_eps: 1e-5,
      rope_theta: 10000,
      rope_scaling: null,
      tie_word_embeddings: false,
      qk_norm: false,
      qkv_bias: false,
    });
  });

  test("nulls where Hugging Face writes them", () => {
    const nulls = { head_dim: null, num_key_value_heads: null, rope_scaling: null };
    expect(parseConfig(config(nulls), PATH)).toEqual(parseConfig(config(), PATH));
  });

  test.each([
    { rope_theta: 5e5, rope_scaling: { rope_type: "default" } },
    { rope_theta: 5e5, rope_scaling: { type: "default" } },
    { rope_parameters: { rope_theta: 5e5, rope_type: "default" } },
    { rope_parameters: { rope_theta: 5e5 } },
    { rope_parameters: { rope_theta: 5e5, partial_rotary_factor: 1 }, rope_scaling: null },
  ])("plain RoPE as %j", (layout) => {
    expect(parseConfig(config(layout), PATH)).toMatchObject({
      rope_theta: 5e5,
      rope_scaling: null,
    });
  });

  test.each([
    { rope_theta: 5e5, rope_scaling: LLAMA3 },
    { rope_theta: 5e5, rope_scaling: { ...LLAMA3, rope_type: undefined, type: "llama3" } },
    { rope_parameters: { ...LLAMA3, rope_theta: 5e5 } },
  ])("Llama 3's scaling as %j", (layout) => {
    expect(parseConfig(config(layout), PATH)).toMatchObject({
      rope_theta: 5e5,
      rope_scaling: { factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
    });
  });

  test.each([
    architecture("Qwen2ForCausalLM", { sliding_window: 512, use_sliding_window: false }),
    architecture("Qwen2ForCausalLM", {
      sliding_window: 512,
      use_sliding_window: true,
      max_window_layers: 2, // begins after the last of two layers
    }),
    architecture("Qwen3ForCausalLM", {
      sliding_window: 512,
      use_sliding_window: true,
      layer_types: ["full_attention", "full_attention"],
    }),
    architecture("Qwen3ForCausalLM", { sliding_window: null, use_sliding_window: true }),
    architecture("MistralForCausalLM", { sliding_window: null }),
    architecture("MistralForCausalLM", { sliding_window: 2048 }), // as wide as the context
    architecture("LlamaForCausalLM", { sliding_window: 512 }), // not heeded
    architecture("Qwen2ForCausalLM", { attention_bias: true }), // not heeded
  ])("a key that changes nothing: %j", (json) => {
    expect(parseConfig(json, PATH).hidden_size).toBe(64);
  });
});

describe("what is refused, naming the file, the key, what it is and what was expected", () => {
  const SLIDING = "no sliding window in use: every layer must see every position";
  const OURS = "Qwen3ForCausalLM, Qwen2ForCausalLM, LlamaForCausalLM, MistralForCausalLM";

  test.each<[string, unknown, string]>([
    [
      "an architecture",
      architecture("GPT2LMHeadModel"),
      `architectures.0 is "GPT2LMHeadModel", expected one of ${OURS}`,
    ],
    [
      "no architecture",
      config({ architectures: undefined }),
      `architectures is missing, expected one of ${OURS}`,
    ],
    [
      "two architectures",
      config({ architectures: ["LlamaForCausalLM", "Qwen2ForCausalLM"] }),
      `expected one of ${OURS}`,
    ],
    ["no object", [], "the file is [], expected object"],
    ["null", null, "the file is null, expected object"],
    ["a size in a string", config({ hidden_size: "64" }), 'hidden_size is "64", expected number'],
    ["a missing size", config({ vocab_size: undefined }), "vocab_size is missing, expected number"],
    ["a fraction", config({ hidden_size: 64.5 }), "hidden_size is 64.5, expected int"],
    [
      "a negative size",
      config({ num_hidden_layers: -1 }),
      "num_hidden_layers is -1, expected number to be >=1",
    ],
    [
      "no layers",
      config({ num_hidden_layers: 0 }),
      "num_hidden_layers is 0, expected number to be >=1",
    ],
    ["a size beyond bounds", config({ hidden_size: 65537 }), "expected number to be <=65536"],
    ["layers beyond bounds", config({ num_hidden_layers: 1025 }), "expected number to be <=1024"],
    ["a vocabulary beyond bounds", config({ vocab_size: 2 ** 24 + 1 }), "<=16777216"],
    [
      "heads that do not divide",
      config({ num_key_value_heads: 3 }),
      "num_key_value_heads is 3, expected a divisor of num_attention_heads, 4",
    ],
    [
      "more key heads than heads",
      config({ num_key_value_heads: 8 }),
      "num_key_value_heads is 8, expected a divisor of num_attention_heads, 4",
    ],
    ["an odd head_dim", config({ head_dim: 15 }), "head_dim is 15, expected an even number"],
    [
      "heads that do not fit",
      config({ hidden_size: 66 }),
      "hidden_size is 66, expected an even multiple of num_attention_heads, 4",
    ],
    ["eps of zero", config({ rms_norm_eps: 0 }), "rms_norm_eps is 0, expected number to be >0"],
    ["theta of zero", config({ rope_theta: 0 }), "rope_theta is 0, expected number to be >0"],
    [
      "a RoPE type",
      config({ rope_scaling: { rope_type: "yarn", factor: 4 } }),
      'rope_scaling.rope_type is "yarn", expected "default" or "llama3"',
    ],
    [
      "a RoPE type by its older key",
      config({ rope_scaling: { type: "linear", factor: 4 } }),
      'rope_scaling.rope_type is "linear", expected "default" or "llama3"',
    ],
    [
      "a RoPE type in the newer layout",
      config({ rope_parameters: { rope_type: "dynamic", rope_theta: 1e4 } }),
      'rope_parameters.rope_type is "dynamic", expected "default" or "llama3"',
    ],
    [
      "a scaling of no type",
      config({ rope_scaling: { factor: 4 } }),
      'rope_scaling.rope_type is missing, expected "default" or "llama3"',
    ],
    [
      "both RoPE layouts",
      config({ rope_scaling: LLAMA3, rope_parameters: { rope_theta: 1e4 } }),
      "expected none beside rope_parameters",
    ],
    [
      "RoPE parameters for each type of layer",
      config({ rope_parameters: { full_attention: { rope_theta: 1e6 } } }),
      "rope_parameters.full_attention is",
    ],
    [
      "a missing llama3 factor",
      config({ rope_scaling: { ...LLAMA3, factor: undefined } }),
      "rope_scaling.factor is missing, expected number",
    ],
    [
      "llama3 factors in the wrong order",
      config({ rope_scaling: { ...LLAMA3, high_freq_factor: 1 } }),
      "rope_scaling.high_freq_factor is 1, expected more than low_freq_factor, 1",
    ],
    [
      "heads rotated in part",
      config({ partial_rotary_factor: 0.5 }),
      "partial_rotary_factor is 0.5, expected 1",
    ],
    [
      "Llama's attention bias",
      config({ attention_bias: true }),
      "attention_bias is true, expected false: biases of LlamaForCausalLM are not supported",
    ],
    [
      "Qwen3's attention bias",
      architecture("Qwen3ForCausalLM", { attention_bias: true }),
      "attention_bias is true, expected false: biases of Qwen3ForCausalLM are not supported",
    ],
    ["biases in the MLP", config({ mlp_bias: true }), "mlp_bias is true, expected false"],
    ["an activation", config({ hidden_act: "gelu" }), 'hidden_act is "gelu", expected "silu"'],
    [
      "quantized weights",
      config({ quantization_config: { quant_method: "gptq" } }),
      'quantization_config is {"quant_method":"gptq"}, expected null',
    ],
    [
      "Qwen2's sliding window",
      architecture("Qwen2ForCausalLM", {
        sliding_window: 512,
        use_sliding_window: true,
        max_window_layers: 1,
      }),
      `sliding_window is 512, expected ${SLIDING}`,
    ],
    [
      "Qwen3's sliding window by its default first layer",
      architecture("Qwen3ForCausalLM", {
        sliding_window: 512,
        use_sliding_window: true,
        num_hidden_layers: 29,
      }),
      `sliding_window is 512, expected ${SLIDING}`,
    ],
    [
      "Mistral's sliding window",
      architecture("MistralForCausalLM", { sliding_window: 2047 }),
      `sliding_window is 2047, expected ${SLIDING}`,
    ],
    [
      "a layer that slides",
      architecture("Qwen3ForCausalLM", { layer_types: ["full_attention", "sliding_attention"] }),
      'layer_types is ["full_attention","sliding_attention"], expected only "full_attention"',
    ],
    ["tied by a word", config({ tie_word_embeddings: "yes" }), 'is "yes", expected boolean'],
  ])("%s", (_, json, message) => {
    expect(() => parseConfig(json, PATH)).toThrow(`${PATH}: `);
    expect(() => parseConfig(json, PATH)).toThrow(message);
  });

  test("a file that is not there, or is not JSON", async () => {
    const directory = await mkdtemp(join(tmpdir(), "proofmill-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    const path = join(directory, "config.json");
    await expect(readConfig(directory)).rejects.toThrow(`${path}: cannot be read`);
    await writeFile(path, '{"hidden_size": ');
    await expect(readConfig(directory)).rejects.toThrow(`${path}: is not JSON`);
  });
});
