/** What the server and a runner's process say to each other; all of it survives a structured clone. */
import type { ModelInfo, PrefillJob, PrefillResult } from "@proofmill/core";

/** Which model a runner loads, and how. */
export interface LoadOptions {
  directory: string;
  dtype: "auto" | "bfloat16" | "float32";
  device: "auto" | "cpu";
  /** Absent: one per core. */
  threads?: number;
}

export type ToRunner =
  | { type: "load"; options: LoadOptions }
  | { type: "run"; job: PrefillJob }
  | { type: "cancel"; id: number }
  /** From now on the runner tells of its progress. */
  | { type: "watch" }
  /** Cut what is at work and end. */
  | { type: "close" };

export type FromRunner =
  | { type: "loaded"; info: ModelInfo }
  | { type: "load_failed"; message: string }
  | { type: "done"; id: number; result: PrefillResult }
  | { type: "failed"; id: number; message: string }
  | { type: "progress"; layers_done: number };
