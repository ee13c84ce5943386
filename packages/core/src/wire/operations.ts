/**
 * Every operation of a node, described once. The REST routes, tRPC's procedures, the API document
 * and the SDK's methods are made from this table, and a test holds docs/protocol.md to it; what an
 * operation does stands in the service, under the same name.
 *
 * Schemas are named, not imported, so that the SDK has the table without them. Free of Node.
 */
import type { OperationTable } from "./operation.ts";

const SWITCHED_OFF = ["POC_NOT_ENABLED", "SHUTTING_DOWN"] as const;
const NOT_READY = [...SWITCHED_OFF, "MODEL_LOADING", "RUNNER_LOST"] as const;
const CANNOT_BEGIN = [...NOT_READY, "ENGINE_NOT_AVAILABLE", "STORE_FAILED"] as const;
const UNREADY = [
  "SHUTTING_DOWN",
  "MODEL_LOADING",
  "RUNNER_LOST",
  "RUNNER_STALLED",
  "STORE_FAILED",
] as const;
const BAD_BODY = ["INVALID_BODY", "TOO_MANY_BODIES"] as const;
const ARTIFACTS_CANNOT_BEGIN = [
  ...SWITCHED_OFF,
  ...BAD_BODY,
  "PARAMS_MISMATCH",
  "ENGINE_NOT_AVAILABLE",
] as const;

const SOON = 30_000;
/** A proof of thousands of nonces keeps a machine without a GPU busy. */
const LONG = 600_000;

/** What most of a kind have in common; what an operation says itself counts instead. */
const COMMAND = { kind: "command", timeoutMs: SOON, scope: "admin" } as const;
const QUERY = { kind: "query", repeatable: true, timeoutMs: SOON, scope: "read" } as const;
const SUBSCRIPTION = {
  kind: "subscription",
  repeatable: true,
  timeoutMs: null,
  scope: "read",
} as const;

