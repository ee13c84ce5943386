import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { goldenDirectory } from "../selftest/golden.ts";
import { parseConfig, readConfig } from "./config.ts";
import { contextOf } from "./context.ts";

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
    expect(await readConfig(goldenDirectory(model))).toMatchObject(expected);
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

  test("Hugging Face's epsilon where none is named", () => {
    for (const rms_norm_eps of [undefined, null]) {
      expect(parseConfig(config({ rms_norm_eps }), PATH).rms_norm_eps).toBe(1e-6);
    }
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
    { rope_scaling: { rope_type: "default", rope_theta: 5e5 } },
    { rope_scaling: { rope_theta: 5e5, type: "default", factor: 1 }, rope_parameters: {} },
    { rope_theta: 5e5, rope_scaling: { rope_theta: 5e5 }, rope_parameters: { rope_theta: 5e5 } },
    { rope_theta: 5e5, rope_scaling: { rope_type: "default" }, rope_parameters: { factor: null } },
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
    { rope_scaling: { ...LLAMA3, rope_theta: 5e5 } },
    { rope_theta: 5e5, rope_scaling: LLAMA3, rope_parameters: { ...LLAMA3, rope_theta: 5e5 } },
    {
      rope_theta: 5e5,
      rope_scaling: { ...LLAMA3, original_max_position_embeddings: undefined },
      original_max_position_embeddings: 8192,
    },
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
    architecture("LlamaForCausalLM", { sliding_window: 512, use_sliding_window: false }),
    architecture("Qwen2ForCausalLM", { attention_bias: true }), // not heeded
  ])("a key that changes nothing: %j", (json) => {
    const notices: string[] = [];
    const { max_position_embeddings } = parseConfig(json, PATH, (text) => notices.push(text));
    expect([max_position_embeddings, notices]).toEqual([2048, []]);
  });

  const SLIDES = { sliding_window: 512, use_sliding_window: true };
  test.each([
    architecture("Qwen2ForCausalLM", { ...SLIDES, max_window_layers: 1 }),
    architecture("Qwen3ForCausalLM", { ...SLIDES, num_hidden_layers: 29 }),
    architecture("Qwen3ForCausalLM", {
      ...SLIDES,
      layer_types: ["full_attention", "sliding_attention"],
    }),
    architecture("MistralForCausalLM", { sliding_window: 512 }),
    architecture("MistralForCausalLM", { ...SLIDES, use_sliding_window: false }), // not heeded
    architecture("LlamaForCausalLM", { sliding_window: 512 }),
  ])("a sliding window, by a context that does not slide: %j", (json) => {
    const notices: [string, string][] = [];
    const config = parseConfig(json, PATH, (text, level) => notices.push([text, level]));
    expect(config.max_position_embeddings).toBe(512);
    expect(notices).toEqual([
      [
        `${PATH}: sliding_window is 512: the context is 512 tokens instead of 2048, so that every layer sees every position`,
        "info",
      ],
    ]);
    expect(contextOf(json)).toBe(512);
  });

  test.each([
    architecture("MistralForCausalLM", { max_position_embeddings: 8192 }),
    architecture("Qwen2ForCausalLM", {
      max_position_embeddings: 8192,
      use_sliding_window: true,
      max_window_layers: 0,
    }),
  ])("Hugging Face's window where none is named: %j", (json) => {
    expect(parseConfig(json, PATH).max_position_embeddings).toBe(4096);
  });

  test("Qwen3's own head_dim where none is named", () => {
    expect(parseConfig(architecture("Qwen3ForCausalLM"), PATH).head_dim).toBe(128);
    expect(parseConfig(architecture("Qwen2ForCausalLM"), PATH).head_dim).toBe(16);
    const none = architecture("Qwen3ForCausalLM", { head_dim: null });
    expect(parseConfig(none, PATH).head_dim).toBe(16);
  });

  test("each architecture's own key heads where none are named, unless they cannot be meant", () => {
    const keyHeads = (name: string, num_attention_heads: number, key?: null) => {
      const changes = { num_attention_heads, head_dim: 16, num_key_value_heads: key };
      return parseConfig(architecture(name, changes), PATH).num_key_value_heads;
    };
    expect(keyHeads("MistralForCausalLM", 32)).toBe(8);
    expect(keyHeads("Qwen2ForCausalLM", 64)).toBe(32);
    expect(keyHeads("Qwen3ForCausalLM", 64)).toBe(32);
    expect(keyHeads("LlamaForCausalLM", 64)).toBe(64);
    for (const name of ["MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"]) {
      expect(keyHeads(name, 64, null)).toBe(64);
      expect(keyHeads(name, 28)).toBe(28);
    }
  });

  test("silu by its other name", () => {
    expect(parseConfig(config({ hidden_act: "swish" }), PATH)).toEqual(parseConfig(config(), PATH));
  });

  test("a byte-order mark", async () => {
    const directory = await mkdtemp(join(tmpdir(), "proofmill-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    await writeFile(join(directory, "config.json"), `\ufeff${JSON.stringify(config())}`);
    expect(await readConfig(directory)).toEqual(parseConfig(config(), PATH));
  });
});

