import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ARCHITECTURES, type Architecture } from "./architecture.ts";
import { HONOURED, parseConfig } from "./config.ts";
import { HARMLESS, REFUSED, ROPE_HARMLESS, ROPE_REFUSED } from "./config-keys.ts";
import type { ModelConfig } from "./model-config.ts";
import { ROPE_HONOURED } from "./rope-config.ts";

const NAMES = Object.keys(ARCHITECTURES) as Architecture[];

function file(architecture: Architecture, changes: Record<string, unknown> = {}) {
  return {
    architectures: [architecture],
    hidden_size: 64,
    intermediate_size: 160,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    head_dim: 16,
    vocab_size: 512,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    sliding_window: null,
    ...changes,
  };
}

/** What becomes of a config, and what is said about it. */
function parse(json: object): { config: ModelConfig; notices: string[] } {
  const notices: string[] = [];
  return { config: parseConfig(json, "c", (text) => notices.push(text)), notices };
}

const plain = (architecture: Architecture) => ({
  config: parse(file(architecture)).config,
  notices: [],
});

/** Nothing that any key may hold. */
const STRANGE = [true, 7, "strange", [1, 0], { strange: 1 }];

test.each(REFUSED.flatMap(({ keys }) => keys))("%s is refused by name, where it matters", (key) => {
  for (const architecture of NAMES) {
    let refused = 0;
    for (const value of STRANGE) {
      try {
        expect(parse(file(architecture, { [key]: value }))).toEqual(plain(architecture));
      } catch (error) {
        expect((error as Error).message).toMatch(new RegExp(`^c: ${key} is .+, expected .+$`));
        refused++;
      }
    }
    expect(refused).toBeGreaterThanOrEqual(STRANGE.length - 2);
    expect(parse(file(architecture, { [key]: null }))).toEqual(plain(architecture));
  }
});

test.each(HARMLESS)("%s changes nothing", (key) => {
  for (const architecture of NAMES) {
    for (const value of [...STRANGE, null]) {
      expect(parse(file(architecture, { [key]: value }))).toEqual(plain(architecture));
    }
  }
});

describe.each(["rope_scaling", "rope_parameters"])("inside %s", (place) => {
  const inside = (key: string, value: unknown, architecture: Architecture) =>
    parse(file(architecture, { [place]: { rope_type: "default", [key]: value } }));

  test.each(ROPE_REFUSED.flatMap(({ keys }) => keys))("%s is refused by name", (key) => {
    for (const architecture of NAMES) {
      expect(inside(key, null, architecture)).toEqual(plain(architecture));
      for (const value of [7, "strange", [1, 0]]) {
        expect(() => inside(key, value, architecture)).toThrow(`c: ${place}.${key} is `);
      }
    }
  });

  test.each(ROPE_HARMLESS)("%s changes nothing", (key) => {
    for (const architecture of NAMES) {
      expect(inside(key, 7, architecture)).toEqual(plain(architecture));
    }
  });

  test("an unknown key is named with its place", () => {
    const { notices } = inside("strange", 7, "LlamaForCausalLM");
    expect(notices).toEqual([expect.stringContaining(`"${place}.strange"`)]);
  });
});

describe("values that say what is done anyway", () => {
  test.each<[Architecture, Record<string, unknown>]>([
    ["LlamaForCausalLM", { attention_multiplier: 0.25, query_pre_attn_scalar: 16, rotary_dim: 16 }],
    ["LlamaForCausalLM", { logits_scaling: 1, residual_multiplier: 1.0, rotary_emb_base: 10_000 }],
    ["LlamaForCausalLM", { no_rope_layers: [1, 1], position_embedding_type: "rope" }],
    ["LlamaForCausalLM", { num_experts: 0, layer_norm_eps: 1e-5, dim_model_base: 64 }],
    ["LlamaForCausalLM", { qk_norm: false, qkv_bias: false, is_causal: true, bias: false }],
    ["LlamaForCausalLM", { model_type: "llama", auto_map: { AutoConfig: "x.Config" } }],
    ["LlamaForCausalLM", { text_config: {}, pruned_heads: {}, mlp_multipliers: [] }],
    ["LlamaForCausalLM", { activation: "swiglu", d_model: 64, num_layers: 2, num_heads: 4 }],
    ["LlamaForCausalLM", { num_kv_heads: 4, n_inner: 160, mlp_layer_types: ["dense", "dense"] }],
    ["LlamaForCausalLM", { transformers_weights: "model.safetensors", configuration_files: [] }],
    ["LlamaForCausalLM", { no_bias: true, rope_traditional: false, tie_embedding: false }],
    ["Qwen3ForCausalLM", { use_qk_norm: true, model_type: "qwen3", hidden_activation: "silu" }],
    ["Qwen2ForCausalLM", { qkv_bias: true, attention_bias: false, use_mrope: false }],
  ])("%s %j", (architecture, changes) => {
    expect(parse(file(architecture, changes))).toEqual(plain(architecture));
  });

  test.each<[Architecture, Record<string, unknown>]>([
    ["LlamaForCausalLM", { query_pre_attn_scalar: 64 }],
    ["LlamaForCausalLM", { attention_multiplier: 0.0078125 }],
    ["LlamaForCausalLM", { no_rope_layers: [1, 0] }],
    ["LlamaForCausalLM", { no_rope_layers: [1] }],
    ["LlamaForCausalLM", { use_rope: false }],
    ["LlamaForCausalLM", { rope_traditional: true }],
    ["LlamaForCausalLM", { attention_value_scale: 0.75 }],
    ["LlamaForCausalLM", { transformers_weights: "model-fp32.safetensors" }],
    ["LlamaForCausalLM", { configuration_files: ["config.4.0.0.json"] }],
    ["LlamaForCausalLM", { unpadded_vocab_size: 500 }],
    ["LlamaForCausalLM", { mlp_layer_types: ["dense", "sparse"] }],
    ["LlamaForCausalLM", { tie_embedding: true }],
    ["LlamaForCausalLM", { layer_norm_eps: 1e-6 }],
    ["LlamaForCausalLM", { num_experts: 8, num_experts_per_tok: 2 }],
    ["LlamaForCausalLM", { qk_norm: true }],
    ["LlamaForCausalLM", { model_type: "granite" }],
    ["LlamaForCausalLM", { auto_map: { AutoModelForCausalLM: "modeling.Model" } }],
    ["Qwen2ForCausalLM", { qkv_bias: false }],
    ["Qwen3ForCausalLM", { qk_norm: false }],
  ])("and those that say otherwise: %s %j", (architecture, changes) => {
    expect(() => parse(file(architecture, changes))).toThrow(`c: ${Object.keys(changes)[0]} is `);
  });
});

