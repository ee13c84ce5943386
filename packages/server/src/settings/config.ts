/** What a running node is configured with. */
import { PRECISIONS } from "@proofmill/native/model/precision";
import type { HubModel } from "../models/locate.ts";

export interface ServeConfig extends Omit<DeviceConfig, "device"> {
  /** One runner each: `auto` or `cuda:all` alone, `cpu` once or more, `cuda:N` each once. */
  devices: readonly string[];
  /** Absolute path of a model directory; null: the demo model, unless one is to be downloaded. */
  model: string | null;
  /** What the directory's config.json held when it was looked for. */
  modelConfig?: unknown;
  /** The model to download; null: none. */
  download: HubModel | null;
  servedModelName: string;
  enablePoc: boolean;
  /** Whose rounds are taken over HTTP. */
  protocol: Protocol;
  /** Versions of the network that the broker's paths may stand under; undefined: any. */
  nodeVersion: string[] | undefined;
  /** Taken off the broker's paths, e.g. `/node-1`; empty: nothing. */
  basePath: string;
  /** Whether the broker's collector is shown metrics. */
  brokerMetrics: boolean;
  /** Whether `p_value_threshold` counts where a job has no `fraud_threshold`. */
  pocHonourPValueThreshold: boolean;
  pocBatchSize: number;
  pocSeqLen: number;
  /** Undefined: as long as the model and the memory allow. */
  maxModelLen: number | undefined;
  maxValidateNonces: number;
  /** Nonces of all proofs that wait. */
  maxQueuedValidateNonces: number;
  allowInferenceWhileValidating: boolean;
  /** Whether GET /v1/models is answered in a round too. */
  ungateModels: boolean;
  /** Whether the node's own model answers /v1; without meaning where there is an upstream. */
  inference: boolean;
  /** Bytes of the cache of keys and values of each runner; undefined: a share of what is left. */
  kvCacheMemory: number | undefined;
  /** Answers that a runner computes at once. */
  maxNumSeqs: number;
  /** Seconds that running inference has to end when a round begins. */
  pocDrainSeconds: number;
  /** Base address of the server that inference is forwarded to; undefined: this node's own. */
  upstream: string | undefined;
  upstreamApiKey: string | undefined;
  /** Milliseconds. */
  callbackInterval: number;
  callbackMaxNonces: number;
  /** Milliseconds. */
  callbackMaxAge: number;
  /** Undefined: every host that the protocol allows. */
  callbackAllow: string[] | undefined;
  callbackSecret: string | undefined;
  /** Sent to receivers as a bearer token. */
  callbackToken: string | undefined;
  /** Absolute paths of PEM files: what the node shows to receivers. */
  callbackTlsCert: string | undefined;
  callbackTlsKey: string | undefined;
  /** Who must have signed receivers' certificates; undefined: the authorities that Node knows. */
  callbackTlsCa: string | undefined;
  /** Origins whose pages may use this node from a browser. */
  allowOrigin: string[];
  /** Hosts that this node answers to, besides those that nobody can make lead here. */
  allowHost: string[];
  /** Keys that may do everything. Where there are none, and no file, nobody needs one. */
  apiKey: string[];
  /** Absolute path of a file with keys. */
  apiKeyFile: string | undefined;
  /** Absolute paths of PEM files; without a certificate the node speaks plain HTTP. */
  tlsCert: string | undefined;
  tlsKey: string | undefined;
  /** Whose clients are let in; undefined: all. */
  tlsClientCa: string | undefined;
  /** Of one key, or without one of one address; undefined: as many as come. */
  maxRequestsPerSecond: number | undefined;
  maxConnectionsPerAddress: number;
  /** Addresses and networks whose `X-Forwarded-For` is believed. */
  trustedProxy: string[];
  host: string;
  port: number;
  dtype: Dtype;
  /** Of all runners on the CPU together; undefined: one per core. */
  threads: number | undefined;
  /** Restarts of a runner with no finished pass between. */
  runnerMaxRestarts: number;
  /** Bytes that a runner may hold; undefined: as many as there are. */
  runnerMaxMemory: number | undefined;
  /** Whether the process ends when its runner is lost for good. */
  exitWhenUnhealthy: boolean;
  /** Milliseconds that callbacks have to go out when the node ends. */
  shutdownTimeout: number;
  /** Whether a round that was searched when the node ended is gone on with. */
  resumeRound: boolean;
  /** Absolute path; null without a home folder, where PoC is off. */
  dataDir: string | null;
  logLevel: LogLevel;
  logFormat: LogFormat;
}

/** Whether the model that the node holds answers /v1, and not an upstream or nobody. */
export function servesInference({
  inference,
  upstream,
}: Pick<ServeConfig, "inference" | "upstream">): boolean {
  return inference && upstream === undefined;
}

export const PROTOCOLS = ["v1", "v2", "both"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export const DTYPES = ["auto", ...PRECISIONS] as const;
export type Dtype = (typeof DTYPES)[number];

/** Where a model runs, and how much of it. */
export interface DeviceConfig {
  /** `auto`, `cpu`, `cuda` or `cuda:N`. */
  device: string;
  /** Share of the GPU's memory that may be in use once the model is loaded, (0, 1]. */
  gpuMemoryUtilization: number;
}

export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
type LogLevel = (typeof LOG_LEVELS)[number];

/** `auto`: readable on a terminal, JSON elsewhere. */
export const LOG_FORMATS = ["auto", "json", "pretty"] as const;
type LogFormat = (typeof LOG_FORMATS)[number];
