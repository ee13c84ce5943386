/**
 * Every object on the wire, as zod schemas with their types (docs/protocol.md §3). Nothing is
 * coerced between types and unknown fields are dropped.
 *
 * Free of Node: a browser bundles this file, and the OpenAPI document is made from it.
 */
import { z } from "zod";
import { callbackUrl, finite, INTEGER_EXPECTED, integer, numberList, text } from "./fields.ts";
import { RoundState } from "./round-state.ts";

export const MAX_BATCH_SIZE = 1024;

export interface InitDefaults {
  batch_size: number;
  seq_len: number;
}

/** What a node allows in an init body. */
export interface InitLimits {
  defaults: InitDefaults;
  /** The longest that the node computes; without it any safe length passes. */
  max_seq_len?: number;
  /** The model's, which an artifact has no more numbers than; without it any allowed number passes. */
  hidden_size?: number | undefined;
  /** Hosts that may be called; without it all that the protocol allows. */
  callback_hosts?: readonly string[] | undefined;
}

function initRequestSchema(limits: InitLimits) {
  const { defaults, max_seq_len = Number.MAX_SAFE_INTEGER, callback_hosts } = limits;
  return z
    .object({
      block_hash: text()
        .describe("The block whose round this is.")
        .meta({ examples: ["abc123"] }),
      block_height: integer(0).meta({ examples: [100] }),
      public_key: text()
        .describe("The key that the nonces are searched for.")
        .meta({
          examples: ["node1"],
        }),
      r_target: finite()
        .describe("A nonce is valid when its distance is less than this.")
        .meta({ examples: [1.4] }),
      fraud_threshold: finite()
        .min(0)
        .max(1)
        .default(0.01)
        .describe("Fraud is when the probability of an honest prover is less than this."),
      node_id: integer(-1)
        .default(-1)
        .describe("First nonce of this node's sequence; −1: unset.")
        .meta({ examples: [0] }),
      node_count: z
        .int({ error: INTEGER_EXPECTED })
        .min(-1)
        .refine((count) => count !== 0, {
          params: { type: "value_error" },
          error: "Value error, node_count must be -1 or at least 1",
        })
        .default(-1)
        .describe("Step of this node's sequence, ≥ 1; −1: unset.")
        .meta({ examples: [1] }),
      batch_size: integer(1, MAX_BATCH_SIZE)
        .default(defaults.batch_size)
        .describe("Nonces that one job has at most."),
      seq_len: integer(1, max_seq_len)
        .optional()
        .describe(
          "Tokens per nonce, up to the model's context, or to what fits or is allowed here.",
        )
        .meta({ default: defaults.seq_len }),
      callback_url: callbackUrl(callback_hosts)
        .nullable()
        .optional()
        .describe("Where results are pushed to; null: nowhere.")
        .meta({ default: null, examples: ["http://aggregator:9000/pow"] }),
      url: callbackUrl(callback_hosts).optional().describe("The older name of callback_url.").meta({
        deprecated: true,
      }),
      params: z
        .object({ seq_len: integer(1, max_seq_len).optional() })
        .optional()
        .describe("The older place of seq_len.")
        .meta({ deprecated: true }),
    })
    .superRefine(({ node_id, node_count }, context) => {
      if (node_count > 0 && node_id >= node_count) {
        context.addIssue({
          code: "custom",
          path: ["node_id"],
          params: { type: "value_error" },
          message: "Value error, node_id must be less than node_count",
        });
      }
    })
    .transform(
      ({ url, params, ...round }): InitRequest => ({
        ...round,
        seq_len: round.seq_len ?? params?.seq_len ?? defaults.seq_len,
        callback_url: round.callback_url !== undefined ? round.callback_url : (url ?? null),
      }),
    );
}

/** An init body as callers write it. The names of the older service are accepted, not offered. */
export type InitBody = Omit<z.input<ReturnType<typeof initRequestSchema>>, "url" | "params">;

/**
 * What starts a round: a function, because two defaults are the server's and one bound the model's.
 *
 * Callers of the older service send `url` and `params.seq_len`: the new names win where both are
 * there, and all that are present are checked. The parsed object bears the new names only.
 */
