/** Which tensors a model needs, by their Hugging Face names, found in its files. */
import { attentionWidths, type ModelConfig } from "./model-config.ts";
import type { ModelTensors, Select, TensorEntry } from "./safetensors.ts";

/** The types of numbers that weights may be stored in. */
const STORAGE = ["BF16", "F16", "F32"] as const;

const EMBEDDINGS = "model.embed_tokens.weight";

/** A tensor inside a file, in a type that can be loaded. */
export interface TensorLocation extends TensorEntry {
  dtype: (typeof STORAGE)[number];
}

/** Name and shape of every tensor that the forward pass reads. */
export function requiredTensors(config: ModelConfig): Map<string, number[]> {
  const { hidden_size: hidden, intermediate_size: ffn, head_dim: headDim, vocab_size } = config;
  const { q, kv } = attentionWidths(config);
  const required = new Map<string, number[]>();
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = `model.layers.${i}`;
    const attention = `${layer}.self_attn`;
    required.set(`${layer}.input_layernorm.weight`, [hidden]);
    required.set(`${attention}.q_proj.weight`, [q, hidden]);
    required.set(`${attention}.k_proj.weight`, [kv, hidden]);
    required.set(`${attention}.v_proj.weight`, [kv, hidden]);
    required.set(`${attention}.o_proj.weight`, [hidden, q]);
    if (config.qkv_bias) {
      required.set(`${attention}.q_proj.bias`, [q]);
      required.set(`${attention}.k_proj.bias`, [kv]);
      required.set(`${attention}.v_proj.bias`, [kv]);
    }
    if (config.qk_norm) {
      required.set(`${attention}.q_norm.weight`, [headDim]);
      required.set(`${attention}.k_norm.weight`, [headDim]);
    }
    required.set(`${layer}.post_attention_layernorm.weight`, [hidden]);
    required.set(`${layer}.mlp.gate_proj.weight`, [ffn, hidden]);
    required.set(`${layer}.mlp.up_proj.weight`, [ffn, hidden]);
    required.set(`${layer}.mlp.down_proj.weight`, [hidden, ffn]);
  }
  required.set("model.norm.weight", [hidden]);
  // A search draws its own input embeddings: there the table is read as a head only.
  required.set(config.tie_word_embeddings ? EMBEDDINGS : "lm_head.weight", [vocab_size, hidden]);
  if (config.embeds_tokens) required.set(EMBEDDINGS, [vocab_size, hidden]);
  return required;
}

/**
 * The names under which a tensor may lie in a file: files of a bare model leave out `model.`, and a
 * tied head is stored once, under either name.
 */
function namesOf(name: string, { tie_word_embeddings }: ModelConfig): string[] {
  const isTiedHead = tie_word_embeddings && name === EMBEDDINGS;
  return [name, name.replace(/^model\./, ""), ...(isTiedHead ? ["lm_head.weight"] : [])];
}

/**
 * The name under which each required tensor is stored, by its own name; those of which no name is
 * there are left out.
 */
function storedNames(config: ModelConfig, has: (name: string) => boolean): Map<string, string> {
  const stored = new Map<string, string>();
  for (const name of requiredTensors(config).keys()) {
    const found = namesOf(name, config).find(has);
    if (found !== undefined) stored.set(name, found);
  }
  return stored;
}

/** Chooses the tensors that `locateWeights` takes. */
export function needs(config: ModelConfig): Select {
  return (has) => storedNames(config, has).values();
}

/**
 * The required tensors in a model's files.
 *
 * @throws Error naming file, tensor, what was found and what was expected
 */
export function locateWeights(
  config: ModelConfig,
  { source, tensors }: Omit<ModelTensors, "names">,
): Record<string, TensorLocation> {
  const located: Record<string, TensorLocation> = {};
  const names = storedNames(config, (name) => tensors.has(name));
  for (const [name, shape] of requiredTensors(config)) {
    const stored = names.get(name);
    const tensor = stored === undefined ? undefined : tensors.get(stored);
    if (!tensor) {
      const isForTokens = name === EMBEDDINGS && !config.tie_word_embeddings;
      const hint = isForTokens ? "; inference alone needs it, --no-inference does without" : "";
      throw new Error(
        `${source}: tensor ${name} is missing, expected one of shape [${shape.join(", ")}]${hint}`,
      );
    }
    if (tensor.shape.join() !== shape.join()) {
      throw new Error(
        `${tensor.file}: tensor ${stored} has shape [${tensor.shape.join(", ")}], expected [${shape.join(", ")}]`,
      );
    }
    const dtype = STORAGE.find((known) => known === tensor.dtype);
    if (!dtype) {
      throw new Error(
        `${tensor.file}: tensor ${stored} has dtype ${tensor.dtype}, expected one of ${STORAGE.join(", ")}`,
      );
    }
    located[name] = { ...tensor, dtype };
  }
  return located;
}

/** Frequencies of RoPE, which older files hold though everybody computes them. */
const FREQUENCIES = /\.rotary_emb\.inv_freq$/;

/**
 * Tensors of the decoder that the forward pass does not read, such as biases that the config does not
 * announce; what belongs to other parts, vision or drafts of later tokens, is left out.
 */
export function unreadTensors(config: ModelConfig, names: readonly string[]): string[] {
  const known = new Set(names);
  const read = new Set(storedNames(config, (name) => known.has(name)).values());
  return names.filter((name) => {
    const layer = /^(?:model\.)?layers\.(\d+)\./.exec(name)?.[1];
    const isOfDecoder = layer
      ? Number(layer) < config.num_hidden_layers
      : /^((model\.)?norm|lm_head)\.(?!weight$)/.test(name);
    return isOfDecoder && !read.has(name) && !FREQUENCIES.test(name);
  });
}
