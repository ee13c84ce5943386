/** A Hugging Face `config.json`, reduced to what the forward pass needs; all else is refused. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Llama3Scaling } from "./rope.ts";

export const ARCHITECTURES = [
  "Qwen3ForCausalLM",
  "Qwen2ForCausalLM",
  "LlamaForCausalLM",
  "MistralForCausalLM",
] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

export interface ModelConfig {
  architecture: Architecture;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  vocab_size: number;
  /** The context: the greatest seq_len. */
  max_position_embeddings: number;
  rms_norm_eps: number;
  rope_theta: number;
  rope_scaling: Llama3Scaling | null;
  tie_word_embeddings: boolean;
  qk_norm: boolean;
  qkv_bias: boolean;
}

const size = (greatest: number) => z.int().min(1).max(greatest);
const positive = z.number().positive();
/** Rotates every dimension of a head, or the model is not one of ours. */
const wholeHead = z.literal(1).nullish();

const ropeSchema = z
  .object({
    rope_type: z.string().nullish(),
    type: z.string().nullish(),
    rope_theta: positive.nullish(),
    partial_rotary_factor: wholeHead,
  })
  // Some architectures nest one set for each type of layer.
  .catchall(z.unknown().refine(isNoObject, "expected one set of parameters for all layers"));

const llama3Schema = z.object({
  factor: z.number().min(1),
  low_freq_factor: positive,
  high_freq_factor: positive,
  original_max_position_embeddings: size(2 ** 30),
});

/** Bounds keep every product of sizes far below 2⁵³. */
const fileSchema = z.looseObject({
  architectures: z.tuple([z.enum(ARCHITECTURES)]),
  hidden_size: size(2 ** 16),
  intermediate_size: size(2 ** 18),
  num_hidden_layers: size(1024),
  num_attention_heads: size(1024),
  num_key_value_heads: size(1024).nullish(),
  head_dim: size(1024).nullish(),
  vocab_size: size(2 ** 24),
  max_position_embeddings: size(2 ** 30),
  rms_norm_eps: positive.max(1),
  rope_theta: positive.nullish(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  partial_rotary_factor: wholeHead,
  tie_word_embeddings: z.boolean().default(false),
  hidden_act: z.literal("silu").default("silu"),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.literal(false).nullish(),
  quantization_config: z.null().optional(),
  sliding_window: z.number().nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.int().nullish(),
  layer_types: z.array(z.string()).nullish(),
});
type ConfigFile = z.infer<typeof fileSchema>;

/** Turns the config down for what one of its keys holds. */
interface Refusals {
  refuse(key: string, expected: string): never;
}

/**
 * Reads and checks `<directory>/config.json`.
 *
 * @throws Error naming the file, the key, what it holds and what was expected
 */
export async function readConfig(directory: string): Promise<ModelConfig> {
  const path = join(directory, "config.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new Error(`${path}: cannot be read; a model directory holds config.json`, { cause });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${path}: is not JSON: ${(cause as Error).message}`, { cause });
  }
  return parseConfig(json, path);
}

/**
 * Checks a parsed `config.json`.
 *
 * @param path names it in errors
 * @throws Error naming the path, the key, what it holds and what was expected
 */
export function parseConfig(json: unknown, path: string): ModelConfig {
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) throw new Error(`${path}: ${firstIssue(parsed.error, json)}`);
  const file = parsed.data;
  const refusals: Refusals = {
    refuse(key, expected) {
      throw new Error(`${path}: ${key} is ${show(file[key])}, expected ${expected}`);
    },
  };
  const architecture = file.architectures[0];
  refuseBiases(architecture, file, refusals);
  refuseSlidingWindow(architecture, file, refusals);
  return {
    architecture,
    hidden_size: file.hidden_size,
    intermediate_size: file.intermediate_size,
    num_hidden_layers: file.num_hidden_layers,
    ...heads(file, refusals),
    vocab_size: file.vocab_size,
    max_position_embeddings: file.max_position_embeddings,
    rms_norm_eps: file.rms_norm_eps,
    ...rope(file, path, refusals),
    tie_word_embeddings: file.tie_word_embeddings,
    qk_norm: architecture === "Qwen3ForCausalLM",
    qkv_bias: architecture === "Qwen2ForCausalLM",
  };
}

type Heads = Pick<ModelConfig, "num_attention_heads" | "num_key_value_heads" | "head_dim">;

