/** A Hugging Face `config.json`, reduced to what the forward pass needs; all else is refused. */
import { join } from "node:path";
import { z } from "zod";
import { ARCHITECTURES, type Architecture } from "./architecture.ts";
import { HARMLESS, REFUSED, type Refused, ROPE_HARMLESS, ROPE_REFUSED } from "./config-keys.ts";
import { contextSchema, SLIDING, size, slidingWindow } from "./context.ts";
import { MAX_CONFIG_BYTES, readJsonFile } from "./json-file.ts";
import type { ModelConfig } from "./model-config.ts";
import { firstIssue, show, showAll } from "./refusal.ts";
import { ROPE_HONOURED, ropeConfig, ropeSchema } from "./rope-config.ts";

/** Is told, in a line each, what an operator may want to know. */
export type OnNotice = (text: string, level: "info" | "warn") => void;

const NAMES = Object.keys(ARCHITECTURES) as [Architecture, ...Architecture[]];

const ONE_OF_OURS = { error: `expected one of ${NAMES.join(", ")}` };

/** Hugging Face's, in all architectures here. */
const DEFAULT_EPS = 1e-6;

/** The keys that are honoured. Bounds keep every product of sizes far below 2⁵³. */
const fileSchema = z.looseObject({
  ...contextSchema.shape,
  ...ropeSchema.shape,
  architectures: z.tuple([z.enum(NAMES, ONE_OF_OURS)], ONE_OF_OURS),
  hidden_size: size(2 ** 16),
  intermediate_size: size(2 ** 18),
  num_hidden_layers: size(1024),
  num_attention_heads: size(1024),
  num_key_value_heads: size(1024).nullish(),
  head_dim: size(1024).nullish(),
  vocab_size: size(2 ** 24),
  rms_norm_eps: z.number().positive().max(1).nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  // Two names of one function.
  hidden_act: z.enum(["silu", "swish"], { error: 'expected "silu"' }).nullish(),
  attention_bias: z.boolean().nullish(),
  is_causal: z.literal(true).optional(), // null counts as false there
  quantization_config: z.unknown().optional(),
});
type ConfigFile = z.infer<typeof fileSchema>;

/** Keys of config.json whose values reach the numbers, or are refused for what they would do. */
export const HONOURED: readonly string[] = Object.keys(fileSchema.shape);

/** Refuses the config for what one of its keys holds. */
interface Refusals {
  refuse(key: string, expected: string): never;
}

/**
 * Reads and checks `<directory>/config.json`.
 *
 * @param onNotice hears of keys that nobody knows, and of a context that is cut to a window
 * @throws Error naming the file, the key, what it holds and what was expected
 */
export async function readConfig(directory: string, onNotice?: OnNotice): Promise<ModelConfig> {
  const path = join(directory, "config.json");
  let json: unknown;
  try {
    json = readJsonFile(path, MAX_CONFIG_BYTES);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "ENOTDIR") throw cause;
    throw new Error(`${path}: cannot be read; a model directory holds config.json`, { cause });
  }
  return parseConfig(json, path, onNotice);
}

/**
 * Checks a parsed `config.json`.
 *
 * @param path names it in errors
 * @param onNotice as for `readConfig`
 * @throws Error naming the path, the key, what it holds and what was expected
 */
