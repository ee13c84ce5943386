/** How a model's authors want its answers chosen and ended: generation_config.json. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Sampling } from "@proofmill/core";
import { readJsonFile } from "@proofmill/native/model/json-file";

/** The values that a model's authors recommend, as far as they name any. */
export type SamplingDefaults = Partial<
  Pick<Sampling, "temperature" | "top_p" | "top_k" | "min_p" | "repetition_penalty">
>;

const MAX_BYTES = 2 ** 20;
const MAX_END_TOKENS = 64;

const RANGES: Record<keyof SamplingDefaults, (value: number) => boolean> = {
  temperature: (value) => value >= 0 && value <= 1e6,
  top_p: (value) => value > 0 && value <= 1,
  top_k: (value) => Number.isInteger(value) && value >= 0 && value < 2 ** 31,
  min_p: (value) => value >= 0 && value <= 1,
  repetition_penalty: (value) => value > 0 && value < Number.POSITIVE_INFINITY,
};

interface Generation {
  readonly endTokens: number[];
  readonly sampling: SamplingDefaults;
  /** What was left out, in one line each that names the file. */
  readonly faults: string[];
}

/** Never throws: what is wrong is left out. */
export function readGeneration({
  directory,
  vocabSize,
  tokenizerEnd,
}: {
  directory: string;
  vocabSize: number;
  /** The tokenizer's own; null: it names none. */
  tokenizerEnd: number | null;
}): Generation {
  const faults: string[] = [];
  const read = (name: string): Record<string, unknown> => {
    const path = join(directory, name);
    try {
      const content = existsSync(path) ? readJsonFile(path, MAX_BYTES) : {};
      if (typeof content === "object" && content !== null) return { ...content };
      throw new Error(`${path}: is not an object`);
    } catch (error) {
      faults.push((error as Error).message);
      return {};
    }
  };
  const config = read("generation_config.json");

  const named = config.eos_token_id ?? read("config.json").eos_token_id ?? [];
  const ends = (Array.isArray(named) ? named : [named]).slice(0, MAX_END_TOKENS);
  const endTokens = new Set(tokenizerEnd === null ? ends : [...ends, tokenizerEnd]);
  for (const token of endTokens) {
    if (Number.isInteger(token) && token >= 0 && token < vocabSize) continue;
    endTokens.delete(token);
    faults.push(`${directory}: eos_token_id ${JSON.stringify(token)} is no token of the model`);
  }

  const sampling: SamplingDefaults = {};
  if (config.do_sample !== false) {
    for (const [name, isInRange] of Object.entries(RANGES)) {
      const value = config[name];
      if (value === undefined || value === null) continue;
      if (typeof value === "number" && isInRange(value)) Object.assign(sampling, { [name]: value });
      else faults.push(`${directory}/generation_config.json: ${name} is not in its range`);
    }
  }
  return { endTokens: [...endTokens], sampling, faults };
}
