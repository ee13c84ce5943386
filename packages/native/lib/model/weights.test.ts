import { describe, expect, test } from "vitest";
import type { Architecture } from "./architecture.ts";
import { parseConfig } from "./config.ts";
import type { ModelTensors, TensorEntry } from "./safetensors.ts";
import { locateWeights, needs, requiredTensors, unreadTensors } from "./weights.ts";

function config(architecture: Architecture, tie_word_embeddings = false) {
  return parseConfig(
    {
      architectures: [architecture],
      hidden_size: 8,
      intermediate_size: 20,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 6,
      vocab_size: 50,
      max_position_embeddings: 64,
      rms_norm_eps: 1e-6,
      tie_word_embeddings,
    },
    "config.json",
  );
}

/** Of what the config requires, with some replaced, or dropped where null. */
function tensors(
  required: Map<string, number[]>,
  changes: Record<string, { dtype?: string; shape?: number[] } | null> = {},
): Omit<ModelTensors, "names"> {
  const found: Omit<ModelTensors, "names"> = { source: "/m/model.safetensors", tensors: new Map() };
  for (const [name, shape] of [
    ...required,
    ...Object.keys(changes).map((n) => [n, [1]] as const),
  ]) {
    const change = changes[name];
    if (change === null) continue;
    found.tensors.set(name, {
      dtype: "BF16",
      shape: [...shape],
      file: "/m/shard.safetensors",
      offset: 8,
      bytes: 0,
      ...change,
    });
  }
  return found;
}

const LAYER = {
  "input_layernorm.weight": [8],
  "self_attn.q_proj.weight": [24, 8],
  "self_attn.k_proj.weight": [12, 8],
  "self_attn.v_proj.weight": [12, 8],
  "self_attn.o_proj.weight": [8, 24],
  "post_attention_layernorm.weight": [8],
  "mlp.gate_proj.weight": [20, 8],
  "mlp.up_proj.weight": [20, 8],
  "mlp.down_proj.weight": [8, 20],
};
const BIASES = {
  "self_attn.q_proj.bias": [24],
  "self_attn.k_proj.bias": [12],
  "self_attn.v_proj.bias": [12],
};
const NORMS = { "self_attn.q_norm.weight": [6], "self_attn.k_norm.weight": [6] };

describe("required", () => {
  test.each<[Architecture, Record<string, number[]>]>([
    ["LlamaForCausalLM", LAYER],
    ["MistralForCausalLM", LAYER],
    ["Qwen2ForCausalLM", { ...LAYER, ...BIASES }],
    ["Qwen3ForCausalLM", { ...LAYER, ...NORMS }],
  ])("by %s", (architecture, layer) => {
    const expected: Record<string, number[]> = {
      "model.norm.weight": [8],
      "lm_head.weight": [50, 8],
    };
    for (const [name, shape] of Object.entries(layer)) {
      for (const n of [0, 1]) expected[`model.layers.${n}.${name}`] = shape;
    }
    expect(Object.fromEntries(requiredTensors(config(architecture)))).toEqual(expected);
  });

  test("the embedding table as the head of a tied model, even beside an lm_head", () => {
    const tied = config("LlamaForCausalLM", true);
    const required = requiredTensors(tied);
    expect(required.get("model.embed_tokens.weight")).toEqual([50, 8]);
    const located = locateWeights(
      tied,
      tensors(required, { "lm_head.weight": { shape: [50, 8] } }),
    );
    expect(Object.keys(located)).toEqual([...required.keys()]);
  });
});

