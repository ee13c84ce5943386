/**
 * A model's context: the longest sequence of which every layer sees every position. Where attention
 * slides, a sequence no longer than its window is computed as if it did not.
 */
import { z } from "zod";
import { ARCHITECTURES, type Architecture } from "./architecture.ts";

export const size = (greatest: number) => z.int().min(1).max(greatest);

/** The keys of config.json that decide it. */
export const contextSchema = z.looseObject({
  max_position_embeddings: size(2 ** 30),
  sliding_window: z.number().nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.int().nullish(),
  layer_types: z.array(z.string()).nullish(),
});
type ContextKeys = z.infer<typeof contextSchema>;

/** Hugging Face's defaults for keys that are left out; null is no window. */
const DEFAULT_WINDOW = 4096;
const DEFAULT_MAX_WINDOW_LAYERS = 28;

/**
 * The window that some layer attends through; null where all see everything.
 *
 * Qwen's have a switch and a first layer, Mistral's is always on. Llama's definition has none, but
 * runners exist that heed the key there: below its width both readings agree.
 */
export function slidingWindow(
  architecture: Architecture,
  file: ContextKeys & { num_hidden_layers: number },
): number | null {
  const { sliding_window, use_sliding_window, layer_types } = file;
  switch (architecture) {
    case "MistralForCausalLM":
      return sliding_window === undefined ? DEFAULT_WINDOW : sliding_window;
    case "LlamaForCausalLM":
      return use_sliding_window === false ? null : (sliding_window ?? null);
    case "Qwen2ForCausalLM":
    case "Qwen3ForCausalLM": {
      const first = file.max_window_layers ?? DEFAULT_MAX_WINDOW_LAYERS;
      const slides = layer_types ? layer_types.includes(SLIDING) : first < file.num_hidden_layers;
      if (!use_sliding_window || !slides) return null;
      return sliding_window === undefined ? DEFAULT_WINDOW : sliding_window;
    }
  }
}

export const SLIDING = "sliding_attention";

/** Enough of config.json, whatever else it holds. */
const glanceSchema = contextSchema.extend({
  architectures: z.tuple([z.enum(Object.keys(ARCHITECTURES) as Architecture[])]).optional(),
  num_hidden_layers: z.int().min(1).default(1),
});

/**
 * A model's context by its parsed config.json; null when that does not say, which is for `readConfig`
 * to judge.
 */
export function contextOf(json: unknown): number | null {
  const { success, data: file } = glanceSchema.safeParse(json);
  if (!success) return null;
  const window = file.architectures ? slidingWindow(file.architectures[0], file) : null;
  if (window === null || window >= file.max_position_embeddings)
    return file.max_position_embeddings;
  return Number.isInteger(window) && window > 0 ? window : null;
}
