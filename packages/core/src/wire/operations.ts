/**
 * Every operation of a node, described once. The REST routes, tRPC's procedures, the API document
 * and the SDK's methods are made from this table, and a test holds docs/protocol.md to it; what an
 * operation does stands in the service, under the same name.
 *
 * Schemas are named, not imported, so that the SDK has the table without them. Free of Node.
 */
import type { z } from "zod";
import type * as artifactSchemas from "./artifact-schemas.ts";
import type { PocErrorCode } from "./errors.ts";
import type * as mlnodeSchemas from "./mlnode-schemas.ts";
import type * as schemas from "./schemas.ts";

/**
 * What a key may allow: `admin` everything, `validate` to have proofs judged, `read` to ask and to
 * follow, `inference` what lies under /v1.
 */
export const SCOPES = ["admin", "validate", "read", "inference"] as const;
export type Scope = (typeof SCOPES)[number];

export interface Operation {
  /** What changes the node, what asks it, and what goes on telling. */
  readonly kind: "command" | "query" | "subscription";
  /** One line, for the API document and beside the SDK's method. */
  readonly summary: string;
  /** The heading in the API document. */
  readonly group: "Proof of Compute" | "Node" | "Inference";
  /** Method and path; absent where it is not offered over REST. */
  readonly rest?: `${"GET" | "POST"} /${string}`;
  /** tRPC's path; absent where it is no procedure, and so no method of the SDK either. */
  readonly procedure?: `${string}.${string}`;
  /** What is sent as JSON. */
  readonly body?: SchemaName;
  /** What may be asked for: REST's query string, a procedure's input. */
  readonly query?: SchemaName;
  /** The answer; of a subscription, one event. */
  readonly output: SchemaName;
  /** What it may be refused with. Doors refuse on their own account as well (docs/protocol.md §3). */
  readonly refusals: readonly PocErrorCode[];
  /** How a refusal looks where that is not `ErrorAnswer`. */
  readonly refusal?: SchemaName;
  /** Whether twice is as good as once, so that a caller without an answer may ask again. */
  readonly repeatable: boolean;
  /** Milliseconds after which a caller may give up; of a subscription, null. */
  readonly timeoutMs: number | null;
  /** What a caller must be allowed to do. */
  readonly scope: Scope;
}

export type OperationTable = Readonly<Record<string, Operation>>;

/** All by name: schemas, and functions that make one for what a node allows. */
type Schemas = typeof schemas & typeof artifactSchemas & typeof mlnodeSchemas;
type SchemaMaker = (limits: schemas.InitLimits) => z.ZodType;
export type SchemaName = {
  [Name in keyof Schemas]: Schemas[Name] extends z.ZodType | SchemaMaker ? Name : never;
}[keyof Schemas];
export type SchemaOf<Name extends SchemaName> = Schemas[Name] extends SchemaMaker
  ? ReturnType<Schemas[Name]>
  : Schemas[Name] extends z.ZodType
    ? Schemas[Name]
    : never;

/** What the schema of that name makes of what it is given. */
export type Parsed<Name extends SchemaName> = z.output<SchemaOf<Name>>;

const SWITCHED_OFF = ["POC_NOT_ENABLED", "SHUTTING_DOWN"] as const;
const NOT_READY = [...SWITCHED_OFF, "MODEL_LOADING", "RUNNER_LOST"] as const;
const CANNOT_BEGIN = [...NOT_READY, "STORE_FAILED"] as const;
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

