/** Which files of a model hold the tensors that its forward pass reads. Never loads the addon. */
import { parseConfig } from "./config.ts";
import { MAX_CONFIG_BYTES, readJsonFile } from "./json-file.ts";
import { INDEX_FILE, numberedShards, readIndex, type Select, SINGLE_FILE } from "./safetensors.ts";
import { needs } from "./weights.ts";

interface ModelFiles {
  /** The names of all files of the model. */
  names: readonly string[];
  /** Where config.json lies, and the index if `names` has one. */
  config: string;
  index: string;
}

/** Whether some of a model's files hold weights. */
export function hasWeights(names: readonly string[]): boolean {
  return (
    [SINGLE_FILE, INDEX_FILE].some((name) => names.includes(name)) ||
    numberedShards(names).length > 0
  );
}

/**
 * The names of the files to have, as `loadModel` chooses them; none where there are no weights.
 *
 * @throws Error in one line for an index that cannot be used
 */
export function weightFiles({ names, config, index }: ModelFiles): string[] {
  if (names.includes(SINGLE_FILE)) return [SINGLE_FILE];
  if (names.includes(INDEX_FILE)) return [...readIndex(index, selectOf(config)).shards.keys()];
  return numberedShards(names);
}

/** Undefined, for all tensors, where the config cannot be used: the loader will say what is wrong. */
function selectOf(config: string): Select | undefined {
  try {
    return needs({
      ...parseConfig(readJsonFile(config, MAX_CONFIG_BYTES), config),
      embeds_tokens: true,
    });
  } catch {
    return undefined;
  }
}
