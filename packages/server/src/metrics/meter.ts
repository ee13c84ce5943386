/** What a node counts and times while it works, as Prometheus' counters and histograms. */
import type {
  EndedArtifactJob,
  EndedJob,
  Meter,
  ModelInfo,
  SearchedNonces,
  ValidatedBatch,
} from "@proofmill/core";
import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** Seconds: jobs are made to take half a second, a long sequence takes minutes. */
const BATCH_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const VALIDATION_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];
const HTTP_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60];
/** vLLM's own. */
const TOKEN_BUCKETS = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384];

/** Seconds to an answer's first token, and to its end. */
const ANSWER_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** Methods that paths take; others stand together under one label. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** A request that is answered. */
interface AnsweredRequest {
  readonly method: string;
  /** The route's template; undefined where no route is. */
  readonly route: string | undefined;
  readonly status: number;
  /** Null for a stream, whose length says nothing. */
  readonly seconds: number | null;
}

/**
 * Told by the service, the supervisors and the server. What can be asked for when somebody looks
 * is not counted here: see `on-scrape.ts`.
 */
export class NodeMeter implements Meter {
  readonly #modelName: string;
  /** What runners are called, by what they say of themselves. */
  readonly #runners = new WeakMap<ModelInfo, string>();
  readonly #checked: Counter;
  readonly #valid: Counter;
  readonly #nonfinite: Counter;
  readonly #artifacts: Counter;
  readonly #artifactJobs: Counter<"result">;
  readonly #runnerNonces: Counter<"runner" | "work">;
  readonly #batchSeconds: Histogram<"runner" | "work">;
  readonly #failedJobs: Counter<"runner" | "work" | "outcome">;
  readonly #passTokens: Histogram<"model_name" | "engine">;
  readonly #validationSeconds: Histogram;
  readonly #validated: Counter;
  readonly #mismatches: Counter;
  readonly #verdicts: Counter<"verdict">;
  readonly #loadSeconds: Gauge<"runner">;
  readonly #restarts: Counter<"runner" | "reason">;
  readonly #inferenceRequests: Counter<"outcome">;
  readonly #inferenceSeconds: Histogram;
  readonly #firstTokenSeconds: Histogram;
  readonly #promptTokens: Counter;
  readonly #generationTokens: Counter;
  readonly #requests: Counter<"method" | "route" | "status">;
  readonly #requestSeconds: Histogram<"route">;