describe("an honoured key reaches the numbers, or is refused", () => {
  const llama3 = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
  const slides = { architectures: ["Qwen2ForCausalLM"], sliding_window: 64 };
  /** What a key says, and what else must be there for it to say anything. */
  const SAID: Record<string, [value: unknown, beside?: Record<string, unknown>]> = {
    architectures: [["MistralForCausalLM"]],
    hidden_size: [128],
    intermediate_size: [128],
    num_hidden_layers: [3],
    num_attention_heads: [8],
    num_key_value_heads: [2],
    head_dim: [32],
    vocab_size: [500],
    max_position_embeddings: [64],
    rms_norm_eps: [1e-6],
    rope_theta: [5e5],
    rope_scaling: [{ ...llama3, original_max_position_embeddings: 8192 }],
    rope_parameters: [{ rope_theta: 5e5 }],
    original_max_position_embeddings: [8192, { rope_scaling: llama3 }],
    partial_rotary_factor: [0.5],
    tie_word_embeddings: [true],
    hidden_act: ["gelu"],
    attention_bias: [true],
    is_causal: [false],
    quantization_config: [{ quant_method: "fp8" }],
    sliding_window: [64],
    use_sliding_window: [true, { ...slides, max_window_layers: 0 }],
    max_window_layers: [0, { ...slides, use_sliding_window: true }],
    layer_types: [["full_attention", "sliding_attention"]],
  };
  const outcome = (changes: Record<string, unknown>) => {
    try {
      return parse(file("LlamaForCausalLM", changes)).config;
    } catch (error) {
      return (error as Error).message;
    }
  };

  test.each(HONOURED)("%s", (key) => {
    const [value, beside = {}] = SAID[key] ?? [];
    const reached = outcome({ ...beside, [key]: value });
    expect(reached).not.toEqual(outcome(beside));
    if (typeof reached === "string") expect(reached).toContain(`c: ${key}`);
  });
});

test("unknown keys are named in one warning, a bounded number of them", () => {
  const strange = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`strange ${i}\n`, i]));
  const { notices } = parse(file("LlamaForCausalLM", strange));
  expect(notices).toHaveLength(1);
  expect(notices[0]).toContain('c: nothing is known of "strange 0\\n", "strange 1\\n"');
  expect(notices[0]).toContain('"strange 19\\n" and 10 more');
});

test("no key stands in two lists", () => {
  const keys = [...HONOURED, ...HARMLESS, ...REFUSED.flatMap((rule) => rule.keys)];
  expect(keys.filter((key, i) => keys.indexOf(key) !== i)).toEqual([]);
});

test("docs/model-config.md names the same keys under the same headings", () => {
  const page = readFileSync(
    fileURLToPath(new URL("../../../../docs/model-config.md", import.meta.url)),
    "utf8",
  );
  const section = (title: string) =>
    page.split(/^## /m).find((part) => part.startsWith(title)) ?? "";
  const codes = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code);
  const rows = (title: string) =>
    section(title)
      .split("\n")
      .filter((line) => /^\| [^-]/.test(line))
      .slice(1);
  const keysOf = (row: string, column: number) => codes(row.split(" | ")[column] ?? "");

  expect(
    rows("Honoured")
      .flatMap((row) => keysOf(row, 0))
      .sort(),
  ).toEqual([...HONOURED].sort());
  expect(codes(section("Harmless")).sort()).toEqual([...HARMLESS].sort());
  const refused = (title: string) =>
    rows(title).map((row) => [
      row.split(" | ")[0]?.replace(/^\| /, "").replaceAll("`", ""),
      keysOf(row, 1),
    ]);
  const stated = (rules: typeof REFUSED) =>
    rules.map(({ expected, keys }) => [expected, [...keys]]);
  expect(refused("Refused")).toEqual(stated(REFUSED));
  expect(refused("Inside")).toEqual([
    ["honoured", [...ROPE_HONOURED]],
    ["harmless", [...ROPE_HARMLESS]],
    ...stated(ROPE_REFUSED),
  ]);
});
