/** What is asked for when somebody looks, and costs nothing until then. */
import {
  type DeliveryInfo,
  HealthCode,
  type PocService,
  type RunnerInfo,
  type SessionStats,
} from "@proofmill/core";
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { Guard } from "../access/guard.ts";
import { NO_DELIVERIES } from "../callbacks/sender.ts";
import { healthOf } from "../health.ts";
import { version } from "../version.ts";

const STATES = ["IDLE", "GENERATING", "VALIDATING", "STOPPED"] as const;
/** How finely the event loop's lag is seen, milliseconds. */
const LAG_PRECISION_MS = 20;

export interface MetricSources {
  service: PocService;
  /** The model as /v1 calls it. */
  modelName: string;
  runners: () => readonly RunnerInfo[];
  sessionStats: () => SessionStats;
  delivery: () => Promise<DeliveryInfo>;
  gate: { readonly counters: { refused: number; aborted: number }; readonly running: number };
  connections: { readonly size: number };
  subscriptions: { readonly size: number };
  log: { readonly lost: number };
  access: Pick<Guard, "keys" | "refused">;
}

/** @returns what writes all metrics of the registry and of the process in Prometheus' text format */
export function onScrape(registry: Registry, sources: MetricSources): () => Promise<string> {
  let deliveries = NO_DELIVERIES;
  watchNode(registry, sources);
  watchSessions(registry, sources.sessionStats);
  watchDelivery(registry, () => deliveries);
  return async () => {
    // One look for all figures, and first: what is asked for afterwards answers at once.
    deliveries = await sources.delivery();
    return `${await registry.metrics()}\n${await processRegistry().metrics()}`;
  };
}

let ofProcess: Registry | null = null;

/** CPU, memory, descriptors and the event loop, watched from the first scrape on. */
function processRegistry(): Registry {
  if (ofProcess) return ofProcess;
  ofProcess = new Registry();
  collectDefaultMetrics({ register: ofProcess, eventLoopMonitoringPrecision: LAG_PRECISION_MS });
  return ofProcess;
}