  /** @param options.modelName the model as /v1 calls it */
  constructor(registry: Registry, options: { modelName: string }) {
    this.#modelName = options.modelName;
    const registers = [registry];
    const counter = <Label extends string = never>(
      name: string,
      help: string,
      labelNames: Label[] = [],
    ) => new Counter<Label>({ name, help, labelNames, registers });
    this.#checked = counter(
      "proofmill_nonces_checked_total",
      "Nonces of searches that are computed and stored",
    );
    this.#valid = counter(
      "proofmill_nonces_valid_total",
      "Nonces of searches that were valid, and are stored",
    );
    this.#nonfinite = counter(
      "proofmill_nonces_nonfinite_total",
      "Nonces of searches whose result was not finite; they are checked and not valid",
    );
    this.#artifacts = counter(
      "proofmill_artifacts_total",
      "Artifacts of rounds that are computed and stored; their nonces are checked and valid, too",
    );
    this.#artifactJobs = counter(
      "proofmill_artifact_jobs_total",
      "Jobs of artifacts that have ended; fraud and no_fraud have judged a prover's",
      ["result"],
    );
    for (const result of ["completed", "fraud", "no_fraud", "failed", "cancelled"]) {
      this.#artifactJobs.inc({ result }, 0);
    }
    this.#runnerNonces = counter(
      "proofmill_runner_nonces_total",
      "Nonces that a runner has computed: its rate is the device's rate",
      ["runner", "work"],
    );
    this.#batchSeconds = new Histogram({
      name: "proofmill_batch_seconds",
      help: "For how long a runner worked on a job, a batch of nonces",
      labelNames: ["runner", "work"],
      buckets: BATCH_BUCKETS,
      registers,
    });
    this.#failedJobs = counter(
      "proofmill_jobs_failed_total",
      "Jobs that failed: fault, the job's own; lost, its runner was gone",
      ["runner", "work", "outcome"],
    );
    this.#passTokens = new Histogram({
      name: "vllm:iteration_tokens_total",
      help: "Tokens of each pass through the model, under vLLM's name",
      labelNames: ["model_name", "engine"],
      buckets: TOKEN_BUCKETS,
      registers,
    });
    this.#passTokens.zero({ model_name: this.#modelName, engine: "0" });
    this.#validationSeconds = new Histogram({
      name: "proofmill_validation_seconds",
      help: "From a proof's arrival to its verdict, waiting included",
      buckets: VALIDATION_BUCKETS,
      registers,
    });
    this.#validated = counter(
      "proofmill_validated_nonces_total",
      "Nonces of others that were recomputed and judged",
    );
    this.#mismatches = counter(
      "proofmill_validation_mismatches_total",
      "Nonces of others that were found invalid",
    );
    this.#verdicts = counter("proofmill_verdicts_total", "Proofs that were judged", ["verdict"]);
    for (const verdict of ["fraud", "no_fraud"]) this.#verdicts.inc({ verdict }, 0);
    this.#loadSeconds = new Gauge({
      name: "proofmill_model_load_seconds",
      help: "What the runner's last start took, from its process to a loaded model",
      labelNames: ["runner"],
      registers,
    });
    this.#restarts = counter(
      "proofmill_runner_restarts_total",
      "Runners that were started again, by how they ended",
      ["runner", "reason"],
    );
    this.#inferenceRequests = counter(
      "proofmill_inference_requests_total",
      "Requests that the node's own model was asked: answered, cancelled (by their caller or a round), failed",
      ["outcome"],
    );
    for (const outcome of ["answered", "cancelled", "failed"]) {
      this.#inferenceRequests.inc({ outcome }, 0);
    }
    const seconds = (name: string, help: string) =>
      new Histogram({ name, help, buckets: ANSWER_BUCKETS, registers });
    this.#inferenceSeconds = seconds(
      "proofmill_inference_seconds",
      "From a request's prompt in tokens to the end of its answer, waiting included",
    );
    this.#firstTokenSeconds = seconds(
      "proofmill_inference_first_token_seconds",
      "From a request's prompt in tokens to the first token of its answer, waiting included",
    );
    this.#promptTokens = counter(
      "proofmill_inference_prompt_tokens_total",
      "Tokens of the prompts that the node's own model was asked",
    );
    this.#generationTokens = counter(
      "proofmill_inference_generation_tokens_total",
      "Tokens that the node's own model answered",
    );
    this.#requests = counter(
      "proofmill_http_requests_total",
      "Requests that were answered; route is the template, never the path",
      ["method", "route", "status"],
    );
    this.#requestSeconds = new Histogram({
      name: "proofmill_http_request_seconds",
      help: "From a request's headers to the end of its answer; streams are left out",
      labelNames: ["route"],
      buckets: HTTP_BUCKETS,
      registers,
    });
  }

  jobEnded({ work, runner: info, seq_len, outcome }: EndedJob): void {
    const runner = this.#nameOf(info);
    if (outcome.kind !== "done") {
      this.#failedJobs.inc({ runner, work, outcome: outcome.kind });
      return;
    }
    const { completed, milliseconds } = outcome;
    if (completed === 0) return;
    this.#runnerNonces.inc({ runner, work }, completed);
    this.#batchSeconds.observe({ runner, work }, milliseconds / 1000);
    // Nonces go through the model so many at a time, a long sequence alone.
    const together = Math.max(1, Math.floor(info.preferred_tokens / seq_len));
    const labels = { model_name: this.#modelName, engine: "0" };
    for (let left = completed; left > 0; left -= together) {
      this.#passTokens.observe(labels, Math.min(left, together) * seq_len);
    }
  }

  searched({ checked, valid, nonfinite }: SearchedNonces, scheme: string): void {
    if (scheme === "artifact") this.#artifacts.inc(valid);
    this.#checked.inc(checked);
    this.#valid.inc(valid);
    this.#nonfinite.inc(nonfinite);
  }

  artifactJob({ status, verdict }: EndedArtifactJob): void {
    const judged = verdict?.fraud_detected ? "fraud" : "no_fraud";
    this.#artifactJobs.inc({ result: verdict ? judged : status });
  }

  judged({ nonces, n_invalid, fraud_detected }: ValidatedBatch, seconds: number): void {
    this.#validationSeconds.observe(seconds);
    this.#validated.inc(nonces.length);
    this.#mismatches.inc(n_invalid);
    this.#verdicts.inc({ verdict: fraud_detected ? "fraud" : "no_fraud" });
  }

  /** A runner is there: from now on what has this `info` is called so. */
  modelLoaded({
    runner,
    info,
    seconds,
  }: {
    runner: string;
    info: ModelInfo;
    seconds: number;
  }): void {
    this.#runners.set(info, runner);
    this.#loadSeconds.set({ runner }, seconds);
  }

  /** @param reason one of few words */
  runnerRestarted(runner: string, reason: string): void {
    this.#restarts.inc({ runner, reason });
  }

  answered({ method, route = "unknown", status, seconds }: AnsweredRequest): void {
    const verb = METHODS.has(method) ? method : "other";
    this.#requests.inc({ method: verb, route, status });
    if (seconds !== null) this.#requestSeconds.observe({ route }, seconds);
  }

  inferenceBegan(promptTokens: number): void {
    this.#promptTokens.inc(promptTokens);
  }

  firstToken(seconds: number): void {
    this.#firstTokenSeconds.observe(seconds);
  }

  generated(tokens: number): void {
    this.#generationTokens.inc(tokens);
  }

  /** @param outcome one of few words */
  inferenceEnded(outcome: string, seconds: number): void {
    this.#inferenceRequests.inc({ outcome });
    this.#inferenceSeconds.observe(seconds);
  }

  #nameOf(info: ModelInfo): string {
    return this.#runners.get(info) ?? info.device;
  }
}