function heads(file: ConfigFile, { refuse }: Refusals): Heads {
  const { hidden_size, num_attention_heads } = file;
  const num_key_value_heads = file.num_key_value_heads ?? num_attention_heads;
  if (num_attention_heads % num_key_value_heads !== 0) {
    refuse("num_key_value_heads", `a divisor of num_attention_heads, ${num_attention_heads}`);
  }
  const head_dim = file.head_dim ?? hidden_size / num_attention_heads;
  // RoPE turns pairs of dimensions.
  if (head_dim % 2 !== 0) {
    if (file.head_dim) refuse("head_dim", "an even number");
    refuse(
      "hidden_size",
      `an even multiple of num_attention_heads, ${num_attention_heads}, where there is no head_dim`,
    );
  }
  return { num_attention_heads, num_key_value_heads, head_dim };
}

/** Both layouts: `rope_theta` + `rope_scaling`, and the newer `rope_parameters` that holds all. */
function rope(
  file: ConfigFile,
  path: string,
  { refuse }: Refusals,
): Pick<ModelConfig, "rope_theta" | "rope_scaling"> {
  if (file.rope_parameters && file.rope_scaling) {
    refuse("rope_scaling", "none beside rope_parameters");
  }
  const key = file.rope_parameters ? "rope_parameters" : "rope_scaling";
  const parameters = file.rope_parameters ?? file.rope_scaling ?? {};
  const rope_theta = file.rope_parameters?.rope_theta ?? file.rope_theta ?? 10000;
  // Frequencies that are scaled in a way left unsaid must not pass for unscaled ones.
  const unsaid = "factor" in parameters ? undefined : "default";
  const type = parameters.rope_type ?? parameters.type ?? unsaid;
  if (type === "default") return { rope_theta, rope_scaling: null };
  if (type !== "llama3") {
    throw new Error(`${path}: ${key}.rope_type is ${show(type)}, expected "default" or "llama3"`);
  }
  const scaling = llama3Schema.safeParse(parameters);
  if (!scaling.success) throw new Error(`${path}: ${firstIssue(scaling.error, parameters, key)}`);
  const { low_freq_factor: low, high_freq_factor: high } = scaling.data;
  if (high <= low) {
    throw new Error(
      `${path}: ${key}.high_freq_factor is ${high}, expected more than low_freq_factor, ${low}`,
    );
  }
  return { rope_theta, rope_scaling: scaling.data };
}

/** Where the key means anything it puts a bias on the output projection too. */
function refuseBiases(architecture: Architecture, file: ConfigFile, { refuse }: Refusals): void {
  const isHeeded = architecture === "LlamaForCausalLM" || architecture === "Qwen3ForCausalLM";
  if (isHeeded && file.attention_bias) {
    refuse("attention_bias", `false: biases of ${architecture} are not supported`);
  }
}

/** Qwen's have a switch and a first layer; Mistral's is on where it is narrower than the context. */
function refuseSlidingWindow(
  architecture: Architecture,
  file: ConfigFile,
  { refuse }: Refusals,
): void {
  const expected = "no sliding window in use: every layer must see every position";
  if (file.layer_types?.some((type) => type !== "full_attention")) {
    refuse("layer_types", `only "full_attention": every layer must see every position`);
  }
  const window = file.sliding_window;
  if (window === null || window === undefined) return;
  if (architecture === "MistralForCausalLM") {
    if (window < file.max_position_embeddings) refuse("sliding_window", expected);
  } else if (architecture !== "LlamaForCausalLM" && file.use_sliding_window) {
    const DEFAULT_MAX_WINDOW_LAYERS = 28; // of Hugging Face's Qwen2Config and Qwen3Config
    const firstLayer = file.max_window_layers ?? DEFAULT_MAX_WINDOW_LAYERS;
    if (!file.layer_types && firstLayer < file.num_hidden_layers) {
      refuse("sliding_window", expected);
    }
  }
}

/** `a.b is <value>, expected …`, of the first thing that is wrong. */
function firstIssue(error: z.ZodError, json: unknown, prefix?: string): string {
  const issue = error.issues[0];
  const path = issue?.path ?? [];
  const value = path.reduce<unknown>(
    (at, step) => (typeof at === "object" && at !== null ? at[step as never] : undefined),
    json,
  );
  const key = [...(prefix ? [prefix] : []), ...path].join(".") || "the file";
  const expected =
    path[0] === "architectures"
      ? `expected one of ${ARCHITECTURES.join(", ")}`
      : // zod says "Invalid input: expected number, received string"
        issue?.message.replace(/^.*?(?=expected )/, "").replace(/, received .*$/, "");
  return `${key} is ${show(value)}, ${expected}`;
}

function isNoObject(value: unknown): boolean {
  return typeof value !== "object" || value === null || Array.isArray(value);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