export function parseConfig(json: unknown, path: string, onNotice?: OnNotice): ModelConfig {
  try {
    return configOf(json, (text, level) => onNotice?.(`${path}: ${text}`, level));
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`);
  }
}

function configOf(json: unknown, onNotice: OnNotice): ModelConfig {
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) throw new Error(firstIssue(parsed.error, json));
  const file = parsed.data;
  const refusals: Refusals = {
    refuse(key, expected) {
      throw new Error(`${key} is ${show(file[key])}, expected ${expected}`);
    },
  };
  const [architecture] = file.architectures;
  const { qk_norm, qkv_bias } = ARCHITECTURES[architecture];
  refuseQuantised(file);
  refuseBias(architecture, file, refusals);
  const config: ModelConfig = {
    architecture,
    hidden_size: file.hidden_size,
    intermediate_size: file.intermediate_size,
    num_hidden_layers: file.num_hidden_layers,
    ...heads(architecture, file, refusals),
    vocab_size: file.vocab_size,
    max_position_embeddings: context(architecture, file, { ...refusals, onNotice }),
    rms_norm_eps: file.rms_norm_eps ?? DEFAULT_EPS,
    ...ropeConfig(file),
    tie_word_embeddings: file.tie_word_embeddings ?? false,
    qk_norm,
    qkv_bias,
  };
  checkOtherKeys(file, config, onNotice);
  return config;
}

type Heads = Pick<ModelConfig, "num_attention_heads" | "num_key_value_heads" | "head_dim">;

function heads(architecture: Architecture, file: ConfigFile, { refuse }: Refusals): Heads {
  const { hidden_size, num_attention_heads } = file;
  const num_key_value_heads = file.num_key_value_heads ?? keyValueHeads(architecture, file);
  if (num_attention_heads % num_key_value_heads !== 0) {
    refuse("num_key_value_heads", `a divisor of num_attention_heads, ${num_attention_heads}`);
  }
  const byDefault = file.head_dim === undefined ? ARCHITECTURES[architecture].head_dim : null;
  const head_dim = file.head_dim ?? byDefault ?? hidden_size / num_attention_heads;
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

/**
 * For a file that names none. Where the architecture's default does not divide the heads, each head
 * is taken to have its own keys and values; the shapes of the weights show whether that is right.
 */
function keyValueHeads(architecture: Architecture, file: ConfigFile): number {
  const { num_key_value_heads, num_attention_heads } = file;
  const byDefault = ARCHITECTURES[architecture].num_key_value_heads;
  const isMeant =
    num_key_value_heads === undefined && byDefault && num_attention_heads % byDefault === 0;
  return isMeant ? byDefault : num_attention_heads;
}

/** Each method packs its numbers in its own way, and none of them is read here. */
function refuseQuantised({ quantization_config }: ConfigFile): void {
  if (quantization_config === undefined || quantization_config === null) return;
  const method = (quantization_config as { quant_method?: unknown }).quant_method;
  const found =
    method === undefined
      ? `quantization_config is ${show(quantization_config)}`
      : `quantization_config.quant_method is ${show(method)}`;
  throw new Error(
    `${found}, expected no quantization_config: quantised weights are not supported; use the ` +
      "unquantised model",
  );
}

/** Qwen2 ignores the key. Elsewhere it adds biases that are not computed here, also to o_proj. */
function refuseBias(architecture: Architecture, file: ConfigFile, { refuse }: Refusals): void {
  if (architecture !== "Qwen2ForCausalLM" && file.attention_bias) {
    refuse("attention_bias", `false: biases of ${architecture} are not supported`);
  }
}

/** `max_position_embeddings`, or the window of layers that slide where that is shorter. */
function context(
  architecture: Architecture,
  file: ConfigFile,
  { refuse, onNotice }: Refusals & { onNotice: OnNotice },
): number {
  const { layer_types, num_hidden_layers, max_position_embeddings } = file;
  if (layer_types && layer_types.length !== num_hidden_layers) {
    refuse("layer_types", `one for each of the ${num_hidden_layers} layers`);
  }
  const window = slidingWindow(architecture, file);
  const known = window === null ? ["full_attention"] : ["full_attention", SLIDING];
  if (layer_types?.some((type) => !known.includes(type))) {
    refuse(
      "layer_types",
      `only ${known.map(show).join(" and ")}: every layer must see every position`,
    );
  }
  if (window === null || window >= max_position_embeddings) return max_position_embeddings;
  if (!Number.isInteger(window) || window < 1) {
    refuse("sliding_window", "a whole number of at least 1");
  }
  onNotice(
    `sliding_window is ${window}: the context is ${window} tokens instead of ` +
      `${max_position_embeddings}, so that every layer sees every position`,
    "info",
  );
  return window;
}

/** What is known of the keys of an object. */
interface KnownKeys {
  taken: ReadonlySet<string>;
  refused: ReadonlyMap<string, Refused>;
}

const knownKeys = (taken: readonly string[], refused: readonly Refused[]): KnownKeys => ({
  taken: new Set(taken),
  refused: new Map(refused.flatMap((rule) => rule.keys.map((key) => [key, rule] as const))),
});
const FILE_KEYS = knownKeys([...HONOURED, ...HARMLESS], REFUSED);
const ROPE_KEYS = knownKeys([...ROPE_HONOURED, ...ROPE_HARMLESS], ROPE_REFUSED);

/** Refuses what would change numbers if it were heeded, and names what nobody knows. */
function checkOtherKeys(file: ConfigFile, config: ModelConfig, onNotice: OnNotice): void {
  const unknown = [
    ...unknownKeys({ object: file, prefix: "" }, FILE_KEYS, config),
    ...(["rope_scaling", "rope_parameters"] as const).flatMap((place) =>
      unknownKeys({ object: file[place] ?? {}, prefix: `${place}.` }, ROPE_KEYS, config),
    ),
  ];
  if (unknown.length === 0) return;
  onNotice(
    `nothing is known of ${showAll(unknown)}, and nothing is made of it: if one of these ` +
      "changes the model's numbers, its distances are wrong",
    "warn",
  );
}

/** @throws Error for the first key whose value does not pass */
function unknownKeys(
  { object, prefix }: { object: Record<string, unknown>; prefix: string },
  { taken, refused }: KnownKeys,
  config: ModelConfig,
): string[] {
  const unknown: string[] = [];
  for (const [key, value] of Object.entries(object)) {
    const rule = refused.get(key);
    if (rule && !rule.passes(value, config)) {
      throw new Error(`${prefix}${key} is ${show(value)}, expected ${rule.expected}`);
    }
    if (!rule && !taken.has(key)) unknown.push(`${prefix}${key}`);
  }
  return unknown;
}
