/**
 * The objects of artifact rounds on the wire (docs/protocol-v2.md §3 and §5). Nothing is coerced
 * between types; unknown fields are dropped, but refused in `params`.
 *
 * Free of Node, as `schemas.ts`.
 */
import { z } from "zod";
import { type Claims, claimsOf } from "./claims.ts";
import { callbackUrl, finite, integer, numberList, text } from "./fields.ts";
import { CommandAnswer, ErrorAnswer, type InitLimits, InitRequest, Status } from "./schemas.ts";

/** The most numbers that an artifact may have here; the network's have 12. */
export const MAX_K_DIM = 64;
/** Nonces that one job may have, and that all jobs which wait may have together. */
export const MAX_JOB_NONCES = 100_000;
const MAX_BATCH_SIZE = 1024;
const MAX_VECTOR_CHARACTERS = 1024;

/** What a vector is encoded as. */
export const Encoding = z.object({
  dtype: z.literal("f16"),
  k_dim: z.int().min(1),
  endian: z.literal("le"),
});
export type Encoding = z.output<typeof Encoding>;

/** What a nonce has yielded. */
export const Artifact = z.object({
  nonce: z.int(),
  vector_b64: z.string().describe("k_dim half-precision numbers, little-endian, in base64."),
});
export type Artifact = z.output<typeof Artifact>;

function paramsSchema({ max_seq_len = Number.MAX_SAFE_INTEGER, hidden_size }: InitLimits) {
  return z.strictObject({
    model: text().describe("One of the node's names for its model."),
    seq_len: integer(1, max_seq_len),
    k_dim: integer(1, Math.min(hidden_size ?? MAX_K_DIM, MAX_K_DIM)).default(12),
  });
}

/** Of a block, a prover and its place among nodes: what both bodies have. */
function commonFields(limits: InitLimits) {
  return {
    block_hash: text(),
    block_height: integer(0),
    public_key: text(),
    node_id: integer(0),
    node_count: integer(1),
    batch_size: integer(1, MAX_BATCH_SIZE)
      .default(32)
      .describe("A hint: no result follows from it."),
    params: paramsSchema(limits),
    url: callbackUrl(limits.callback_hosts)
      .nullable()
      .default(null)
      .describe("Where results are pushed to, verbatim; null: nowhere."),
    poc_stronger_rng: z.boolean().default(false),
  };
}

function artifactRoundSchema(limits: InitLimits) {
  return z
    .object({
      ...commonFields(limits),
      group_id: integer(0).default(0),
      n_groups: integer(1).default(1),
    })
    .superRefine(({ node_id, node_count, group_id, n_groups }, context) => {
      const fault = (path: string, message: string) =>
        context.addIssue({
          code: "custom",
          path: [path],
          params: { type: "value_error" },
          message: `Value error, ${message}`,
        });
      if (group_id >= n_groups) fault("group_id", "group_id must be less than n_groups");
      // The walk's numbers are integers that JSON carries.
      const step = n_groups * node_count;
      if (!Number.isSafeInteger(step + node_id + group_id * node_count)) {
        fault("node_count", "the sequence leaves the safe integers");
      }
    });
}

/** The body of `/init/generate`. */
export const ArtifactRound: (limits: InitLimits) => z.ZodType<ArtifactRound> = artifactRoundSchema;
export type ArtifactRound = z.output<ReturnType<typeof artifactRoundSchema>>;

const share = () => finite().min(0).max(1);

