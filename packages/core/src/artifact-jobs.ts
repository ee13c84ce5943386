/** Jobs of artifacts: docs/protocol-v2.md §3.3, §3.4 and §4. */
import { randomUUID } from "node:crypto";
import { encodingOf } from "./proof/artifact/answers.ts";
import { type ArtifactConfig, configOfBody } from "./proof/artifact/config.ts";
import { artifact } from "./proof/artifact/scheme.ts";
import {
  ArtifactJudge,
  isAborted,
  type Judgement,
  type StatTest,
} from "./proof/artifact/verdict.ts";
import { readRows } from "./proof/scheme.ts";
import { type EndedState, type JobState, Jobs, type JobWork } from "./round/jobs.ts";
import type { Meter } from "./round/meter.ts";
import type { Rounds } from "./round/rounds.ts";
import type { Runners } from "./round/runners.ts";
import type { DueVerdict, KeptJob } from "./round/store.ts";
import type { StoreWatch } from "./round/store-watch.ts";
import type { ValidationQueue } from "./round/validation.ts";
import type { Logger } from "./util/log.ts";
import { objectJson } from "./util/long-json.ts";
import type {
  Artifact,
  ArtifactVerdict,
  CheckedJob,
  JobAnswer,
  JobResult,
  QueuedJob,
} from "./wire/artifact-schemas.ts";
import { SentClaims, textAt } from "./wire/claims.ts";
import { PocError } from "./wire/errors.ts";

/** What a verdict is made with where the request names nothing. */
const DEFAULT_TEST: StatTest = { dist_threshold: 0.02, p_mismatch: 0.001, fraud_threshold: 0.01 };

export interface ArtifactJobQueueOptions {
  rounds: Rounds;
  runners: Runners;
  validations: ValidationQueue;
  storeWatch: StoreWatch;
  /** By which callers may name the node's model. */
  modelNames: () => readonly string[];
  /** Whether `stat_test.p_value_threshold` means what `fraud_threshold` does. */
  honoursPValueThreshold: boolean;
  /** Checks a body. */
  read: (schema: "ArtifactJob", body: unknown) => CheckedJob;
  now: () => number;
  log: Logger;
  meter: Meter;
}

/** A job that somebody is called with the result of is kept by the store until it has ended. */
export class ArtifactJobQueue {
  /** All of them, for those who ask. */
  readonly jobs: Pick<Jobs<JobResult>, "find" | "list" | "waiting" | "waitingNonces">;
  readonly #options: ArtifactJobQueueOptions;
  readonly #jobs: Jobs<JobResult>;
  /** Jobs on their way into the store. */
  readonly #keeping = new Map<string, Promise<void>>();
  /** Ends that the store has not taken, by their jobs' ids: null where nothing is due. */
  readonly #unstored = new Map<string, DueVerdict | null>();
  #saidOfPValueThreshold = false;
  #isClosing = false;

  constructor(options: ArtifactJobQueueOptions) {
    this.#options = options;
    const { rounds, runners, validations, now, log } = options;
    // Before there has been a model there are only the jobs of the process before this one.
    const isHeld = () => rounds.state === "GENERATING" || runners.model === null;
    const onEnded = (state: EndedState<JobResult>) =>
      options.meter.artifactJob({ status: state.status, verdict: verdictOf(state) });
    this.#jobs = new Jobs({ validations, isHeld, onEnded, now, log });
    this.jobs = this.#jobs;
  }

  /** As `Artifacts.generate`, once nothing speaks against it. */
  async start(job: CheckedJob, caller: AbortSignal | undefined): Promise<QueuedJob | JobAnswer> {
    const request_id = randomUUID();
    if (job.wait) {
      const result = await this.#jobs.run(this.#workOf(job, request_id), caller);
      return { status: "completed", request_id, ...result };
    }
    this.#enqueue(job, request_id);
    if (isPushed(job)) {
      const kept = this.#keep(job, request_id).finally(() => this.#keeping.delete(request_id));
      this.#keeping.set(request_id, kept);
      await kept;
    }
    return { status: "queued", request_id, queued_count: job.nonces.length };
  }

