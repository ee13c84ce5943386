/** What a node says of itself: how it is, and of what it is made. Free of Node. */
import { z } from "zod";
import { SCOPES } from "./scopes.ts";

/** Callbacks since the node started, and what waits now (docs/protocol.md §4). */
export const DeliveryInfo = z.object({
  delivered_nonces: z.int().min(0),
  delivered_verdicts: z.int().min(0),
  failed_requests: z.int().min(0).describe("Requests that were not acknowledged."),
  failures: z.record(z.string(), z.int().min(1)).describe("The same by reason."),
  given_up_nonces: z.int().min(0),
  given_up_verdicts: z.int().min(0),
  pending_nonces: z.int().min(0),
  pending_verdicts: z.int().min(0),
  oldest_seconds: z.number().min(0).describe("Age of the oldest that is pending; 0 without any."),
});
export type DeliveryInfo = z.output<typeof DeliveryInfo>;

/** One of a node's runners: a process that holds the model on one device. */
export const RunnerInfo = z.object({
  id: z.string().describe("The device as `--device` names it; several on the CPU are numbered."),
  device: z.string().nullable().describe("What the device is; null until the model is loaded."),
  arithmetic: z.string().nullable().describe("Null until the model is loaded."),
  pid: z.int().nullable().describe("Of the process that holds the model; null where none does."),
  state: z
    .enum(["loading", "alive", "stalled", "restarting", "lost"])
    .describe(
      "Stalled: it has work and has done nothing of it for far longer than usual. Restarting: it has " +
        "ended and is started again. Lost: it has ended for good.",
    ),
  reason: z.string().nullable().describe("Why it ended last; null while it never has."),
  restarts: z.int().min(0).describe("How often it was started again since the node started."),
  memory: z.int().min(0).nullable().describe("Bytes that its process holds; null without one."),
  peak_memory: z.int().min(0).nullable().describe("The most bytes that it ever held."),
});
export type RunnerInfo = z.output<typeof RunnerInfo>;

/** What may be wrong with a node (docs/protocol.md §3). */
export const HealthCode = z.enum([
  "MODEL_LOADING",
  "RUNNER_RESTARTING",
  "RUNNER_STALLED",
  "RUNNER_LOST",
  "STORE_FAILED",
  "SHUTTING_DOWN",
  "RESULTS_NOT_FINITE",
]);
export type HealthCode = z.output<typeof HealthCode>;

/** Something that is wrong. */
export const HealthNote = z.object({
  code: HealthCode,
  text: z.string().describe("A sentence for people."),
});
export type HealthNote = z.output<typeof HealthNote>;

const HealthNotes = z.array(HealthNote);

/** How a node is. */
export const NodeHealth = z.object({
  reasons: HealthNotes.describe("Why no round could begin or go on now; none when one could."),
  warnings: HealthNotes.describe("What else is wrong, though rounds go on."),
});
export type NodeHealth = z.output<typeof NodeHealth>;

const counted = () => z.int().min(0);

/** Inference at a node: who may pass now, and what became of requests since the node started. */
export const InferenceInfo = z.object({
  gate: z
    .enum(["open", "closed", "stopped", "none"])
    .describe(
      "Closed: by a round. Stopped: by the network's broker. None: nothing is forwarded, and the " +
        "node's own model answers nothing.",
    ),
  refused: counted().describe("Requests that got the 503."),
  aborted: counted().describe("Running requests that were cut off."),
  running: counted().describe("Requests that are being answered or forwarded now."),
  answered: counted().describe("Requests that the node's own model answered to their end."),
  cancelled: counted().describe("Its answers that their caller or a round ended."),
  failed: counted().describe("Its answers that came to nothing."),
  prompt_tokens: counted().describe("Tokens that it read."),
  generated_tokens: counted().describe("Tokens that it answered."),
});
export type InferenceInfo = z.output<typeof InferenceInfo>;

/** Rounds and jobs of artifacts (docs/protocol-v2.md); sums are of the time since the node started. */
export const ArtifactsInfo = z.object({
  round: z
    .object({
      round_id: z.string(),
      block_hash: z.string().nullable(),
      block_height: z.int().nullable(),
      public_key: z.string().nullable(),
      node_id: z.int().nullable(),
      node_count: z.int().nullable(),
      total_checked: counted().describe("Nonces that it has computed."),
      total_artifacts: counted().describe("Those of them whose result was finite."),
      artifacts_per_minute: z.number().min(0).describe("While it generated."),
      elapsed_seconds: z.number().min(0),
    })
    .nullable()
    .describe("The present round, also once it is stopped; null where it is none of artifacts."),
  waiting_jobs: counted().describe("Jobs that wait or are at work."),
  waiting_nonces: counted().describe("Their nonces."),
  completed_jobs: counted(),
  failed_jobs: counted(),
  cancelled_jobs: counted(),
  verdicts: counted().describe("Completed jobs that judged a prover."),
  frauds: counted().describe("Verdicts that found fraud."),
});
export type ArtifactsInfo = z.output<typeof ArtifactsInfo>;

/** What a node says of itself. What is of the model is null until it is loaded. */
export const NodeInfo = z.object({
  version: z.string(),
  poc_enabled: z.boolean(),
  model: z.string().describe("As /v1 calls it."),
  architecture: z.string().nullable(),
  arithmetic: z.string().nullable(),
  dtype: z.string().nullable(),
  device: z.string().nullable(),
  hidden_size: z.int().nullable(),
  vocab_size: z.int().nullable(),
  num_hidden_layers: z.int().nullable(),
  max_position_embeddings: z.int().nullable(),
  lost_log_lines: z
    .int()
    .min(0)
    .describe("Lines that the log's file, pipe or terminal did not take, since the node started."),
  max_seq_len: z
    .int()
    .nullable()
    .describe("The longest round: the context, or what fits into memory or is allowed."),
  health: NodeHealth,
  runners: z.array(RunnerInfo).describe("In the order of `--device`."),
  delivery: DeliveryInfo,
  inference: InferenceInfo,
  artifacts: ArtifactsInfo,
  scopes: z
    .array(z.enum(SCOPES))
    .describe("What whoever asks may do: its key's scopes, and all where nobody needs a key."),
});
export type NodeInfo = z.output<typeof NodeInfo>;

/** The answer of `/livez`: who reads it knows that the node answers. */
export const Live = z.object({
  status: z.enum(["ok", "healthy", "unhealthy"]).describe("`ok` of a node for version 1 alone."),
});

/** The answer of `/health` and `/readyz` when a round could begin now, or one runs. */
export const Health = z.object({
  status: z.enum(["ok", "healthy"]).describe("`ok` of a node for version 1 alone."),
  ...NodeHealth.shape,
  upstream: z
    .enum(["ok", "unreachable"])
    .optional()
    .describe("The server that inference is forwarded to, as it was within the last seconds."),
});

/** The answer of `/health` and `/readyz` when none could. */
export const Unready = z.object({
  status: z.literal("unavailable"),
  detail: z.string().describe("The first reason, in the words of the refusals."),
  ...NodeHealth.shape,
});

/** The answer of `/version`. */
export const Version = z.object({ version: z.string() });