export const OPERATIONS = {
  init: {
    kind: "command",
    summary: "Begin a round",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/init",
    procedure: "pow.init",
    body: "InitRequest",
    output: "CommandAnswer",
    refusals: [...CANNOT_BEGIN, ...BAD_BODY, "ROUND_IN_PROGRESS"],
    repeatable: false, // each makes another round
    timeoutMs: SOON,
    scope: "admin",
  },
  initGenerate: {
    kind: "command",
    summary: "Begin a round and search",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/init/generate",
    procedure: "pow.initGenerate",
    body: "InitRequest",
    output: "CommandAnswer",
    refusals: [...CANNOT_BEGIN, ...BAD_BODY, "NODE_ID_REQUIRED", "ROUND_IN_PROGRESS"],
    repeatable: true, // with the same body nothing restarts
    timeoutMs: SOON,
    scope: "admin",
  },
  initValidate: {
    kind: "command",
    summary: "Begin a round and validate",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/init/validate",
    procedure: "pow.initValidate",
    body: "InitRequest",
    output: "CommandAnswer",
    refusals: [...CANNOT_BEGIN, ...BAD_BODY, "ROUND_IN_PROGRESS"],
    repeatable: true, // with the same body nothing restarts
    timeoutMs: SOON,
    scope: "admin",
  },
  phaseGenerate: {
    kind: "command",
    summary: "Search in the present round",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/phase/generate",
    procedure: "pow.phaseGenerate",
    output: "CommandAnswer",
    refusals: [...CANNOT_BEGIN, "POC_NOT_INITIALIZED", "NODE_ID_REQUIRED", "ROUND_TOO_LONG"],
    repeatable: true,
    timeoutMs: SOON,
    scope: "admin",
  },
  phaseValidate: {
    kind: "command",
    summary: "Validate in the present round",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/phase/validate",
    procedure: "pow.phaseValidate",
    output: "CommandAnswer",
    refusals: [...CANNOT_BEGIN, "POC_NOT_INITIALIZED"],
    repeatable: true,
    timeoutMs: SOON,
    scope: "admin",
  },
  stop: {
    kind: "command",
    summary: "Stop the round and keep its results",
    group: "Proof of Compute",
    rest: "POST /api/v1/pow/stop",
    procedure: "pow.stop",
    output: "CommandAnswer",
    refusals: SWITCHED_OFF,
    repeatable: true,
    timeoutMs: SOON,
    scope: "admin",
  },
  validate: {
    kind: "command",
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
    kind: "query",
    summary: "State, counters and finds",
    group: "Proof of Compute",
    rest: "GET /api/v1/pow/status",
    procedure: "pow.status",
    query: "StatusPage",
    output: "Status",
    refusals: ["POC_NOT_ENABLED", "INVALID_BODY"],
    repeatable: true,
    timeoutMs: SOON,
    scope: "read",
  },
  nodeInfo: {
    kind: "query",
    summary: "Model, arithmetic, sizes, version and delivery counters",
    group: "Node",
    rest: "GET /api/v1/node/info",
    procedure: "node.info",
    output: "NodeInfo",
    refusals: [],
    repeatable: true,
    timeoutMs: SOON,
    scope: "read",
  },
  nodeHistory: {
    kind: "query",
    summary:
      "How fast the node searched, and what it found, in the last ten minutes and the last day",
    group: "Node",
    rest: "GET /api/v1/node/history",
    procedure: "node.history",
    query: "HistoryPage",
    output: "NodeHistory",
    refusals: ["INVALID_BODY"],
    repeatable: true,
    timeoutMs: SOON,
    scope: "read",
  },
  nodeEvents: {
    kind: "query",
    summary: "The last hundred things that happened to the node, with why",
    group: "Node",
    rest: "GET /api/v1/node/events",
    procedure: "node.events",
    query: "EventsPage",
    output: "NodeEvents",
    refusals: ["INVALID_BODY"],
    repeatable: true,
    timeoutMs: SOON,
    scope: "read",
  },
  watchValidNonces: {
    kind: "subscription",
    summary: "The finds of this round and of those that follow, each once and in order",
    group: "Proof of Compute",
    procedure: "pow.onValidNonces",
    query: "Resume",
    output: "ValidNoncesEvent",
    refusals: ["POC_NOT_ENABLED", "INVALID_BODY"],
    repeatable: true,
    timeoutMs: null,
    scope: "read",
  },
  watchStatus: {
    kind: "subscription",
    summary: "State, counters and rates: at once, and as they change, at most four times a second",
    group: "Proof of Compute",
    procedure: "pow.onStatus",
    output: "StatusEvent",
    refusals: ["POC_NOT_ENABLED", "INVALID_BODY"],
    repeatable: true,
    timeoutMs: null,
    scope: "read",
  },
  initArtifacts: {
    kind: "command",
    summary: "Begin a round of artifacts, or go on with an equal one",
    group: "Proof of Compute",
    procedure: "artifacts.initGenerate",
    body: "ArtifactRound",
    output: "ArtifactsBegun",
    refusals: [...ARTIFACTS_CANNOT_BEGIN, "STORE_FAILED", "ALREADY_GENERATING"],
    repeatable: false, // the second is refused
    timeoutMs: SOON,
    scope: "admin",
  },
  generateArtifacts: {
    kind: "command",
    summary: "Compute artifacts of nonces again, and judge a prover's by them",
    group: "Proof of Compute",
    procedure: "artifacts.generate",
    body: "ArtifactJob",
    output: "StartedJob",
    refusals: [
      ...ARTIFACTS_CANNOT_BEGIN,
      "NONCES_DO_NOT_MATCH",
      "QUEUE_FULL",
      "TOO_MANY_VALIDATIONS",
      "JOB_TIMED_OUT",
      "JOB_CANCELLED",
      "VALIDATION_ABORTED",
      "COMPUTE_FAILED",
    ],
    repeatable: false, // each is another job
    timeoutMs: LONG,
    scope: "validate",
  },
  artifactJob: {
    kind: "query",
    summary: "How a job stands, and what it has yielded",
    group: "Proof of Compute",
    procedure: "artifacts.job",
    query: "JobQuery",
    output: "JobAnswer",
    refusals: ["POC_NOT_ENABLED", "INVALID_BODY", "JOB_NOT_FOUND"],
    repeatable: true,
    timeoutMs: SOON,
    scope: "read",
  },
  artifactJobs: {
    kind: "query",
    summary: "How the last hundred jobs stand, and what was said of provers",
    group: "Proof of Compute",
    procedure: "artifacts.jobs",
    output: "ArtifactJobs",
    refusals: ["POC_NOT_ENABLED"],
    repeatable: true,
    timeoutMs: SOON,
    scope: "read",
  },
  artifactStatus: {
    kind: "query",
    summary: "The round of artifacts that generates, and how fast",
    group: "Proof of Compute",
    procedure: "artifacts.status",
    output: "ArtifactStatus",
    refusals: ["POC_NOT_ENABLED"],
    repeatable: true,
    timeoutMs: SOON,
    scope: "read",
  },
  watchArtifacts: {
    kind: "subscription",
    summary: "The artifacts of this round and of those that follow, each once and in order",
    group: "Proof of Compute",
    procedure: "artifacts.onArtifacts",
    query: "Resume",
    output: "ArtifactEvent",
    refusals: ["POC_NOT_ENABLED", "INVALID_BODY"],
    repeatable: true,
    timeoutMs: null,
    scope: "read",
  },
  health: {
    kind: "query",
    summary: "Whether a round could begin now, or one runs: model, runner and store work",
    group: "Node",
    rest: "GET /health",
    output: "Health",
    refusals: UNREADY,
    refusal: "Unready",
    repeatable: true,
    timeoutMs: SOON,
    scope: "read",
  },
  ready: {
    kind: "query",
    summary: "The same as /health, by the name that orchestrators ask for",
    group: "Node",
    rest: "GET /readyz",
    output: "Health",
    refusals: UNREADY,
    refusal: "Unready",
    repeatable: true,
    timeoutMs: SOON,
    scope: "read",
  },
  live: {
    kind: "query",
    summary: "Whether the node answers at all, also while its model loads",
    group: "Node",
    rest: "GET /livez",
    output: "Live",
    refusals: [],
    repeatable: true,
    timeoutMs: SOON,
    scope: "read",
  },
  version: {
    kind: "query",
    summary: "proofmill's version",
    group: "Node",
    rest: "GET /version",
    output: "Version",
    refusals: [],
    repeatable: true,
    timeoutMs: SOON,
    scope: "read",
  },
  listModels: {
    kind: "query",
    summary: "The model that this node holds, in OpenAI's shape",
    group: "Inference",
    rest: "GET /v1/models",
    output: "ModelList",
    refusals: ["MODEL_LOADING", "RUNNER_LOST"],
    refusal: "InferenceRefusal",
    repeatable: true,
    timeoutMs: SOON,
    scope: "inference",
  },
} as const satisfies OperationTable;

export type Operations = typeof OPERATIONS;

/** What a caller sends, as its schema takes it; undefined where nothing is sent. */
export type InputOf<O extends Operation> = O extends { body: infer Name extends SchemaName }
  ? z.input<SchemaOf<Name>>
  : O extends { query: infer Name extends SchemaName }
    ? z.input<SchemaOf<Name>> | undefined
    : undefined;

/** What is answered; of a subscription, one event. */
export type OutputOf<O extends Operation> = Parsed<O["output"]>;
