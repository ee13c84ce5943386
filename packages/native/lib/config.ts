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

const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
});

const llama3Schema = z.object({
  factor: z.number().min(1),
  low_freq_factor: z.number().positive(),
  high_freq_factor: z.number().positive(),
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
  rms_norm_eps: z.number().positive().max(1),
  rope_theta: z.number().positive().optional(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  tie_word_embeddings: z.boolean().default(false),
  hidden_act: z.literal("silu"),
  attention_bias: z.literal(false).nullish(),
  mlp_bias: z.literal(false).nullish(),
  quantization_config: z.null().optional(),
  sliding_window: z.number().nullish(),
  use_sliding_window: z.boolean().nullish(),
  layer_types: z.array(z.string()).nullish(),
});
type ConfigFile = z.infer<typeof fileSchema>;

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
 */
export function parseConfig(json: unknown, path: string): ModelConfig {
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) throw new Error(`${path}: ${firstIssue(parsed.error, json)}`);
  const file = parsed.data;
  const refuse = (key: string, expected: string): never => {
    throw new Error(`${path}: ${key} is ${show((json as never)[key])}, expected ${expected}`);
  };
  const architecture = file.architectures[0];
  const heads = file.num_attention_heads;
  const kvHeads = file.num_key_value_heads ?? heads;
  const headDim = file.head_dim ?? file.hidden_size / heads;
  if (heads % kvHeads !== 0) {
    refuse("num_key_value_heads", `a divisor of num_attention_heads, ${heads}`);
  }
  if (!Number.isInteger(headDim) || headDim % 2 !== 0) {
    refuse(
      file.head_dim ? "head_dim" : "hidden_size",
      `an even head_dim; hidden_size / num_attention_heads is ${file.hidden_size / heads}`,
    );
  }
  if (usesSlidingWindow(architecture, file)) {
    refuse("sliding_window", "no sliding window in use: every layer must see every position");
  }
  return {
    architecture,
    hidden_size: file.hidden_size,
    intermediate_size: file.intermediate_size,
    num_hidden_layers: file.num_hidden_layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    vocab_size: file.vocab_size,
    max_position_embeddings: file.max_position_embeddings,
    rms_norm_eps: file.rms_norm_eps,
    ...rope(file, path),
    tie_word_embeddings: file.tie_word_embeddings,
    qk_norm: architecture === "Qwen3ForCausalLM",
    qkv_bias: architecture === "Qwen2ForCausalLM",
  };
}

/** Both layouts: `rope_theta` + `rope_scaling`, and the newer `rope_parameters` that holds all. */
function rope(file: ConfigFile, path: string): Pick<ModelConfig, "rope_theta" | "rope_scaling"> {
  const key = file.rope_parameters ? "rope_parameters" : "rope_scaling";
  const parameters = file.rope_parameters ?? file.rope_scaling;
  const rope_theta = file.rope_parameters?.rope_theta ?? file.rope_theta ?? 10000;
  const type = parameters?.rope_type ?? parameters?.type ?? "default";
  if (type === "default") return { rope_theta, rope_scaling: null };
  if (type !== "llama3") {
    throw new Error(`${path}: ${key}.rope_type is ${show(type)}, expected "default" or "llama3"`);
  }
  const scaling = llama3Schema.safeParse(parameters);
  if (!scaling.success) {
    throw new Error(`${path}: ${key}: ${firstIssue(scaling.error, parameters)}`);
  }
  if (scaling.data.high_freq_factor <= scaling.data.low_freq_factor) {
    throw new Error(
      `${path}: ${key}.high_freq_factor is ${scaling.data.high_freq_factor}, expected more than low_freq_factor, ${scaling.data.low_freq_factor}`,
    );
  }
  return { rope_theta, rope_scaling: scaling.data };
}

/** Qwen's have a switch; Mistral's is on whenever it is narrower than the context. */
function usesSlidingWindow(architecture: Architecture, file: ConfigFile): boolean {
  if (file.layer_types?.some((type) => type !== "full_attention")) return true;
  if (file.sliding_window === null || file.sliding_window === undefined) return false;
  if (architecture === "MistralForCausalLM") {
    return file.sliding_window < file.max_position_embeddings;
  }
  return file.use_sliding_window === true;
}

function firstIssue(error: z.ZodError, json: unknown): string {
  const issue = error.issues[0];
  if (!issue) return "is not valid";
  const key = issue.path.join(".") || "config";
  const value = issue.path.reduce<unknown>(
    (at, step) => (typeof at === "object" && at !== null ? at[step as never] : undefined),
    json,
  );
  const expected =
    issue.path[0] === "architectures" ? `one of ${ARCHITECTURES.join(", ")}` : issue.message;
  return `${key} is ${show(value)}, expected: ${expected}`;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
