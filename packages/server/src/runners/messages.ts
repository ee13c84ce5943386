/** What the server and a runner's process say to each other; all of it survives a structured clone. */
import type {
  ModelInfo,
  PrefillJob,
  PrefillResult,
  SessionEnd,
  SessionLimits,
  SessionStats,
  SessionToken,
  TokenSession,
} from "@proofmill/core";
import type { RunnersTogether, SessionsOptions } from "@proofmill/native/model/memory";
import type { Precision } from "@proofmill/native/model/precision";
import type { Memory } from "../platform/memory.ts";

/** Which model a runner loads, and how. */
export interface LoadOptions {
  directory: string;
  /** What its config.json holds; absent: the runner reads it. */
  config?: unknown;
  dtype: "auto" | Precision;
  /** `auto`, `cpu`, `cuda` or `cuda:N`. */
  device: string;
  gpuMemoryUtilization?: number | undefined;
  /** Absent: one per core. */
  threads?: number | undefined;
  /** What holds the model in this machine's memory beside it; absent: nothing. */
  runners?: RunnersTogether | undefined;
  /** Absent: as long as the model and the memory allow. */
  maxModelLen?: number | undefined;
  /** Bytes that the process may hold; absent: as many as there are. */
  maxMemory?: number | undefined;
  /** Room for token sessions; absent: none. */
  sessions?: SessionsOptions | undefined;
}

export type ToRunner =
  | { type: "load"; options: LoadOptions }
  | { type: "run"; job: PrefillJob }
  | { type: "cancel"; id: number }
  | { type: "open_session"; session: TokenSession }
  | { type: "cancel_session"; id: number }
  /** Cut what is at work and end. */
  | { type: "close" };

export type FromRunner =
  /** The process has come up: the first message. */
  | { type: "started" }
  /** What an operator may want to know, in a line. */
  | { type: "notice"; text: string; level: "info" | "warn" }
  | { type: "loaded"; info: ModelInfo; sessionLimits: SessionLimits | null }
  | { type: "load_failed"; message: string }
  | { type: "done"; id: number; result: PrefillResult }
  | { type: "failed"; id: number; message: string }
  /** What sessions were told in a step, in one message. */
  | { type: "tokens"; tokens: { session: number; token: SessionToken }[] }
  | { type: "session_ended"; id: number; end: SessionEnd }
  | { type: "session_failed"; id: number; message: string }
  /** What sessions take and do has changed; sent at most once a second. */
  | { type: "session_stats"; stats: SessionStats }
  /** What the process holds has changed by a MiB or more; sent at most once a second. */
  | { type: "memory"; memory: Memory }
  /** A part of the load or of the job at work was done; sent at most once a second. */
  | { type: "progress" }
  /** The device has failed for good: the process ends, and its jobs are lost with it. */
  | { type: "lost"; message: string };
