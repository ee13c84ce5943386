/**
 * What the network's broker asks of a node below its own paths (docs/mlnode.md), described as the table
 * of operations describes the rest: the door's routes and the API document are made from it. Here are no
 * procedures: programs other than the broker have operations for all of it.
 */
import type { OperationTable } from "./operation.ts";

const GROUP = { group: "The network's broker", repeatable: true, timeoutMs: 60_000 } as const;
const ASKED = { ...GROUP, kind: "query", scope: "read", refusals: [] } as const;
const COMMAND = { ...GROUP, kind: "command", scope: "admin" } as const;
const ROUND = ["POC_NOT_ENABLED", "SHUTTING_DOWN", "INVALID_BODY", "TOO_MANY_BODIES"] as const;

export const BROKER_OPERATIONS = {
  nodeState: {
    ...ASKED,
    summary: "Whether the node is up, and what its rounds do",
    rest: "GET /api/v1/state",
    output: "NodeState",
  },
  nodeVersions: {
    ...ASKED,
    summary: "The node's version, and whether chat goes on while jobs are computed",
    rest: "GET /api/v1/versions",
    output: "NodeVersions",
  },
  stopNode: {
    ...COMMAND,
    summary: "End the round and jobs, and take none and no inference until it is up again",
    rest: "POST /api/v1/stop",
    output: "Done",
    refusals: ["SHUTTING_DOWN"],
  },
  up: {
    ...COMMAND,
    summary: "Take rounds, jobs and inference again, as soon as the model is loaded",
    rest: "POST /api/v1/inference/up",
    body: "UpRequest",
    output: "Done",
    refusals: ["INVALID_BODY"],
    refusedByDoor: [409, 500],
  },
  upAsync: {
    ...COMMAND,
    summary: "The same, without waiting for the model",
    rest: "POST /api/v1/inference/up/async",
    body: "UpRequest",
    output: "UpStarted",
    refusals: ["INVALID_BODY"],
    refusedByDoor: [409, 500],
  },
  upStatus: {
    ...ASKED,
    summary: "What has become of it",
    rest: "GET /api/v1/inference/up/status",
    output: "UpStatus",
  },
  down: {
    ...COMMAND,
    summary: "The same as stop",
    rest: "POST /api/v1/inference/down",
    output: "Done",
    refusals: ["SHUTTING_DOWN"],
  },
  brokerPowStatus: {
    ...ASKED,
    summary: "The round of artifacts that generates, and how fast",
    rest: "GET /api/v1/inference/pow/status",
    output: "BrokerPowStatus",
  },
  brokerInitGenerate: {
    ...COMMAND,
    summary: "Begin a round of artifacts, or go on with an equal one",
    rest: "POST /api/v1/inference/pow/init/generate",
    body: "ArtifactRound",
    output: "BrokerBegun",
    refusals: ROUND,
    refusedByDoor: [502],
    refusal: "ArtifactRefusal",
  },
  brokerGenerate: {
    ...COMMAND,
    scope: "validate",
    summary: "Compute artifacts of nonces again, and judge a prover's by them",
    rest: "POST /api/v1/inference/pow/generate",
    body: "ArtifactJob",
    output: "StartedJob",
    refusals: [...ROUND, "PARAMS_MISMATCH", "NONCES_DO_NOT_MATCH", "QUEUE_FULL", "COMPUTE_FAILED"],
    refusal: "ArtifactRefusal",
  },
  brokerJob: {
    ...ASKED,
    summary: "How a job stands, and what it has yielded",
    rest: "GET /api/v1/inference/pow/generate/{request_id}",
    query: "JobQuery",
    output: "JobAnswer",
    refusals: ["POC_NOT_ENABLED"],
    refusedByDoor: [400, 404],
  },
  brokerPowStop: {
    ...COMMAND,
    summary: "End the round and jobs; the node stays up",
    rest: "POST /api/v1/inference/pow/stop",
    output: "BrokerStopped",
    refusals: [],
  },
  modelStatus: {
    ...ASKED,
    summary: "Whether a model is the one that the node holds",
    rest: "POST /api/v1/models/status",
    body: "ModelName",
    output: "ModelStatus",
    refusals: ["INVALID_BODY"],
  },
  downloadModel: {
    ...COMMAND,
    summary: "Ask for a model: the node has its own, and downloads no other",
    rest: "POST /api/v1/models/download",
    body: "ModelName",
    output: "ModelTask",
    success: 202,
    refusals: ["INVALID_BODY"],
  },
  deleteModel: {
    ...COMMAND,
    summary: "Ask for a model's end, which is refused",
    rest: "DELETE /api/v1/models",
    body: "ModelName",
    output: "Done",
    success: null,
    refusals: ["INVALID_BODY"],
    refusedByDoor: [404, 409],
  },
  listHeldModels: {
    ...ASKED,
    summary: "The model that the node holds",
    rest: "GET /api/v1/models/list",
    output: "HeldModels",
  },
  modelSpace: {
    ...ASKED,
    summary: "The folder of the model's files, and what is free beside it",
    rest: "GET /api/v1/models/space",
    output: "ModelSpace",
  },
  gpuDevices: {
    ...ASKED,
    summary: "What the driver says of the GPUs",
    rest: "GET /api/v1/gpu/devices",
    output: "GpuDevices",
  },
  gpuDriver: {
    ...ASKED,
    summary: "The versions of the GPUs' driver",
    rest: "GET /api/v1/gpu/driver",
    output: "GpuDriver",
    refusedByDoor: [503],
  },
  brokerMetrics: {
    ...ASKED,
    summary: "What the broker's collector is shown",
    rest: "GET /api/v1/metrics",
    output: "MetricsText",
  },
} as const satisfies OperationTable;

export type BrokerOperations = typeof BROKER_OPERATIONS;
