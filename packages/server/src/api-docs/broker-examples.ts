/** The examples of what the network's broker asks (docs/mlnode.md). */
import { version } from "../version.ts";
import {
  ARTIFACT_ROUND,
  ARTIFACT_VERDICT,
  GENERATING,
  IDLE,
  JOB_REFUSED,
  JUDGED,
  misfits,
  QUEUED,
  TOO_LARGE,
} from "./artifact-examples.ts";
import {
  type ApiExample,
  EXAMPLE_JOB,
  EXAMPLE_MODEL,
  EXAMPLE_PORT,
  misfit,
  type OperationExamples,
  refusal,
} from "./example.ts";

const OK = { status: "OK" };
const port = EXAMPLE_PORT;
const NO_BACKENDS = { detail: "No vLLM backends available" };
const RUNNING = "VLLM is already running. Use /inference/down to stop it first.";
const UP = { model: EXAMPLE_MODEL, dtype: "auto", additional_args: [] };
const BROKER_JOB = `${port}:${EXAMPLE_JOB}`;
const HELD = { hf_repo: EXAMPLE_MODEL, hf_commit: null };
const ANOTHER = { hf_repo: "Qwen/Qwen3-4B", hf_commit: null };

/** As a text, in which an engine's refusal reaches the broker. */
const inText = (detail: unknown) => JSON.stringify({ detail });

function upExamples(answer: object, success: string): OperationExamples {
  return {
    success,
    examples: [
      { given: "stopped by the broker", body: UP, status: 200, answer },
      { given: "no round", body: UP, status: 409, answer: { detail: RUNNING } },
      {
        given: "stopped by the broker",
        body: { ...UP, model: "Qwen/Qwen3-4B" },
        status: 409,
        answer: { detail: `This node holds ${EXAMPLE_MODEL}; it cannot load Qwen/Qwen3-4B` },
      },
      {
        given: "stopped by the broker",
        body: { ...UP, additional_args: ["--max-model-len", "1000000"] },
        status: 500,
        answer: { detail: "--max-model-len 1000000 is more than the 1024 that fit here" },
      },
      misfit(
        "no round",
        { body: { model: EXAMPLE_MODEL } },
        { type: "missing", loc: ["body", "dtype"], msg: "Field required", input: null },
      ),
      TOO_LARGE,
    ],
  };
}

const STOP: OperationExamples = {
  success: "The node is stopped; its weights stay in memory.",
  examples: [
    { given: "artifacts are generated", status: 200, answer: OK },
    refusal("closing", "SHUTTING_DOWN"),
  ],
};

/** What refuses a body that names no model. */
const UNNAMED: ApiExample[] = [
  misfit(
    "no round",
    { body: { hf_commit: null } },
    { type: "missing", loc: ["body", "hf_repo"], msg: "Field required", input: null },
  ),
  TOO_LARGE,
];