export const OPERATIONS = {
  init: {
    ...COMMAND,
    rounds: "distances",
    summary: "Begin a round",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/init",
    procedure: "pow.init",
    body: "InitRequest",
    output: "CommandAnswer",
    refusals: [...CANNOT_BEGIN, ...BAD_BODY, "ROUND_IN_PROGRESS"],
    repeatable: false, // each makes another round
  },
  initGenerate: {
    ...COMMAND,
    rounds: "distances",
    summary: "Begin a round and search",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/init/generate",
    procedure: "pow.initGenerate",
    body: "InitRequest",
    output: "CommandAnswer",
    refusals: [...CANNOT_BEGIN, ...BAD_BODY, "NODE_ID_REQUIRED", "ROUND_IN_PROGRESS"],
    repeatable: true, // with the same body nothing restarts
  },
  initValidate: {
    ...COMMAND,
    rounds: "distances",
    summary: "Begin a round and validate",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/init/validate",
    procedure: "pow.initValidate",
    body: "InitRequest",
    output: "CommandAnswer",
    refusals: [...CANNOT_BEGIN, ...BAD_BODY, "ROUND_IN_PROGRESS"],
    repeatable: true, // with the same body nothing restarts
  },
  phaseGenerate: {
    ...COMMAND,
    rounds: "distances",
    summary: "Search in the present round",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/phase/generate",
    procedure: "pow.phaseGenerate",
    output: "CommandAnswer",
    refusals: [...CANNOT_BEGIN, "POC_NOT_INITIALIZED", "NODE_ID_REQUIRED", "ROUND_TOO_LONG"],
    repeatable: true,
  },
  phaseValidate: {
    ...COMMAND,
    rounds: "distances",
    summary: "Validate in the present round",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/phase/validate",
    procedure: "pow.phaseValidate",
    output: "CommandAnswer",
    refusals: [...CANNOT_BEGIN, "POC_NOT_INITIALIZED"],
    repeatable: true,
  },
  stop: {
    ...COMMAND,
    summary: "Stop the round and keep its results",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/stop",
    procedure: "pow.stop",
    output: "CommandAnswer",
    refusals: SWITCHED_OFF,
    repeatable: true,
  },
  validate: {
    ...COMMAND,
    rounds: "distances",
    summary: "Recompute the distances of a proof and judge it",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/validate",
    procedure: "pow.validate",
    body: "ProofBatch",
    output: "ValidateAnswer",
    refusals: [
      ...CANNOT_BEGIN,
      ...BAD_BODY,
      "TOO_MANY_VALIDATIONS",
      "TOO_MANY_QUEUED_NONCES",
      "TOO_MANY_NONCES",
      "NO_ROUND",
      "BLOCK_HASH_MISMATCH",
      "ROUND_TOO_LONG",
      "COMPUTE_FAILED",
    ],
    repeatable: false, // each is pushed to the round's callback, and costs a computation
    timeoutMs: LONG,
    scope: "validate",
  },
  status: {
    ...QUERY,
    summary: "State, counters and finds",
    group: "Proof of Compute",
    rest: "GET /api/v1/pow/status",
    procedure: "pow.status",
    query: "StatusPage",
    output: "Status",
    refusals: ["POC_NOT_ENABLED", "INVALID_BODY"],
  },
  nodeInfo: {
    ...QUERY,
    summary: "Model, arithmetic, sizes, version and delivery counters",
    group: "Node",
    rest: "GET /api/v1/node/info",
    procedure: "node.info",
    output: "NodeInfo",
    refusals: [],
  },
  nodeHistory: {
    ...QUERY,
    summary:
      "How fast the node searched, and what it found, in the last ten minutes and the last day",
    group: "Node",
    rest: "GET /api/v1/node/history",
    procedure: "node.history",
    query: "HistoryPage",
    output: "NodeHistory",
    refusals: ["INVALID_BODY"],
  },
  nodeEvents: {
    ...QUERY,
    summary: "The last hundred things that happened to the node, with why",
    group: "Node",
    rest: "GET /api/v1/node/events",
    procedure: "node.events",
    query: "EventsPage",
    output: "NodeEvents",
    refusals: ["INVALID_BODY"],
  },
  watchValidNonces: {
    ...SUBSCRIPTION,
    summary: "The finds of this round and of those that follow, each once and in order",
    group: "Proof of Compute",
    procedure: "pow.onValidNonces",
    query: "Resume",
    output: "ValidNoncesEvent",
    refusals: ["POC_NOT_ENABLED", "INVALID_BODY"],
  },
  watchStatus: {
    ...SUBSCRIPTION,
    summary: "State, counters and rates: at once, and as they change, at most four times a second",
    group: "Proof of Compute",
    procedure: "pow.onStatus",
    output: "StatusEvent",
    refusals: ["POC_NOT_ENABLED", "INVALID_BODY"],
  },
  initArtifacts: {
    ...COMMAND,
    rounds: "artifacts",
    summary: "Begin a round of artifacts, or go on with an equal one",
    group: "Artifacts",
    procedure: "artifacts.initGenerate",
    body: "ArtifactRound",
    output: "ArtifactsBegun",
    refusals: [...ARTIFACTS_CANNOT_BEGIN, "STORE_FAILED", "ALREADY_GENERATING"],
    refusal: "ArtifactRefusal",
    repeatable: false, // the second is refused
  },
  generateArtifacts: {
    ...COMMAND,
    rounds: "artifacts",
    summary: "Compute artifacts of nonces again, and judge a prover's by them",
    group: "Artifacts",
    rest: "POST /api/v1/pow/generate",
    procedure: "artifacts.generate",
    body: "ArtifactJob",
    output: "StartedJob",
    refusals: [
      ...ARTIFACTS_CANNOT_BEGIN,
      "NONCES_DO_NOT_MATCH",
      "QUEUE_FULL",
      "STORE_FAILED",
      "TOO_MANY_VALIDATIONS",
      "JOB_TIMED_OUT",
      "JOB_CANCELLED",
      "VALIDATION_ABORTED",
      "COMPUTE_FAILED",
    ],
    refusal: "ArtifactRefusal",
    repeatable: false, // each is another job
    timeoutMs: LONG,
    scope: "validate",
  },
  artifactJob: {
    ...QUERY,
    rounds: "artifacts",
    summary: "How a job stands, and what it has yielded",
    group: "Artifacts",
    rest: "GET /api/v1/pow/generate/{request_id}",
    procedure: "artifacts.job",
    query: "JobQuery",
    output: "JobAnswer",
    refusals: ["POC_NOT_ENABLED", "INVALID_BODY", "JOB_NOT_FOUND"],
  },
  artifactJobs: {
    ...QUERY,
    rounds: "artifacts",
    summary: "How the last hundred jobs stand, and what was said of provers",
    group: "Artifacts",
    procedure: "artifacts.jobs",
    output: "ArtifactJobs",
    refusals: ["POC_NOT_ENABLED"],
  },
  artifactStatus: {
    ...QUERY,
    rounds: "artifacts",
    summary: "The round of artifacts that generates, and how fast",
    group: "Artifacts",
    procedure: "artifacts.status",
    output: "ArtifactStatus",
    refusals: ["POC_NOT_ENABLED"],
  },
  watchArtifacts: {
    ...SUBSCRIPTION,
    rounds: "artifacts",
    summary: "The artifacts of this round and of those that follow, each once and in order",
    group: "Artifacts",
    procedure: "artifacts.onArtifacts",
    query: "Resume",
    output: "ArtifactEvent",
    refusals: ["POC_NOT_ENABLED", "INVALID_BODY"],
  },
  engineVersions: {
    ...QUERY,
    rounds: "artifacts",
    summary: "What computes artifacts, and whether chat goes on while jobs are computed",
    group: "Artifacts",
    rest: "GET /api/v1/pow/versions",
    output: "EngineVersions",
    refusals: [],
  },
  health: {
    ...QUERY,
    summary: "Whether a round could begin now, or one runs: model, runner and store work",
    group: "Node",
    rest: "GET /health",
    output: "Health",
    refusals: UNREADY,
    refusal: "Unready",
  },
  ready: {
    ...QUERY,
    summary: "The same as /health, by the name that orchestrators ask for",
    group: "Node",
    rest: "GET /readyz",
    output: "Health",
    refusals: UNREADY,
    refusal: "Unready",
  },
  live: {
    ...QUERY,
    summary: "Whether the node answers at all, also while its model loads",
    group: "Node",
    rest: "GET /livez",
    output: "Live",
    refusals: [],
  },
  version: {
    ...QUERY,
    summary: "proofmill's version",
    group: "Node",
    rest: "GET /version",
    output: "Version",
    refusals: [],
  },
  listModels: {
    ...QUERY,
    summary: "The model that this node holds, in OpenAI's shape",
    group: "Inference",
    rest: "GET /v1/models",
    output: "ModelList",
    refusals: ["MODEL_LOADING", "RUNNER_LOST"],
    refusal: "InferenceRefusal",
    scope: "inference",
  },
} as const satisfies OperationTable;

export type Operations = typeof OPERATIONS;
