/** Rounds and jobs of artifacts: docs/protocol-v2.md §2 and §3 behind one face. */
import { ArtifactJobQueue, type ArtifactJobQueueOptions, verdictOf } from "./artifact-jobs.ts";
import { ARTIFACT_EVENTS, artifactConfigOf, artifactStatus } from "./proof/artifact/answers.ts";
import { type ArtifactConfig, configOfBody } from "./proof/artifact/config.ts";
import { keyOf, Positions } from "./proof/artifact/positions.ts";
import { artifact } from "./proof/artifact/scheme.ts";
import type { RoundCommand } from "./round/state.ts";
import type { KeptJob } from "./round/store.ts";
import type { Subscriptions } from "./round/subscriptions.ts";
import type { Tracked, WatchOptions } from "./round/watch.ts";
import type {
  ArtifactEvent,
  ArtifactJobs,
  ArtifactRound,
  ArtifactStatus,
  JobAnswer,
  QueuedJob,
} from "./wire/artifact-schemas.ts";
import { PocError } from "./wire/errors.ts";
import type { Parsed, SchemaName } from "./wire/operation.ts";
import type { Status } from "./wire/schemas.ts";

const SHOWN_JOBS = 100;

/** What of the service the artifacts are made of. */
interface ArtifactsOptions extends ArtifactJobQueueOptions {
  subscriptions: Subscriptions;
  /** Checks a body, or takes it from who has checked it. */
  read: <Name extends SchemaName>(schema: Name, body: unknown) => Parsed<Name>;
  /** Whether rounds and jobs are taken now; false: ENGINE_NOT_AVAILABLE. */
  isServing: () => boolean;
  /** false: every call throws POC_NOT_ENABLED. */
  enabled: boolean;
  /** Throws where nothing may be asked of the node any more. */
  refuseUnlessOpen: () => void;
  /** Carries a command out when its turn has come, and asks for it only then; null: for none. */
  carryOut: (command: () => RoundCommand | null, signal: AbortSignal | undefined) => Promise<void>;
}

/**
 * What callers of artifact rounds ask of a node. `PocService.stop` ends their rounds and jobs, too.
 *
 * Bodies come in unparsed and refusals go out as `PocError`, in the order that the protocol names.
 */
export class Artifacts {
  readonly #options: ArtifactsOptions;
  readonly #queue: ArtifactJobQueue;
  readonly #positions = new Positions();
  #endedStale = 0;

