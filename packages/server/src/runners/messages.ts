/** What a node and its runner's process say to each other, by structured clone. */
import type { ModelInfo, PrefillJob, PrefillResult } from "@proofmill/core";

/** How the runner's process loads its model. */
export interface LoadOptions {
  directory: string;
  dtype: "auto" | "bfloat16" | "float32";
  device: "auto" | "cpu";
  threads?: number;
  isa?: string;
}

export type ToRunner =
  | { type: "load"; options: LoadOptions }
  | { type: "run"; job: PrefillJob }
  | { type: "cancel"; id: number }
  | { type: "close" };

export type FromRunner =
  | { type: "ready"; info: ModelInfo }
  | { type: "load_failed"; message: string }
  | { type: "progress"; layersDone: number }
  | { type: "result"; id: number; result: PrefillResult }
  | { type: "job_failed"; id: number; message: string };