  /** The state may have changed, or the store's health: jobs that were held go on, and ends are stored. */
  review(): void {
    this.#jobs.review();
    if (this.#options.storeWatch.fault !== null) return;
    for (const [id, due] of this.#unstored) void this.#end(id, due);
  }

  /** Ends every job and forgets what they came to. */
  cancelAll(): void {
    this.#jobs.cancelAll(new PocError("JOB_CANCELLED"));
  }

  /** Ends every job of this process; those that are kept are a later one's. */
  close(): void {
    this.#isClosing = true;
    this.#jobs.cancelAll(new PocError("SHUTTING_DOWN"));
  }

  /** Goes on with the jobs that a process before this one has not ended. */
  restore(kept: readonly KeptJob[]): void {
    const { read, modelNames, log } = this.#options;
    const names = modelNames();
    for (const { id, body } of kept) {
      try {
        const asked = JSON.parse(body) as Partial<AskedOf>;
        const job = read("ArtifactJob", asked);
        const { model_names = [job.params.model] } = asked;
        if (!names.some((name) => model_names.includes(name))) {
          throw new PocError("PARAMS_MISMATCH");
        }
        this.#enqueue(job, id);
      } catch (error) {
        log.warn({ err: error, request_id: id }, "a job of before is not taken any more");
        void this.#end(id, null);
      }
    }
  }

  #workOf(job: CheckedJob, request_id: string): JobWork<JobResult> {
    const { nonces, validation } = job;
    const config = configOfBody(job);
    const work = { scheme: artifact, config, nonces };
    if (!validation) {
      return { ...work, ...this.#collecting(config, request_id) };
    }
    const { vectors_b64 } = validation;
    if (!vectors_b64) throw new PocError("NONCES_DO_NOT_MATCH");
    const received = { at: (place: number) => textAt(vectors_b64, place) };
    const judge = new ArtifactJudge({ received, test: this.#testOf(job) });
    return {
      ...work,
      take: (some, values) => judge.take(some, values),
      conclude: () => verdict(judge.judgement()),
    };
  }

  #testOf({ stat_test }: CheckedJob): StatTest {
    if (!stat_test) return DEFAULT_TEST;
    const { dist_threshold, p_mismatch, fraud_threshold, p_value_threshold } = stat_test;
    const { honoursPValueThreshold, log } = this.#options;
    const other = honoursPValueThreshold ? p_value_threshold : undefined;
    if (p_value_threshold !== undefined && other === undefined && !this.#saidOfPValueThreshold) {
      this.#saidOfPValueThreshold = true;
      const used = fraud_threshold ?? DEFAULT_TEST.fraud_threshold;
      log.info({ p_value_threshold, used }, "stat_test.p_value_threshold is not used");
    }
    return {
      dist_threshold,
      p_mismatch,
      fraud_threshold: fraud_threshold ?? other ?? DEFAULT_TEST.fraud_threshold,
    };
  }

  /** The artifacts of those nonces whose arithmetic did not fail. */
  #collecting(
    config: ArtifactConfig,
    request_id: string,
  ): Pick<JobWork<JobResult>, "take" | "conclude"> {
    const artifacts: Artifact[] = [];
    const failed: number[] = [];
    return {
      take(nonces, values) {
        const { finds, nonfinite } = readRows(artifact, config, values);
        const nonceAt = (place: number) => nonces[place] ?? Number.NaN;
        for (const { place, record } of finds) {
          artifacts.push({ nonce: nonceAt(place), vector_b64: String(record) });
        }
        failed.push(...nonfinite.map(nonceAt));
      },
      conclude: () => {
        if (failed.length > 0) {
          const fields = { request_id, count: failed.length, nonces: failed.slice(0, 8) };
          this.#options.log.warn(fields, "results are not finite, their nonces have no artifacts");
        }
        return { artifacts, encoding: encodingOf(config.k_dim) };
      },
    };
  }

  #enqueue(job: CheckedJob, id: string): void {
    const end = async (result: JobResult | null) => {
      if (!isPushed(job) || (result === null && this.#isClosing)) return;
      await this.#keeping.get(id)?.catch(() => {}); // or it would be kept after its end
      await this.#end(id, result && dueOf(job, { request_id: id, result }));
    };
    this.#jobs.enqueue({ id, work: this.#workOf(job, id), end });
  }

  /** Whoever hears that it is queued is called with what it comes to, however often the node ends before. */
  async #keep(job: CheckedJob, id: string): Promise<void> {
    try {
      const of: AskedOf = { model_names: this.#options.modelNames() };
      const kept = { id, body: await objectJson({ ...bodyOf(job), ...of }) };
      await this.#options.storeWatch.keep("a job", (store) => store.keepJob(kept));
    } catch (error) {
      this.#jobs.cancel(id);
      throw error;
    }
  }

  /** What cannot be stored now is stored as soon as it can be; the result can be asked for meanwhile. */
  async #end(id: string, due: DueVerdict | null): Promise<void> {
    this.#unstored.delete(id);
    await this.#options.storeWatch
      .keep("a job's end", (store) => store.endJob(id, due))
      .catch(() => this.#unstored.set(id, due));
  }
}

/** What is kept beside a job: the model may have names that the next process is not told of. */
interface AskedOf {
  /** All that the node's model had; any of them will do. */
  readonly model_names: readonly string[];
}

type PushedJob = CheckedJob & { readonly url: string };

function isPushed(job: CheckedJob): job is PushedJob {
  return job.url !== null;
}

function dueOf(job: PushedJob, of: { request_id: string; result: JobResult }): DueVerdict {
  const { url, block_hash, block_height, public_key, node_id } = job;
  const { request_id, result } = of;
  return {
    callback_url: url,
    scheme: artifact.name,
    kind: "artifacts" in result ? "generated" : "validated",
    batch: { request_id, block_hash, block_height, public_key, node_id, ...result },
  };
}

/** As it was asked; what its prover sent is made as it is written. */
function bodyOf({ validation, ...job }: CheckedJob): object {
  const vectors = validation?.vectors_b64;
  const artifacts = vectors && new SentClaims(job.nonces, vectors);
  return { ...job, validation: artifacts ? { artifacts } : null };
}

/** What was said of a prover; null where nobody was judged. */
export function verdictOf(state: JobState<JobResult>): ArtifactVerdict | null {
  return state.status === "completed" && "n_total" in state.result ? state.result : null;
}

function verdict(judged: Judgement): ArtifactVerdict {
  const { excluded_nonces, ...rest } = judged;
  const { length } = excluded_nonces;
  if (isAborted(judged)) {
    const detail = `validation aborted: ${length} of ${rest.n_total + length} recomputed vectors are not finite`;
    throw new PocError("VALIDATION_ABORTED", { detail });
  }
  return length > 0 ? { ...rest, excluded_nonces } : rest;
}