function watchNode(registry: Registry, sources: MetricSources): void {
  const { service, modelName, runners, gate, connections, subscriptions, log, access } = sources;
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      ...{ name, help, registers },
      collect() {
        this.set(read());
      },
    });
  gauge(
    "proofmill_artifact_jobs_waiting_nonces",
    "Nonces of jobs of artifacts that wait or are at work",
    () => service.artifacts.waitingNonces,
  );
  const counter = (name: string, help: string, read: () => number) =>
    new Counter({
      ...{ name, help, registers },
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  counter(
    "proofmill_stale_rounds_total",
    "Rounds of artifacts that ended because their receiver said that the block was over",
    () => service.artifacts.endedStale,
  );

  new Gauge({
    name: "proofmill_build_info",
    help: "1, with the versions of proofmill and Node",
    labelNames: ["version", "node"],
    registers,
  }).set({ version, node: process.versions.node }, 1);
  new Gauge({
    name: "proofmill_model_info",
    help: "1, with what the model is and the tag that its results carry; absent while it loads",
    labelNames: ["model_name", "architecture", "dtype", "arithmetic"],
    registers,
    collect() {
      this.reset();
      const { model } = service;
      if (!model) return;
      const { architecture, dtype, arithmetic } = model;
      this.set({ model_name: modelName, architecture, dtype, arithmetic }, 1);
    },
  });
  new Gauge({
    name: "proofmill_state",
    help: "1 for the state that the round is in, 0 for the others",
    labelNames: ["state"],
    registers,
    collect() {
      for (const state of STATES) this.set({ state }, service.state === state ? 1 : 0);
    },
  });
  new Gauge({
    name: "proofmill_health",
    help: "1 for each reason why no round could begin, and for each warning; 0 for the others",
    labelNames: ["code", "kind"],
    registers,
    collect() {
      const { reasons, warnings } = healthOf({ service, runners });
      for (const [kind, notes] of Object.entries({ reason: reasons, warning: warnings })) {
        const codes = new Set(notes.map(({ code }) => code));
        for (const code of HealthCode.options) this.set({ code, kind }, Number(codes.has(code)));
      }
    },
  });
  gauge(
    "proofmill_nonces_per_second",
    "Nonces of the present round for each second that it was searched",
    () => (service.enabled ? service.status({ limit: 1 }).rate_per_second : 0),
  );
  new Gauge({
    name: "proofmill_runner_up",
    help: "Whether a runner has its model loaded and works",
    labelNames: ["runner"],
    registers,
    collect() {
      for (const { id, state } of runners()) this.set({ runner: id }, Number(state === "alive"));
    },
  });
  new Gauge({
    name: "proofmill_runner_memory_bytes",
    help: "What a runner's process holds; absent while there is none",
    labelNames: ["runner"],
    registers,
    collect() {
      this.reset();
      for (const { id, memory } of runners()) if (memory !== null) this.set({ runner: id }, memory);
    },
  });

  gauge(
    "proofmill_inference_requests_running",
    "Requests for inference that are being answered or forwarded",
    () => gate.running,
  );
  counter(
    "proofmill_inference_refused_total",
    "Inference requests that were refused because of a round",
    () => gate.counters.refused,
  );
  counter(
    "proofmill_inference_aborted_total",
    "Inference requests that were cut off because of a round",
    () => gate.counters.aborted,
  );
  new Counter({
    name: "proofmill_key_requests_total",
    help: "Requests and calls by the label of the key that they showed, of keys that are valid",
    labelNames: ["key"],
    registers,
    collect() {
      this.reset();
      for (const { label, usage } of access.keys) this.inc({ key: label }, usage.calls);
    },
  });
  new Counter({
    name: "proofmill_access_refused_total",
    help: "Requests without a valid key, by a key that does not allow them, or too many in a second",
    labelNames: ["reason"],
    registers,
    collect() {
      this.reset();
      for (const reason of ["unauthorized", "forbidden", "limited"] as const) {
        this.inc({ reason }, access.refused[reason]);
      }
    },
  });
  gauge("proofmill_connections", "Connections that are open", () => connections.size);
  gauge("proofmill_subscribers", "Subscriptions that are open", () => subscriptions.size);
  counter(
    "proofmill_lost_log_lines_total",
    "Lines that the log's file, pipe or terminal did not take",
    () => log.lost,
  );
}

function watchSessions(registry: Registry, stats: () => SessionStats): void {
  const registers = [registry];
  const labelNames = ["state"] as const;
  new Gauge({
    name: "proofmill_kv_pages",
    help: "Pages of the cache of keys and values, of 64 tokens each, by whether sessions hold them",
    ...{ labelNames, registers },
    collect() {
      const { pages, pages_in_use } = stats();
      this.set({ state: "in_use" }, pages_in_use);
      this.set({ state: "free" }, pages - pages_in_use);
    },
  });
  new Gauge({
    name: "proofmill_sessions",
    help: "Token sessions of all runners: those that are computed, and those that wait for room",
    ...{ labelNames, registers },
    collect() {
      const { running, waiting } = stats();
      this.set({ state: "running" }, running);
      this.set({ state: "waiting" }, waiting);
    },
  });
  new Counter({
    name: "proofmill_sessions_preempted_total",
    help: "How often a session gave its pages to older ones, to be computed again later",
    registers,
    collect() {
      this.reset();
      this.inc(stats().preempted);
    },
  });
}

function watchDelivery(registry: Registry, delivery: () => DeliveryInfo): void {
  const registers = [registry];
  const labelNames = ["kind"] as const;
  new Gauge({
    name: "proofmill_callbacks_pending",
    help: "What waits to be delivered",
    ...{ labelNames, registers },
    collect() {
      this.set({ kind: "nonces" }, delivery().pending_nonces);
      this.set({ kind: "verdicts" }, delivery().pending_verdicts);
    },
  });
  new Gauge({
    name: "proofmill_callbacks_oldest_age_seconds",
    help: "Age of the oldest that waits to be delivered, 0 without any",
    registers,
    collect() {
      this.set(delivery().oldest_seconds);
    },
  });
  new Counter({
    name: "proofmill_callbacks_delivered_total",
    help: "What receivers have acknowledged",
    ...{ labelNames, registers },
    collect() {
      this.reset();
      this.inc({ kind: "nonces" }, delivery().delivered_nonces);
      this.inc({ kind: "verdicts" }, delivery().delivered_verdicts);
    },
  });
  new Counter({
    name: "proofmill_callbacks_given_up_total",
    help: "What no receiver will have: it is too old, or was refused too often",
    ...{ labelNames, registers },
    collect() {
      this.reset();
      this.inc({ kind: "nonces" }, delivery().given_up_nonces);
      this.inc({ kind: "verdicts" }, delivery().given_up_verdicts);
    },
  });
  new Counter({
    name: "proofmill_callback_failures_total",
    help: "Callbacks that were not acknowledged",
    labelNames: ["reason"],
    registers,
    collect() {
      this.reset();
      for (const [reason, count] of Object.entries(delivery().failures)) {
        this.inc({ reason }, count);
      }
    },
  });
}
