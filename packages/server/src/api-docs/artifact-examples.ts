/** The examples of rounds and jobs of artifacts (docs/protocol-v2.md §3). */
import { version } from "../version.ts";
import {
  type ApiExample,
  EXAMPLE_JOB,
  EXAMPLE_MODEL,
  misfit,
  type OperationExamples,
  OVERSIZED,
  refusal,
} from "./example.ts";

export const ARTIFACT_ROUND = {
  block_hash: "E3B0C442",
  block_height: 100,
  public_key: "02a1b2c3",
  node_id: 1,
  node_count: 2,
  params: { model: EXAMPLE_MODEL, seq_len: 64 },
};
export const ARTIFACTS = [
  { nonce: 1, vector_b64: "SjJjtP+36itbMOG0OLN6tJQ1xjbPNC0n" },
  { nonce: 3, vector_b64: "yzQTNQa0fbSVsRgvUzgmNZWwijFGNIu0" },
];
export const ENCODING = { dtype: "f16", k_dim: 12, endian: "le" };
export const ARTIFACT_VERDICT = {
  n_total: 2,
  n_mismatch: 2,
  mismatch_nonces: [1, 3],
  p_value: 1e-6,
  fraud_detected: true,
};
const JOB = { ...ARTIFACT_ROUND, nonces: [1, 3] };
/** A prover's artifacts, which are judged. */
export const JUDGED = { ...JOB, validation: { artifacts: ARTIFACTS } };
const OTHER_MODEL = { ...ARTIFACT_ROUND, params: { model: "Qwen/Qwen3-4B", seq_len: 64 } };

const BEGUN = { status: "OK", pow_status: { status: "GENERATING" } };
export const QUEUED = { status: "queued", request_id: EXAMPLE_JOB, queued_count: 2 };

const MISMATCH = {
  error: "params mismatch",
  requested: { model: "Qwen/Qwen3-4B", seq_len: 64, k_dim: 12 },
  deployed: { model: [EXAMPLE_MODEL], seq_len: null, k_dim: null },
};

export const TOO_LARGE: ApiExample = {
  given: "no round",
  body: OVERSIZED,
  status: 413,
  answer: { detail: "Request body is too large" },
};

/** Of both bodies. */
export function misfits<Body extends object>(body: Body): ApiExample[] {
  return [
    TOO_LARGE,
    misfit(
      "no round",
      { body: { ...body, params: { ...ARTIFACT_ROUND.params, max_tokens: 8 } } },
      {
        type: "extra_forbidden",
        loc: ["body", "params", "max_tokens"],
        msg: "Extra inputs are not permitted",
        input: 8,
      },
    ),
  ];
}

/** Of what begins a round by the paths of the engine. */
export const BEGIN_EXAMPLES: ApiExample[] = [
  { given: "no round", body: ARTIFACT_ROUND, status: 200, answer: BEGUN },
  refusal("artifacts are generated", "ALREADY_GENERATING", { body: ARTIFACT_ROUND }),
  { given: "no round", body: OTHER_MODEL, status: 409, answer: { detail: MISMATCH } },
  refusal("the runner is gone", "ENGINE_NOT_AVAILABLE", { body: ARTIFACT_ROUND }),
];

export const GENERATING = {
  status: "GENERATING",
  config: {
    ...{ block_hash: "E3B0C442", block_height: 100, public_key: "02a1b2c3" },
    ...{ node_id: 1, node_count: 2, group_id: 0, n_groups: 1, seq_len: 64, k_dim: 12 },
  },
  stats: { total_processed: 96, nonces_per_second: 48 },
};
export const IDLE = { status: "IDLE", config: null, stats: null };

export const JOB_REFUSED: ApiExample[] = [
  ...misfits(JOB),
  {
    given: "no round",
    body: { ...JUDGED, nonces: [1] },
    status: 400,
    answer: { detail: "validation.artifacts nonces must match nonces field" },
  },
  {
    given: "no round",
    body: { ...OTHER_MODEL, nonces: [1] },
    status: 409,
    answer: { detail: MISMATCH },
  },
  {
    given: "the queue is full",
    body: JOB,
    status: 429,
    answer: { detail: "Queue full: 100000 nonces queued, limit is 100000" },
  },
  {
    ...{ given: "the runner fails", body: { ...JOB, wait: true }, status: 500 },
    answer: { detail: "Computation failed" },
  },
];

export const ARTIFACT_EXAMPLES: Readonly<Record<string, OperationExamples>> = {
  generateArtifacts: {
    success: "The job is queued; with `wait` its result.",
    refused: { 429: "100,000 nonces wait, or the caller asks too often." },
    examples: [
      { given: "no round", body: JUDGED, status: 200, answer: QUEUED },
      {
        given: "a job has ended",
        body: { ...JUDGED, wait: true },
        status: 200,
        answer: { status: "completed", request_id: EXAMPLE_JOB, ...ARTIFACT_VERDICT },
      },
      {
        given: "a job has ended",
        body: { ...JOB, wait: true },
        status: 200,
        answer: {
          ...{ status: "completed", request_id: EXAMPLE_JOB },
          ...{ artifacts: ARTIFACTS, encoding: ENCODING },
        },
      },
      ...JOB_REFUSED,
      refusal("the runner is gone", "ENGINE_NOT_AVAILABLE", { body: JOB }),
    ],
  },
  artifactJob: {
    success: "How it stands.",
    examples: [
      {
        given: "a job has ended",
        path: { request_id: EXAMPLE_JOB },
        status: 200,
        answer: { status: "completed", request_id: EXAMPLE_JOB, ...ARTIFACT_VERDICT },
      },
      {
        given: "artifacts are generated",
        path: { request_id: EXAMPLE_JOB },
        status: 200,
        answer: { status: "queued", request_id: EXAMPLE_JOB },
      },
      {
        ...{ given: "no round", path: { request_id: "another" }, status: 404 },
        answer: { detail: "Request another not found" },
      },
      misfit(
        "no round",
        { path: { request_id: "a".repeat(1025) } },
        {
          type: "string_too_long",
          loc: ["query", "request_id"],
          msg: "String should have at most 1024 characters",
          input: "a".repeat(200),
        },
      ),
      refusal("PoC is off", "POC_NOT_ENABLED", { path: { request_id: EXAMPLE_JOB } }),
    ],
  },
  engineVersions: {
    success: "The versions.",
    examples: [
      {
        given: "no round",
        status: 200,
        answer: { vllm_version: `proofmill-${version}`, poc_validation_inference: false },
      },
    ],
  },
};