export const BROKER_EXAMPLES: Readonly<Record<string, OperationExamples>> = {
  nodeState: {
    success: "The state.",
    examples: [
      {
        given: "artifacts are generated",
        status: 200,
        answer: {
          ...{ version, state: "INFERENCE", poc_status: "GENERATING", inference_healthy: true },
          ...{ loaded_model: EXAMPLE_MODEL, poc_validation_inference: false },
        },
      },
      {
        given: "stopped by the broker",
        status: 200,
        answer: {
          ...{ version, state: "STOPPED", poc_status: null, inference_healthy: null },
          ...{ loaded_model: null, poc_validation_inference: false },
        },
      },
    ],
  },
  nodeVersions: {
    success: "The versions.",
    examples: [
      {
        given: "no round",
        status: 200,
        answer: { version, vllm_version: null, poc_validation_inference: false },
      },
    ],
  },
  stopNode: STOP,
  down: STOP,
  up: upExamples(OK, "The node is up."),
  upAsync: upExamples(
    { status: "starting", message: "Inference startup initiated in background" },
    "The node comes up.",
  ),
  upStatus: {
    success: "How that stands.",
    examples: [
      {
        given: "stopped by the broker",
        status: 200,
        answer: {
          ...{ status: "not_started", is_starting: false, is_running: false },
          ...{ elapsed_seconds: null, error: null },
        },
      },
    ],
  },
  brokerPowStatus: {
    success: "The state, with the node as the only backend.",
    examples: [
      {
        given: "artifacts are generated",
        status: 200,
        answer: { status: "GENERATING", backends: [{ port, ...GENERATING }] },
      },
      {
        given: "no round",
        status: 200,
        answer: { status: "IDLE", backends: [{ port, ...IDLE }] },
      },
      {
        given: "stopped by the broker",
        status: 200,
        answer: { status: "NO_BACKENDS", backends: [] },
      },
    ],
  },
  brokerInitGenerate: {
    success: "The round generates.",
    refused: { 502: "The node's only backend refused it, as its text says." },
    examples: [
      {
        given: "no round",
        body: ARTIFACT_ROUND,
        status: 200,
        answer: {
          ...{ status: "OK", backends: 1, n_groups: 1 },
          ...{ results: [{ port, status: "OK" }], errors: null },
        },
      },
      ...misfits(ARTIFACT_ROUND),
      {
        given: "artifacts are generated",
        body: ARTIFACT_ROUND,
        status: 502,
        answer: { detail: { errors: [{ port, error: inText("Already generating") }] } },
      },
      {
        given: "stopped by the broker",
        body: ARTIFACT_ROUND,
        status: 503,
        answer: NO_BACKENDS,
      },
    ],
  },
  brokerGenerate: {
    success: "The job is queued; with `wait` its result.",
    refused: { 429: "100,000 nonces wait, or the caller asks too often." },
    examples: [
      {
        given: "artifacts are generated",
        body: JUDGED,
        status: 200,
        answer: { ...QUEUED, request_id: BROKER_JOB },
      },
      ...JOB_REFUSED.map((example) =>
        example.status === 413 || example.status === 422
          ? example
          : {
              ...example,
              answer: { detail: inText((example.answer as { detail: unknown }).detail) },
            },
      ),
      { given: "stopped by the broker", body: JUDGED, status: 503, answer: NO_BACKENDS },
    ],
  },
  brokerJob: {
    success: "How it stands.",
    examples: [
      {
        given: "a job has ended",
        path: { request_id: BROKER_JOB },
        status: 200,
        answer: { status: "completed", request_id: BROKER_JOB, ...ARTIFACT_VERDICT },
      },
      {
        given: "no round",
        path: { request_id: EXAMPLE_JOB },
        status: 400,
        answer: { detail: "Invalid request_id format (expected port:uuid)" },
      },
      {
        given: "no round",
        path: { request_id: BROKER_JOB },
        status: 404,
        answer: { detail: "Request not found" },
      },
      refusal("PoC is off", "POC_NOT_ENABLED", { path: { request_id: BROKER_JOB } }),
    ],
  },
  brokerPowStop: {
    success: "There is no round and no job.",
    examples: [
      {
        given: "artifacts are generated",
        status: 200,
        answer: { status: "OK", results: [{ port, status: "stopped" }], errors: null },
      },
      {
        given: "stopped by the broker",
        status: 200,
        answer: { status: "OK", message: "No backends to stop" },
      },
    ],
  },
  modelStatus: {
    success: "Whether the node has it.",
    examples: [
      {
        given: "no round",
        body: HELD,
        status: 200,
        answer: { model: HELD, status: "DOWNLOADED", progress: null, error_message: null },
      },
      {
        given: "no round",
        body: ANOTHER,
        status: 200,
        answer: { model: ANOTHER, status: "NOT_FOUND", progress: null, error_message: null },
      },
      ...UNNAMED,
    ],
  },
  downloadModel: {
    success: "It is there, or will not be: the node holds one model.",
    examples: [
      {
        given: "no round",
        body: HELD,
        status: 202,
        answer: { task_id: `${EXAMPLE_MODEL}:latest`, status: "DOWNLOADED", model: HELD },
      },
      {
        given: "no round",
        body: ANOTHER,
        status: 202,
        answer: { task_id: "Qwen/Qwen3-4B:latest:offline", status: "IGNORED", model: ANOTHER },
      },
      ...UNNAMED,
    ],
  },
  deleteModel: {
    success: "",
    refused: { 404: "The node has no such model.", 409: "It is the one that the node holds." },
    examples: [
      {
        given: "no round",
        body: HELD,
        status: 409,
        answer: { detail: `Model ${EXAMPLE_MODEL}:latest is in use` },
      },
      {
        given: "no round",
        body: ANOTHER,
        status: 404,
        answer: { detail: "Model Qwen/Qwen3-4B:latest not found in cache" },
      },
      ...UNNAMED,
    ],
  },
  listHeldModels: {
    success: "One model.",
    examples: [
      {
        given: "no round",
        status: 200,
        answer: { models: [{ model: HELD, status: "DOWNLOADED" }] },
      },
    ],
  },
  modelSpace: {
    success: "Sizes in GiB.",
    examples: [
      {
        given: "no round",
        status: 200,
        answer: { cache_size_gb: 1.4, available_gb: 80.2, cache_path: "/models/Qwen3-0.6B" },
      },
    ],
  },
  gpuDevices: {
    success: "One for each; none without a driver.",
    examples: [{ given: "no round", status: 200, answer: { devices: [], count: 0 } }],
  },
  gpuDriver: {
    success: "The versions.",
    refused: { 503: "There is no driver here." },
    examples: [
      {
        given: "a GPU is there",
        status: 200,
        answer: {
          ...{ driver_version: "580.95", cuda_driver_version: "13.0", nvml_version: "580.95" },
        },
      },
      {
        given: "no round",
        status: 503,
        answer: { detail: "NVML not initialized. GPU features are not available." },
      },
    ],
  },
  brokerMetrics: {
    success: "Lines of text, as Prometheus reads them.",
    examples: [
      {
        given: "no round",
        status: 200,
        answer:
          "# HELP gonka_metrics_schema_info Which families there are.\n" +
          "# TYPE gonka_metrics_schema_info gauge\n" +
          'gonka_metrics_schema_info{version="1"} 1\n',
      },
    ],
  },
};
