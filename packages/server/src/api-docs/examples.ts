/**
 * The examples of the API document: what is asked in which situation, and what is answered. A test
 * brings each situation about, asks, and compares.
 */
import type { HealthCode } from "@proofmill/core";
import { ApiError } from "../completions/api-error.ts";
import { GATE_ANSWER } from "../inference/gate.ts";
import { version } from "../version.ts";
import {
  type ApiExample,
  misfit,
  type OperationExamples,
  OVERSIZED,
  refusal,
  type Situation,
} from "./example.ts";
import { NODE_EXAMPLES } from "./node-examples.ts";

export const INIT = {
  block_hash: "abc123",
  block_height: 100,
  public_key: "node1",
  r_target: 1.4,
  node_id: 0,
  node_count: 1,
};
const OTHER = { ...INIT, r_target: 1.3 };
const { block_hash: _, ...WITHOUT_HASH } = INIT;
const { node_id: __, ...WITHOUT_NODE } = INIT;

const PROOF = {
  public_key: "node1",
  block_hash: "abc123",
  block_height: 100,
  nonces: [170, 241],
  dist: [1.375, 1.3125],
  node_id: 0,
};

const STATUS = {
  valid_nonces: [],
  valid_distances: [],
  total_checked: 0,
  total_valid: 0,
  elapsed_seconds: 0.5,
  rate_per_second: 0,
  total_nonfinite: 0,
  round_id: "01JH0000000000000000000000",
  block_hash: "abc123",
  block_height: 100,
  public_key: "node1",
  r_target: 1.4,
  node_id: 0,
  node_count: 1,
  state: "IDLE",
  status: "IDLE",
  is_model_initialized: true,
  arithmetic: "cpu-fma-bf16-3",
};
const NO_ROUND = {
  ...STATUS,
  elapsed_seconds: 0,
  round_id: null,
  block_hash: null,
  block_height: null,
  public_key: null,
  r_target: null,
  node_id: null,
  node_count: null,
};

/** A Status in this state, the lists only where something was found. */
function inState(state: string, finds: object = {}) {
  return { ...STATUS, state, status: state, ...finds };
}

function done(state: string, finds: object = {}) {
  return { status: "OK", pow_status: inState(state, finds) };
}

const FOUND = {
  valid_nonces: [1, 2],
  valid_distances: [1.375, 1.3125],
  total_checked: 4,
  total_valid: 2,
  rate_per_second: 8,
};

const VERDICT = {
  status: "OK",
  nonces: [170, 241],
  distances: [1.375, 1.3125],
  computed_distances: [1.375, 1.3125],
  valid: [true, true],
  received_dist: [1.375, 1.3125],
  r_target: 1.4,
  fraud_threshold: 0.01,
  n_invalid: 0,
  probability_honest: 1,
  fraud_detected: false,
  arithmetic: "cpu-fma-bf16-3",
};

/** What the callbacks of that round carry. */
export const GENERATED = {
  ...PROOF,
  arithmetic: "cpu-fma-bf16-3",
  round_id: "01JH0000000000000000000000",
  r_target: 1.4,
};
export const VALIDATED = {
  ...GENERATED,
  received_dist: PROOF.dist,
  fraud_threshold: 0.01,
  n_invalid: 0,
  probability_honest: 1,
  fraud_detected: false,
};

/** As what a node says of itself puts it. */
const RUNNER_GONE: ApiExample = {
  given: "the runner is gone",
  status: 503,
  answer: { detail: "Runner is not available: killed" },
};

/** With what OpenAI's clients read. */
function forClients(example: ApiExample): ApiExample {
  const { detail, hint } = example.answer as { detail: string; hint?: string };
  const message = hint === undefined ? detail : `${detail}: ${hint}`;
  const { error } = new ApiError(example.status, message);
  return { ...example, answer: { ...(example.answer as object), error } };
}

/** A node that is not ready, for this reason. */
function unready(given: Situation, code: HealthCode, text: string): ApiExample {
  const reasons = [{ code, text }];
  const answer = { status: "unavailable", detail: text, reasons, warnings: [] };
  return { given, status: 503, answer };
}

const HEALTH: OperationExamples = {
  success: "A round could begin now, or one runs.",
  refused: { 503: "None could: the reasons say why." },
  examples: [
    {
      given: "searching",
      status: 200,
      answer: { status: "ok", reasons: [], warnings: [] },
    },
    unready("the model is loading", "MODEL_LOADING", "Model is loading"),
    unready("the runner is gone", "RUNNER_LOST", "Runner is not available: killed"),
    unready("closing", "SHUTTING_DOWN", "Server is shutting down"),
  ],
};

/** The refusals of whatever needs the model. */
function withoutModel(request: { body?: unknown } = {}): ApiExample[] {
  return [
    refusal("PoC is off", "POC_NOT_ENABLED", request),
    refusal("the model is loading", "MODEL_LOADING", request),
    refusal("the runner is gone", "RUNNER_LOST", request),
    refusal("closing", "SHUTTING_DOWN", request),
  ];
}

