/** What a round is searched with: after the node's end it goes on with the same only. */
import type { ModelInfo } from "../runner/ports.ts";

/** What a nonce's result may depend on, as far as the node knows it. */
export interface SearchedWith {
  /** The model's name. */
  readonly model: string;
  readonly arithmetic: string;
  readonly architecture: string;
  readonly dtype: string;
  readonly hidden_size: number;
  readonly vocab_size: number;
  readonly num_hidden_layers: number;
  /** As ModelInfo's: its weights. */
  readonly warm_up?: string;
}

export function searchedWith(model: string, info: ModelInfo): SearchedWith {
  const { arithmetic, architecture, dtype, hidden_size, vocab_size, num_hidden_layers } = info;
  const { warm_up } = info;
  return {
    ...{ model, arithmetic, architecture, dtype },
    ...{ hidden_size, vocab_size, num_hidden_layers },
    ...(warm_up !== undefined && { warm_up }),
  };
}

/** Everything known before in which they differ, for the log; null where they are equal. */
export function differenceOf(before: SearchedWith, now: SearchedWith): string | null {
  const differences = (Object.keys(before) as (keyof SearchedWith)[])
    .filter((field) => before[field] !== now[field])
    .map((field) => `${field} was ${before[field]}, now it is ${now[field]}`);
  return differences.length > 0 ? differences.join("; ") : null;
}
