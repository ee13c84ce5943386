/** What the network's broker and a node say to each other, beside rounds. Free of Node. */
import { z } from "zod";
import { ArtifactStatus } from "./artifact-schemas.ts";
import { text } from "./fields.ts";
import { Health, Live, Unready } from "./node-schemas.ts";

/** An inference server's command line may be long, but not without end. */
const MAX_ARGUMENTS = 1024;

/** What `inference/up` asks for: which model, and what its server is started with. */
export const UpRequest = z.object({
  model: text(),
  dtype: text(),
  additional_args: z.array(z.string().max(65_536)).max(MAX_ARGUMENTS).default([]),
});
export type UpRequest = z.output<typeof UpRequest>;

/** A model on the hub, by its name and a commit; null: any. */
export const ModelName = z.object({
  hf_repo: text(),
  hf_commit: text().nullable().default(null),
});
export type ModelName = z.output<typeof ModelName>;

/** What a command is answered that has nothing to say. */
export const Done = z.object({ status: z.literal("OK") });

const ServiceState = z.enum(["INFERENCE", "STOPPED"]);

/** The answer of `state`. What is null is so unless the state is INFERENCE. */
export const NodeState = z.object({
  version: z.string(),
  state: ServiceState.describe("`INFERENCE` also while a round runs."),
  poc_status: z.enum(["IDLE", "GENERATING", "NO_BACKENDS"]).nullable(),
  inference_healthy: z.boolean().nullable(),
  loaded_model: z.string().nullable(),
  poc_validation_inference: z.boolean(),
});

/** The answer of `versions`. */
export const NodeVersions = z.object({
  version: z.string(),
  vllm_version: z
    .string()
    .nullable()
    .describe("What the server of `--upstream` calls its version; null without one."),
  poc_validation_inference: z.boolean(),
});

/** The answer of `inference/up/async`. */
export const UpStarted = z.object({ status: z.literal("starting"), message: z.string() });

/** The answer of `inference/up/status`. */
export const UpStatus = z.object({
  status: z.enum(["not_started", "in_progress", "completed", "cancelled", "failed"]),
  is_starting: z.boolean(),
  is_running: z.boolean(),
  elapsed_seconds: z.number().nullable(),
  error: z.string().nullable(),
});

const Port = z.int().min(0).describe("The node's own: it is its only backend.");

/** The answer of `inference/pow/status`. */
export const BrokerPowStatus = z.object({
  status: z.enum(["IDLE", "GENERATING", "NO_BACKENDS"]),
  backends: z.array(ArtifactStatus.extend({ port: Port })),
});

/** The answer of `inference/pow/init/generate`. */
export const BrokerBegun = z.object({
  status: z.literal("OK"),
  backends: z.int(),
  n_groups: z.int(),
  results: z.array(z.object({ port: Port, status: z.string() })),
  errors: z.null(),
});

/** The answer of `inference/pow/stop`. */
export const BrokerStopped = z.object({
  status: z.literal("OK"),
  results: z.array(z.object({ port: Port, status: z.literal("stopped") })).optional(),
  errors: z.null().optional(),
  message: z.string().optional().describe("That there was nothing to stop."),
});

const HubModel = z.object({ hf_repo: z.string(), hf_commit: z.string().nullable() });
const ModelState = z.enum(["DOWNLOADED", "NOT_FOUND"]);

/** The answer of `models/status`. */
export const ModelStatus = z.object({
  model: HubModel,
  status: ModelState,
  progress: z.null(),
  error_message: z.null(),
});

/** The answer of `models/download`: nothing is ever downloaded for it. */
export const ModelTask = z.object({
  task_id: z.string(),
  status: z.enum(["DOWNLOADED", "IGNORED"]),
  model: HubModel,
});

/** The answer of `models/list`. */
export const HeldModels = z.object({
  models: z.array(z.object({ model: HubModel, status: ModelState })),
});

/** The answer of `models/space`. */
export const ModelSpace = z.object({
  cache_size_gb: z.number(),
  available_gb: z.number(),
  cache_path: z.string().describe("The folder of the weights."),
});

/** A GPU as the driver tells of it; null: it does not say. */
export const GpuDevice = z.object({
  index: z.int(),
  name: z.string(),
  total_memory_mb: z.int().nullable(),
  free_memory_mb: z.int().nullable(),
  used_memory_mb: z.int().nullable(),
  utilization_percent: z.int().nullable(),
  temperature_c: z.int().nullable(),
  is_available: z.boolean(),
  error_message: z.string().nullable(),
});

/** The answer of `gpu/devices`. */
export const GpuDevices = z.object({ devices: z.array(GpuDevice), count: z.int().min(0) });

/** The answer of `gpu/driver`. */
export const GpuDriver = z.object({
  driver_version: z.string(),
  cuda_driver_version: z.string(),
  nvml_version: z.string(),
});

/** What is not JSON: lines of Prometheus' text format. */
export const MetricsText = z.string();

const Manager = z.object({ running: z.boolean(), healthy: z.boolean() });

/** What `/health`, `/readyz` and `/livez` have beside for callers of the Python service. */
const serviceFields = {
  ready: z.boolean(),
  service_state: ServiceState,
  gpu: z.object({ available: z.boolean(), count: z.int(), devices: z.array(GpuDevice) }),
  managers: z.object({ pow: Manager, inference: Manager, train: Manager }),
};

/** The answers about health of a node that has the broker's paths. */
export const BrokerHealth = Health.extend(serviceFields);
export const BrokerUnready = Unready.extend(serviceFields);
export const BrokerLive = Live.extend(serviceFields);