const NOT_JSON = misfit(
  "no round",
  { body: '{"block_hash": ' },
  { type: "json_invalid", loc: ["body"], msg: "JSON decode error", input: '{"block_hash": ' },
);
const TOO_LARGE: ApiExample = {
  given: "no round",
  body: OVERSIZED,
  status: 413,
  answer: { detail: "Request body is too large" },
};

/** Of the three paths that begin a round. */
function init(success: string, state: string): OperationExamples {
  const needsNode = state === "GENERATING";
  return {
    success,
    examples: [
      { given: "no round", body: INIT, status: 200, answer: done(state) },
      refusal("searching", "ROUND_IN_PROGRESS", { body: OTHER }),
      ...(needsNode ? [refusal("no round", "NODE_ID_REQUIRED", { body: WITHOUT_NODE })] : []),
      TOO_LARGE,
      misfit(
        "no round",
        { body: WITHOUT_HASH },
        { type: "missing", loc: ["body", "block_hash"], msg: "Field required", input: null },
      ),
      misfit(
        "no round",
        { body: { ...INIT, r_target: "1.4" } },
        {
          type: "float_type",
          loc: ["body", "r_target"],
          msg: "Input should be a valid number",
          input: "1.4",
        },
      ),
      NOT_JSON,
      ...withoutModel({ body: INIT }),
    ],
  };
}

/** By the operation's name. */
export const EXAMPLES: Readonly<Record<string, OperationExamples>> = {
  init: init("The round is set up.", "IDLE"),
  initGenerate: init("The search runs.", "GENERATING"),
  initValidate: init("The round is set up.", "VALIDATING"),
  phaseGenerate: {
    success: "The search runs, on from where it stopped.",
    examples: [
      { given: "stopped", status: 200, answer: done("GENERATING", FOUND) },
      refusal("no round", "POC_NOT_INITIALIZED"),
      ...withoutModel(),
    ],
  },
  phaseValidate: {
    success: "The search stands still, and proofs are checked and pushed.",
    examples: [
      { given: "stopped", status: 200, answer: done("VALIDATING", FOUND) },
      refusal("no round", "POC_NOT_INITIALIZED"),
      ...withoutModel(),
    ],
  },
  stop: {
    success: "The round is stopped; its results stay.",
    examples: [
      { given: "stopped", status: 200, answer: done("STOPPED", FOUND) },
      refusal("PoC is off", "POC_NOT_ENABLED"),
      refusal("closing", "SHUTTING_DOWN"),
    ],
  },
  validate: {
    success: "The proof was recomputed; this is the verdict.",
    examples: [
      { given: "validating", body: PROOF, status: 200, answer: VERDICT },
      refusal("no round", "NO_ROUND", { body: PROOF }),
      refusal("searching", "BLOCK_HASH_MISMATCH", { body: { ...PROOF, block_hash: "def456" } }),
      TOO_LARGE,
      misfit(
        "searching",
        { body: { ...PROOF, nonces: [170, 170] } },
        {
          type: "value_error",
          loc: ["body", "nonces", 1],
          msg: "Value error, 170 is given twice",
          input: 170,
        },
      ),
      misfit(
        "searching",
        { body: { ...PROOF, dist: [1.375] } },
        {
          type: "value_error",
          loc: ["body", "dist"],
          msg: "Value error, 2 nonces but 1 distances",
          input: "[1.375]",
        },
      ),
      NOT_JSON,
      refusal("the runner fails", "COMPUTE_FAILED", { body: PROOF }),
      ...withoutModel({ body: PROOF }),
    ],
  },
  status: {
    success: "The node's state; the lists are paged, the totals never.",
    examples: [
      {
        given: "stopped",
        query: "since=0&limit=2",
        status: 200,
        answer: inState("STOPPED", FOUND),
      },
      { given: "no round", status: 200, answer: NO_ROUND },
      misfit(
        "no round",
        { query: "limit=0" },
        {
          type: "greater_than_equal",
          loc: ["query", "limit"],
          msg: "Input should be greater than or equal to 1",
          input: 0,
        },
      ),
      refusal("PoC is off", "POC_NOT_ENABLED"),
    ],
  },
  ...NODE_EXAMPLES,
  health: HEALTH,
  ready: HEALTH,
  live: {
    success: "The node answers.",
    examples: [{ given: "the model is loading", status: 200, answer: { status: "ok" } }],
  },
  version: {
    success: "The version.",
    examples: [{ given: "no round", status: 200, answer: { version } }],
  },
  listModels: {
    success: "The one model of this node.",
    refused: { 503: "A round is active, the model is loading, or its runner is gone." },
    examples: [
      {
        given: "no round",
        status: 200,
        answer: {
          object: "list",
          data: [
            {
              id: "Qwen/Qwen3-0.6B",
              object: "model",
              created: 1_750_000_000,
              owned_by: "proofmill",
              max_model_len: 40_960,
            },
          ],
        },
      },
      { given: "searching", status: 503, answer: GATE_ANSWER },
      forClients(refusal("the model is loading", "MODEL_LOADING")),
      forClients(RUNNER_GONE),
    ],
  },
};