test("the context of a config that says little else", () => {
  expect(contextOf({ max_position_embeddings: 64 })).toBe(64);
  expect(contextOf({ max_position_embeddings: 64, architectures: ["Other"] })).toBeNull();
  for (const sliding_window of [0, -1, 0.5]) {
    expect(contextOf(architecture("MistralForCausalLM", { sliding_window }))).toBeNull();
  }
  for (const json of [null, {}, [], { max_position_embeddings: "many" }]) {
    expect(contextOf(json)).toBeNull();
  }
});

describe("what is refused, naming the file, the key, what it is and what was expected", () => {
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
      "RoPE parameters that differ between two places",
      config({ rope_scaling: LLAMA3, rope_parameters: { rope_theta: 1e4 } }),
      "expected the same as rope_parameters or nothing",
    ],
    [
      "factors that differ between two places",
      config({ rope_scaling: LLAMA3, rope_parameters: { ...LLAMA3, factor: 4 } }),
      "expected the same as rope_parameters or nothing",
    ],
    [
      "thetas that differ between outside and inside",
      config({ rope_theta: 1e4, rope_scaling: { rope_type: "default", rope_theta: 5e5 } }),
      "rope_scaling.rope_theta is 500000, expected 10000 as in rope_theta",
    ],
    [
      "thetas that differ between the two layouts",
      config({ rope_scaling: { rope_theta: 1e4 }, rope_parameters: { rope_theta: 5e5 } }),
      "rope_scaling.rope_theta is 10000, expected 500000 as in rope_parameters.rope_theta",
    ],
    [
      "a theta in the place of two that does not count",
      config({ rope_scaling: { type: "default" }, rope_parameters: { rope_theta: 5e5 } }),
      "rope_parameters.rope_theta is 500000, expected the same in rope_scaling as well",
    ],
    [
      "two names for the RoPE type",
      config({ rope_scaling: { ...LLAMA3, type: "linear" } }),
      'rope_scaling.type is "linear", expected "llama3" as in rope_type',
    ],
    [
      "a factor that the default type would leave out",
      config({ rope_scaling: { rope_type: "default", factor: 4 } }),
      'rope_scaling.factor is 4, expected 1 or none where rope_type is "default"',
    ],
    [
      "two contexts that Llama 3's scaling was made for",
      config({ rope_scaling: LLAMA3, original_max_position_embeddings: 4096 }),
      "original_max_position_embeddings is 4096, expected 8192 as RoPE's own",
    ],
    [
      "RoPE parameters for each type of layer",
      config({ rope_parameters: { full_attention: { rope_theta: 1e6 } } }),
      "rope_parameters.full_attention is",
    ],
    [
      "a key without end",
      config({ rope_scaling: { ["x".repeat(1_000_000)]: {} } }),
      `rope_scaling.${"x".repeat(87)}… is {}, expected one set of parameters for all layers`,
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
      'quantization_config.quant_method is "gptq", expected no quantization_config: quantised weights are not supported',
    ],
    [
      "quantized weights of no method",
      config({ quantization_config: { fmt: "e4m3" } }),
      'quantization_config is {"fmt":"e4m3"}, expected no quantization_config',
    ],
    ["attention both ways", config({ is_causal: false }), "is_causal is false, expected true"],
    ["attention of nothing", config({ is_causal: null }), "is_causal is null, expected true"],
    [
      "Mistral's attention bias",
      architecture("MistralForCausalLM", { attention_bias: true }),
      "attention_bias is true, expected false: biases of MistralForCausalLM are not supported",
    ],
    [
      "a window of nothing",
      architecture("MistralForCausalLM", { sliding_window: 0 }),
      "sliding_window is 0, expected a whole number of at least 1",
    ],
    [
      "fewer types than layers",
      config({ layer_types: ["full_attention"] }),
      'layer_types is ["full_attention"], expected one for each of the 2 layers',
    ],
    [
      "layers of another kind",
      config({ layer_types: ["full_attention", "linear_attention"], sliding_window: 64 }),
      'expected only "full_attention" and "sliding_attention"',
    ],
    [
      "a layer that slides by no window",
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
    await symlink("config.json", path);
    await expect(readConfig(directory)).rejects.toThrow(`${path}: cannot be read: ELOOP`);
    await rm(path);
    await writeFile(path, '{"hidden_size": ');
    await expect(readConfig(directory)).rejects.toThrow(`${path}: is not JSON`);
  });
});