function jobBodySchema(limits: InitLimits) {
  return z.object({
    ...commonFields(limits),
    nonces: numberList({
      item: { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    }).refine((nonces) => nonces.length <= MAX_JOB_NONCES, {
      params: { type: "too_long" },
      error: `List should have at most ${MAX_JOB_NONCES} items`,
    }),
    wait: z.boolean().default(false),
    validation: z
      .object({
        artifacts: z
          .array(z.object({ nonce: integer(0), vector_b64: z.string().max(MAX_VECTOR_CHARACTERS) }))
          .max(MAX_JOB_NONCES),
      })
      .nullable()
      .default(null),
    stat_test: z
      .object({
        dist_threshold: finite().min(0).default(0.02),
        p_mismatch: share().default(0.001),
        fraud_threshold: share().optional(),
        p_value_threshold: share().optional().describe("Another name, which is not used."),
      })
      .nullable()
      .default(null),
  });
}

/** The body of `/generate`. */
export type ArtifactJob = z.output<ReturnType<typeof jobBodySchema>>;

/** Whoever checks a body makes the job of it, too: a large one is checked on a thread. */
export const ArtifactJob: (limits: InitLimits) => z.ZodType<CheckedJob> = (limits) =>
  jobBodySchema(limits).transform(({ validation, ...job }) => ({
    ...job,
    validation: validation && claimsOf(job.nonces, validation.artifacts),
  }));

/** A job as it is computed. */
export type CheckedJob = Omit<ArtifactJob, "validation"> & { readonly validation: Claims | null };

/** The answer of `/status` to callers of artifact rounds. */
export const ArtifactStatus = z.object({
  status: z.enum(["IDLE", "GENERATING"]),
  config: z
    .object({
      block_hash: z.string(),
      block_height: z.int(),
      public_key: z.string(),
      node_id: z.int(),
      node_count: z.int(),
      group_id: z.int(),
      n_groups: z.int(),
      seq_len: z.int(),
      k_dim: z.int(),
    })
    .nullable(),
  stats: z
    .object({
      total_processed: z.int().min(0).describe("Nonces computed, those that are not finite too."),
      nonces_per_second: z.number().min(0),
    })
    .nullable(),
});
export type ArtifactStatus = z.output<typeof ArtifactStatus>;

/** What is said of a prover. */
export const ArtifactVerdict = z.object({
  n_total: z.int().min(0),
  n_mismatch: z.int().min(0),
  mismatch_nonces: z.array(z.int()),
  p_value: z.number(),
  fraud_detected: z.boolean(),
  excluded_nonces: z
    .array(z.int())
    .optional()
    .describe("Of which nothing is said: what the node computed was not finite. Absent if none."),
});
export type ArtifactVerdict = z.output<typeof ArtifactVerdict>;

/** What a finished job has yielded: artifacts, or a verdict where it was given a prover's. */
export const JobResult = z.union([
  z.object({ artifacts: z.array(Artifact), encoding: Encoding }),
  ArtifactVerdict,
]);
export type JobResult = z.output<typeof JobResult>;

/** How a job stands. */
export const JobAnswer = z.union([
  z.object({ status: z.enum(["queued", "running", "cancelled"]), request_id: z.string() }),
  z.object({ status: z.literal("failed"), request_id: z.string(), error: z.string() }),
  z.object({ status: z.literal("completed"), request_id: z.string() }).and(JobResult),
]);
export type JobAnswer = z.output<typeof JobAnswer>;

/** The answer to a job that is not waited for. */
export const QueuedJob = z.object({
  status: z.literal("queued"),
  request_id: z.string(),
  queued_count: z.int().min(0),
});
export type QueuedJob = z.output<typeof QueuedJob>;

/** The answer to a job: with `wait` how it has ended, else that it is queued. */
export const StartedJob = z.union([QueuedJob, JobAnswer]);
export type StartedJob = z.output<typeof StartedJob>;

/** The answer to a round that begins. */
export const ArtifactsBegun = z.object({
  status: z.literal("OK"),
  pow_status: z.object({ status: z.literal("GENERATING") }),
});
export type ArtifactsBegun = z.output<typeof ArtifactsBegun>;

/** The answer of `/versions`. */
export const EngineVersions = z.object({
  vllm_version: z.string().describe("`proofmill-` and its version: callers want a text."),
  poc_validation_inference: z.boolean().describe("Whether chat goes on while jobs are computed."),
});

/** Which job is asked for. */
export const JobQuery = z.object({ request_id: text() });
export type JobQuery = z.output<typeof JobQuery>;

/** Jobs that wait, are at work, or ended in the last five minutes: at most a hundred. */
export const ArtifactJobs = z.object({
  waiting_nonces: z.int().min(0).describe("Of all jobs that wait or are at work."),
  jobs: z
    .array(
      z.object({
        request_id: z.string(),
        status: z.enum(["queued", "running", "completed", "failed", "cancelled"]),
        count: z.int().min(0).describe("Nonces."),
        error: z.string().nullable().describe("Why it failed."),
        verdict: ArtifactVerdict.nullable().describe("What was said of a prover, if it was asked."),
      }),
    )
    .describe("In the order in which they came."),
});
export type ArtifactJobs = z.output<typeof ArtifactJobs>;

/** Of which block and prover something is that is pushed. */
const origin = {
  public_key: z.string(),
  block_hash: z.string(),
  block_height: z.int(),
  node_id: z.int(),
};

/** Artifacts of a round, as they are pushed to `url/generated`. */
export const GeneratedArtifacts = z.object({
  ...origin,
  artifacts: z.array(Artifact),
  encoding: Encoding,
});
export type GeneratedArtifacts = z.output<typeof GeneratedArtifacts>;

/** Artifacts of a job, as they are pushed to `url/generated`. */
export const JobArtifacts = GeneratedArtifacts.extend({ request_id: z.string() });

/** The verdict of a job, as it is pushed to `url/validated`. */
export const ValidatedArtifacts = z.object({
  request_id: z.string(),
  ...origin,
  ...ArtifactVerdict.shape,
});
export type ValidatedArtifacts = z.output<typeof ValidatedArtifacts>;

/** A refusal of what concerns artifacts: its `detail` may be an object. */
export const ArtifactRefusal = ErrorAnswer.extend({
  detail: z.union([
    ErrorAnswer.shape.detail,
    z.object({
      error: z.literal("params mismatch"),
      requested: z.object({ model: z.string(), seq_len: z.int(), k_dim: z.int() }),
      deployed: z.object({
        model: z.array(z.string()).describe("The node's names for its model."),
        seq_len: z.null(),
        k_dim: z.null(),
      }),
    }),
    z.object({ errors: z.array(z.object({ port: z.int(), error: z.string() })) }),
  ]),
});

/** The body of an `init/generate` that takes rounds of both kinds. */
export const EitherRound = (limits: InitLimits) =>
  z
    .union([InitRequest(limits), artifactRoundSchema(limits)])
    .describe("Of artifacts where `params` names a model and there is no `r_target`.");

/** What both kinds of round are answered. */
export const EitherBegun = z.union([CommandAnswer, ArtifactsBegun]);

/** The answer of `/status` to callers of either kind of round. */
export const EitherStatus = Status.extend({
  status: z.string().describe("After a round of distances its state, else `IDLE` or `GENERATING`."),
  config: ArtifactStatus.shape.config,
  stats: ArtifactStatus.shape.stats,
});

/** The answer of `/stop` to callers of either kind of round. */
export const EitherStopped = z.object({ status: z.literal("OK"), pow_status: EitherStatus });

/** What subscribers to artifacts are told. */
export const ArtifactEvent = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("round"),
    round_id: z.string(),
    block_hash: z.string(),
    block_height: z.int(),
    public_key: z.string(),
    k_dim: z.int(),
  }),
  z.object({
    type: z.literal("artifacts"),
    round_id: z.string(),
    block_hash: z.string(),
    from: z.int().min(0).describe("Index of the first among the round's artifacts."),
    nonces: z.array(z.int()),
    vectors_b64: z.array(z.string()),
  }),
]);
export type ArtifactEvent = z.output<typeof ArtifactEvent>;