export const InitRequest: (limits: InitLimits) => z.ZodType<InitRequest, InitBody> =
  initRequestSchema;

/** A round's configuration: an init body after parsing, every default filled in. */
export interface InitRequest {
  block_hash: string;
  block_height: number;
  public_key: string;
  r_target: number;
  fraud_threshold: number;
  /** −1: unset. */
  node_id: number;
  /** −1: unset. */
  node_count: number;
  batch_size: number;
  seq_len: number;
  callback_url: string | null;
}

const nonces = () =>
  numberList({
    item: { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    unique: true,
  });

/** Nonces with the distances that a node claims for them; the body of `/validate`. */
export const ProofBatch = z
  .object({
    public_key: text()
      .describe("Whose nonces these are; it seeds the recomputation.")
      .meta({
        examples: ["node1"],
      }),
    block_hash: text().meta({ examples: ["abc123"] }),
    block_height: integer(0).meta({ examples: [100] }),
    nonces: nonces()
      .describe("No nonce twice.")
      .meta({ examples: [[0, 1, 2]] }),
    dist: numberList({ item: { type: "number" } })
      .describe("The claimed distance of each nonce.")
      .meta({ examples: [[1.39, 1.38, 1.395]] }),
    node_id: integer(-1).meta({ examples: [0] }),
  })
  .superRefine((proof, context) => {
    if (proof.nonces.length !== proof.dist.length) {
      context.addIssue({
        code: "custom",
        path: ["dist"],
        params: { type: "value_error" },
        message: `Value error, ${proof.nonces.length} nonces but ${proof.dist.length} distances`,
      });
    }
  });
export type ProofBatch = z.output<typeof ProofBatch>;

/** What both kinds of answer to a proof say of it (docs/protocol.md §3). */
export const Verdict = z.object({
  received_dist: z.array(z.number()).describe("The claimed distances."),
  r_target: z.number(),
  fraud_threshold: z.number(),
  n_invalid: z.int().min(0),
  probability_honest: z
    .number()
    .describe("P(at least n_invalid invalid | honest); −1 when nothing could be judged."),
  fraud_detected: z.boolean(),
  arithmetic: z.string().describe("A verdict is sharp only between equal tags."),
});
export type Verdict = z.output<typeof Verdict>;

const recomputed = () =>
  z.array(z.number().nullable()).describe("Recomputed distances; null where not finite.");

/** Valid nonces of a round, as they are pushed to `callback_url/generated`. */
export const GeneratedBatch = z.object({
  ...ProofBatch.shape,
  arithmetic: z.string().describe("What computed the distances."),
  round_id: z.string().describe("A ULID: names the round for good."),
  r_target: z.number(),
});
export type GeneratedBatch = z.output<typeof GeneratedBatch>;

/** A judged proof, as it is pushed to `callback_url/validated`. */
export const ValidatedBatch = z.object({
  public_key: z.string(),
  block_hash: z.string(),
  block_height: z.int(),
  nonces: z.array(z.int()),
  dist: recomputed(),
  node_id: z.int(),
  round_id: z.string().describe("Names the round in which it was judged."),
  ...Verdict.shape,
});
export type ValidatedBatch = z.output<typeof ValidatedBatch>;

/** The answer of `/validate`. */
export const ValidateAnswer = z.object({
  nonces: z.array(z.int()),
  distances: recomputed(),
  valid: z.array(z.boolean()).describe("Whether the recomputed distance is less than r_target."),
  ...Verdict.shape,
  status: z.literal("OK").describe("For callers of the older service."),
  computed_distances: recomputed().describe("The same as distances, for those callers."),
});
export type ValidateAnswer = z.output<typeof ValidateAnswer>;

/** The answer of `/status`. What is of the round is null without one. */
export const Status = z.object({
  state: RoundState,
  valid_nonces: z.array(z.int()).describe("In the order in which they were found."),
  valid_distances: z.array(z.number()),
  total_checked: z.int().min(0).describe("Nonces that the search has computed."),
  total_valid: z.int().min(0),
  elapsed_seconds: z.number().min(0).describe("Since init, without the time spent STOPPED."),
  rate_per_second: z.number().min(0).describe("total_checked per second spent GENERATING."),
  status: RoundState.describe("The same as state, for callers of the older service."),
  is_model_initialized: z.boolean(),
  total_nonfinite: z.int().min(0),
  arithmetic: z.string().nullable().describe("null until the model is loaded."),
  round_id: z.string().nullable().describe("Names the round for good."),
  block_hash: z.string().nullable(),
  block_height: z.int().nullable(),
  public_key: z.string().nullable(),
  r_target: z.number().nullable(),
  node_id: z.int().nullable(),
  node_count: z.int().nullable(),
});
export type Status = z.output<typeof Status>;

/** What the inference gate has done since the node started. */
export const InferenceCounters = z.object({
  inference_refused: z.int().min(0).describe("Requests that got the 503."),
  inference_aborted: z.int().min(0).describe("Running requests that were cut off."),
});
export type InferenceCounters = z.output<typeof InferenceCounters>;

/** A Status without its lists. */
export const StatusSummary = Status.omit({ valid_nonces: true, valid_distances: true });
export type StatusSummary = z.output<typeof StatusSummary>;

/** A status as it is streamed: with what the inference gate has done. */
export const StatusEvent = StatusSummary.extend(InferenceCounters.shape);
export type StatusEvent = z.output<typeof StatusEvent>;

/** A round begins, for those who follow its finds (docs/protocol.md §5). */
export const RoundEvent = z.object({
  type: z.literal("round"),
  round_id: z.string(),
  block_hash: z.string(),
  block_height: z.int(),
  r_target: z.number(),
});
export type RoundEvent = z.output<typeof RoundEvent>;

/** Finds, in the order in which they were found (docs/protocol.md §5). */
export const NoncesEvent = z.object({
  type: z.literal("nonces"),
  round_id: z.string(),
  block_hash: z.string(),
  from: z.int().min(0).describe("Index of the first in the round's found list."),
  nonces: z.array(z.int()),
  distances: z.array(z.number()),
});
export type NoncesEvent = z.output<typeof NoncesEvent>;

export const ValidNoncesEvent = z.discriminatedUnion("type", [RoundEvent, NoncesEvent]);
export type ValidNoncesEvent = z.output<typeof ValidNoncesEvent>;

/** The answer of every command. */
export const CommandAnswer = z.object({ status: z.literal("OK"), pow_status: Status });
export type CommandAnswer = z.output<typeof CommandAnswer>;

/** Which part of the found list `/status` shows. */
export const StatusPage = z.object({
  since: integer(0).optional().describe("Leave out this many of the first finds."),
  limit: integer(1).optional().describe("Show at most this many."),
});
export type StatusPage = z.output<typeof StatusPage>;

/** Where a subscription goes on. */
export const Resume = z.object({
  lastEventId: z.string().nullish().describe("The id of the last event that was seen."),
});

/** The body of every refusal. */
export const ErrorAnswer = z.object({
  detail: z.union([
    z.string(),
    z.array(
      z.object({
        type: z.string(),
        loc: z.array(z.union([z.string(), z.int()])),
        msg: z.string(),
        input: z.unknown(),
      }),
    ),
  ]),
  hint: z.string().optional().describe("What would help, for people."),
});
export type ErrorAnswer = z.output<typeof ErrorAnswer>;

/** A refusal of what OpenAI's clients ask, with what they read. */
export const InferenceRefusal = ErrorAnswer.extend({
  error: z
    .object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    })
    .optional(),
});

/** The answer of `/v1/models`, in OpenAI's shape. */
export const ModelList = z.object({
  object: z.literal("list"),
  data: z.array(
    z.object({
      id: z.string(),
      object: z.literal("model"),
      created: z.int().describe("When this node started, in seconds since 1970."),
      owned_by: z.string(),
      max_model_len: z
        .int()
        .describe(
          "Tokens of the longest prompt with its answer; of the longest sequence where the node answers none.",
        ),
    }),
  ),
});

export * from "./history-schemas.ts";
// What a node says of itself stands apart.
export * from "./node-schemas.ts";
export * from "./round-state.ts";