  constructor(options: ArtifactsOptions) {
    this.#options = options;
    this.#queue = new ArtifactJobQueue(options);
    options.subscriptions.on(() => this.#review());
  }

  /** Rounds that were stopped because their block was over, since the node started. */
  get endedStale(): number {
    return this.#endedStale;
  }

  /**
   * Begins a round, or goes on with an equal one.
   *
   * @param body an ArtifactRound
   * @throws PocError INVALID_BODY, PARAMS_MISMATCH, ENGINE_NOT_AVAILABLE and what else is 503,
   *   ALREADY_GENERATING
   */
  async initGenerate(
    body: unknown,
    caller: { signal?: AbortSignal | undefined } = {},
  ): Promise<{ status: "OK"; pow_status: { status: "GENERATING" } }> {
    this.#refuseUnlessEnabled();
    const round = this.#options.read("ArtifactRound", body);
    this.#refuseUnlessAble(round);
    this.#options.storeWatch.refuseFault();
    await this.#options.carryOut(
      () => ({ kind: "begin", scheme: artifact.name, config: this.#configOf(round) }),
      caller.signal,
    );
    return { status: "OK", pow_status: { status: "GENERATING" } };
  }

  /**
   * Computes nonces again: at once where no search is at work, else when it has ended.
   *
   * @param body an ArtifactJob; with `wait` the answer is the result, and once the caller's signal
   *   aborts the job is dropped
   * @throws PocError as `initGenerate`; NONCES_DO_NOT_MATCH, QUEUE_FULL, STORE_FAILED; with `wait`
   *   JOB_TIMED_OUT, JOB_CANCELLED, VALIDATION_ABORTED, COMPUTE_FAILED, CALLER_GONE
   */
  async generate(
    body: unknown,
    caller: { signal?: AbortSignal | undefined } = {},
  ): Promise<QueuedJob | JobAnswer> {
    this.#refuseUnlessEnabled();
    const job = this.#options.read("ArtifactJob", body);
    this.#refuseUnlessAble(job);
    return this.#queue.start(job, caller.signal);
  }

  /**
   * How a job stands that was not waited for.
   *
   * @throws PocError JOB_NOT_FOUND, also once its result is forgotten
   */
  job(request_id: string): JobAnswer {
    this.#refuseUnlessEnabled();
    const state = this.#queue.jobs.find(request_id);
    if (!state) {
      throw new PocError("JOB_NOT_FOUND", { detail: `Request ${request_id} not found` });
    }
    if (state.status === "completed") {
      return { status: "completed", request_id, ...state.result };
    }
    return { ...state, request_id };
  }

  /** How the last hundred jobs stand that were not waited for. */
  jobs(): ArtifactJobs {
    this.#refuseUnlessEnabled();
    const jobs = this.#queue.jobs.list(SHOWN_JOBS).map(({ id, count, state }) => ({
      ...{ request_id: id, status: state.status, count },
      error: state.status === "failed" ? state.error : null,
      verdict: verdictOf(state),
    }));
    return { waiting_nonces: this.waitingNonces, jobs };
  }

  /** What callers of artifact rounds see of the node. */
  status(): ArtifactStatus {
    this.#refuseUnlessEnabled();
    const { rounds } = this.#options;
    const round = rounds.state === "GENERATING" ? rounds.currentOf(artifact) : null;
    return artifactStatus(round?.ledger ?? null);
  }

  /** Whether a round of artifacts is at work. */
  get isGenerating(): boolean {
    const { rounds } = this.#options;
    return rounds.state === "GENERATING" && rounds.currentOf(artifact) !== null;
  }

  /** A Status for callers of either protocol: after a round of distances `status` is its state. */
  statusBeside(status: Status): Omit<Status, "status"> & Record<keyof ArtifactStatus, unknown> {
    const { rounds } = this.#options;
    const isOther = rounds.current !== null && rounds.currentOf(artifact) === null;
    return { ...status, ...this.status(), ...(isOther ? { status: status.status } : {}) };
  }

  /** Artifacts as they are stored; as `PocService.watchValidNonces`. */
  watch(
    options: WatchOptions & { lastEventId?: string | undefined },
  ): AsyncGenerator<Tracked<ArtifactEvent>, void> {
    this.#refuseUnlessEnabled();
    const { rounds, subscriptions } = this.#options;
    const source = { rounds: () => rounds.readableOf(artifact), events: ARTIFACT_EVENTS };
    return subscriptions.watchFinds(source, options);
  }

  /**
   * The receiver says that this round's block is over: a search that goes on for it would block the
   * node for the next block's.
   *
   * @returns whether it was this round that was at work, which is stopped now
   */
  async endStale(round_id: string): Promise<boolean> {
    const { rounds, carryOut, log } = this.#options;
    const isAtWork = () =>
      rounds.state === "GENERATING" && rounds.currentOf(artifact)?.ledger.round_id === round_id;
    let ended = false;
    if (!isAtWork()) return false;
    await carryOut(() => {
      // Another may have begun before this one's turn.
      ended = isAtWork();
      return ended ? { kind: "stop", cause: "the receiver says that its block is over" } : null;
    }, undefined);
    if (!ended) return false;
    this.#endedStale++;
    log.warn({ round_id }, "the receiver says that the round's block is over: round stopped");
    return true;
  }

  /** Queued jobs that wait or are at work. */
  get waitingJobs(): number {
    return this.#queue.jobs.waiting;
  }

  /** Nonces of all jobs that wait or are at work. */
  get waitingNonces(): number {
    return this.#queue.jobs.waitingNonces;
  }

  /** Ends every job and forgets what they came to. What is due for delivery stays so. */
  cancelJobs(): void {
    this.#queue.cancelAll();
  }

  /** Ends every job of this process; those that are kept are a later one's. */
  close(): void {
    this.#queue.close();
  }

  /** Goes on with the jobs that a process before this one has not ended. */
  restore(kept: readonly KeptJob[]): void {
    this.#queue.restore(kept);
  }

  /** The state or the rounds have changed: jobs that were held go on. */
  #review(): void {
    for (const { ledger } of this.#options.rounds.readableOf(artifact)) {
      this.#positions.remember(artifactConfigOf(ledger), ledger.position);
    }
    this.#queue.review();
  }

  #refuseUnlessEnabled(): void {
    if (!this.#options.enabled) throw new PocError("POC_NOT_ENABLED");
  }

  #refuseUnlessAble({ params }: { params: ArtifactRound["params"] }): void {
    const { modelNames, runners, refuseUnlessOpen, isServing } = this.#options;
    const names = modelNames();
    if (!names.includes(params.model)) {
      throw new PocError("PARAMS_MISMATCH", {
        detail: {
          error: "params mismatch",
          requested: params,
          deployed: { model: [...names], seq_len: null, k_dim: null },
        },
      });
    }
    refuseUnlessOpen();
    if (!runners.areExpected || !isServing()) throw new PocError("ENGINE_NOT_AVAILABLE");
  }

  /** That of the round at hand, where that is an equal one: it goes on then. */
  #configOf(body: ArtifactRound): ArtifactConfig {
    const config = configOfBody(body);
    const current = this.#options.rounds.currentOf(artifact)?.ledger;
    if (current && keyOf(artifactConfigOf(current)) === keyOf(config)) {
      return artifactConfigOf(current);
    }
    return { ...config, begins_at: this.#positions.of(config) };
  }
}