describe("located", () => {
  const qwen3 = config("Qwen3ForCausalLM");
  const required = requiredTensors(qwen3);

  test("of any of the three storage types, mixed ones too", () => {
    const found = tensors(required, {
      "lm_head.weight": { dtype: "F32", shape: [50, 8] },
      "model.norm.weight": { dtype: "F16", shape: [8] },
      "model.extra.weight": { dtype: "I64" },
    });
    const located = locateWeights(qwen3, found);
    expect(located["lm_head.weight"]).toEqual(found.tensors.get("lm_head.weight"));
    expect(located["model.norm.weight"]?.dtype).toBe("F16");
    expect(located["model.extra.weight"]).toBeUndefined();
  });

  test("without the prefix that a bare model's files leave out", () => {
    const found = tensors(required);
    const bare = { source: "/m/model.safetensors", tensors: new Map() };
    for (const [name, entry] of found.tensors) bare.tensors.set(name.replace("model.", ""), entry);
    expect(bare.tensors.has("layers.0.mlp.up_proj.weight")).toBe(true);
    expect(locateWeights(qwen3, bare)).toEqual(locateWeights(qwen3, found));
    // Where both are there, the full name counts.
    const other = { ...[...found.tensors.values()][0], shape: [1] } as TensorEntry;
    const both = { ...bare, tensors: new Map([...found.tensors, ["norm.weight", other]]) };
    expect(locateWeights(qwen3, both)).toEqual(locateWeights(qwen3, found));
  });

  test("a tied head that is stored as lm_head alone", () => {
    const tied = config("LlamaForCausalLM", true);
    const table = "model.embed_tokens.weight";
    const found = tensors(requiredTensors(tied), {
      [table]: null,
      "lm_head.weight": { shape: [50, 8] },
    });
    expect(locateWeights(tied, found)[table]).toEqual(found.tensors.get("lm_head.weight"));
    expect([...needs(tied)((name) => found.tensors.has(name))]).toContain("lm_head.weight");
    expect([...needs(tied)(() => true)]).not.toContain("lm_head.weight");
  });

  test("leaving unread what the architecture has no use for", () => {
    const held = [
      ...required.keys(),
      "model.layers.1.self_attn.q_proj.bias",
      "model.layers.0.mlp.up_proj.weight_scale_inv",
      "layers.0.input_layernorm.bias",
      "lm_head.bias",
    ];
    const elsewhere = [
      "model.layers.0.self_attn.rotary_emb.inv_freq",
      "model.layers.2.self_attn.q_proj.bias", // a draft of later tokens
      "model.embed_tokens.weight",
      "visual.layers.0.weight",
    ];
    expect(unreadTensors(qwen3, [...held, ...elsewhere])).toEqual(held.slice(-4));
    const bare = [...required.keys()].map((name) => name.replace("model.", ""));
    expect(unreadTensors(qwen3, bare)).toEqual([]);
  });

  test.each<[string, Record<string, { dtype?: string; shape?: number[] } | null>, string]>([
    [
      "a missing tensor",
      { "model.layers.1.self_attn.k_norm.weight": null },
      "/m/model.safetensors: tensor model.layers.1.self_attn.k_norm.weight is missing, expected one of shape [6]",
    ],
    [
      "an untied model without a head, though it has embeddings",
      { "lm_head.weight": null, "model.embed_tokens.weight": { shape: [50, 8] } },
      "/m/model.safetensors: tensor lm_head.weight is missing, expected one of shape [50, 8]",
    ],
    [
      "another shape of the same size",
      { "model.layers.0.self_attn.q_proj.weight": { shape: [8, 24] } },
      "/m/shard.safetensors: tensor model.layers.0.self_attn.q_proj.weight has shape [8, 24], expected [24, 8]",
    ],
    [
      "another number of dimensions",
      { "model.norm.weight": { shape: [1, 8] } },
      "/m/shard.safetensors: tensor model.norm.weight has shape [1, 8], expected [8]",
    ],
    [
      "another dtype",
      { "model.layers.0.mlp.up_proj.weight": { dtype: "F8_E4M3", shape: [20, 8] } },
      "/m/shard.safetensors: tensor model.layers.0.mlp.up_proj.weight has dtype F8_E4M3, expected one of BF16, F16, F32",
    ],
    [
      "a dtype that nobody knows",
      { "model.layers.0.mlp.up_proj.weight": { dtype: "F4_X", shape: [20, 8] } },
      "has dtype F4_X, expected one of BF16, F16, F32",
    ],
  ])("never with %s", (_, changes, message) => {
    expect(() => locateWeights(qwen3, tensors(required, changes))).toThrow(message);
  });

  test("with a word on how to do without embeddings that only inference needs", () => {
    const config = { ...qwen3, embeds_tokens: true };
    expect(() => locateWeights(config, tensors(required, {}))).toThrow(
      "tensor model.embed_tokens.weight is missing, expected one of shape [50, 8]; inference alone needs it, --no-inference does without",
    );
  });
});
