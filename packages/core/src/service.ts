/** The service that REST and tRPC both call: docs/protocol.md §2 and §3 behind one face. */
import { Artifacts } from "./artifacts.ts";
import { FIND_EVENTS, roundStatus, withoutLists } from "./proof/distance/answers.ts";
import { distance } from "./proof/distance/scheme.ts";
import { SCHEMES } from "./proof/schemes.ts";
import { Proofs } from "./proofs.ts";
import { Rounds } from "./round/rounds.ts";
import { type RunnerPlace, Runners } from "./round/runners.ts";
import type { InitKind, PhaseKind, RoundCommand } from "./round/state.ts";
import type { StoredRound } from "./round/store.ts";
import { StoreWatch } from "./round/store-watch.ts";
import { Subscriptions } from "./round/subscriptions.ts";
import { type RoundSummary, summaryOf } from "./round/summary.ts";
import { ValidationQueue } from "./round/validation.ts";
import type { Tracked, WatchOptions } from "./round/watch.ts";
import type { ModelInfo, ModelRunner } from "./runner/ports.ts";
import { type Caller, type PocServiceOptions, withDefaults } from "./service-options.ts";
import { Serial } from "./util/serial.ts";
import { within } from "./util/time.ts";
import { CheckedBody, checkBody } from "./wire/body.ts";
import { PocError } from "./wire/errors.ts";
import type { Parsed, SchemaName } from "./wire/operation.ts";
import { parseQuery } from "./wire/query.ts";
import {
  type CommandAnswer,
  type InferenceCounters,
  type InitLimits,
  type RoundState,
  type Status,
  type StatusEvent,
  StatusPage,
  type ValidateAnswer,
  type ValidNoncesEvent,
} from "./wire/schemas.ts";

/** `close` waits so long for proofs that are at work. */
const CLOSE_GRACE_MS = 2500;

/**
 * One node's Proof-of-Compute: it holds at most one round and works for it with its runners.
 *
 * Bodies come in unparsed and refusals go out as `PocError`, in the order that the protocol names,
 * so that no two doors can disagree. Commands are carried out one after another; a refused one
 * leaves the round as it was. One whose caller is gone before its turn is dropped, but for `stop`.
 *
 * @example
 * const service = await PocService.open({ enabled: true, store, newRoundId, defaults });
 * const detach = service.attach(await loadModel(options));
 * await service.initGenerate({ block_hash: "abc123", block_height: 100, … });
 * service.status({ since: 0, limit: 100 }).valid_nonces;
 */
export class PocService {
  /** Rounds and jobs of artifacts. */
  readonly artifacts: Artifacts;
  readonly #options: Required<PocServiceOptions>;
  readonly #commands = new Serial();
  readonly #subscriptions: Subscriptions;
  readonly #storeWatch: StoreWatch;
  readonly #runners: Runners;
  readonly #validations: ValidationQueue;
  readonly #rounds: Rounds;
  readonly #proofs: Proofs;
  #initLimits: InitLimits;
  #closing: Promise<void> | null = null;

  /** Reads the store: a round that was there before is there again, STOPPED, and jobs that had not ended. */
  static async open(options: PocServiceOptions): Promise<PocService> {
    const { enabled, store } = options;
    const service = new PocService(options, enabled ? await store.recent() : []);
    if (enabled) service.artifacts.restore(await store.jobs());
    return service;
  }

  private constructor(options: PocServiceOptions, recent: readonly StoredRound[]) {
    this.#options = withDefaults(options);
    const { store, defaults, callbackHosts, resumeRound, now, log, meter } = this.#options;
    const onChange = () => this.#subscriptions.changed();
    this.#initLimits = { defaults, callback_hosts: callbackHosts };
    this.#subscriptions = new Subscriptions(log);
    const onRecovery = () => this.#rounds.settle();
    this.#storeWatch = new StoreWatch({ store, log, onRecovery, onChange });
    this.#runners = new Runners({
      sources: {
        // Named first, proofs go first where both are even: somebody waits for the answer.
        proofs: { share: 1, next: (runner) => this.#validations.next(runner) },
        search: { share: 15, next: (runner) => this.#rounds.next(runner) },
      },
      now,
      log,
      onJobEnded: (job) => meter.jobEnded(job),
      onChange: (reason) => {
        this.#validations.onRunnersChange(reason);
        this.#rounds.stopIfNoneGoesOn();
        this.#initLimits = this.#runners.limit(this.#initLimits);
        if (this.ready) void this.#commands.run(() => this.#rounds.resume(now()));
        onChange();
      },
    });
    this.#validations = new ValidationQueue({
      dispatcher: this.#runners.dispatcher,
      isExpected: (seqLen) => this.#runners.someTakes(seqLen),
      maxNonces: this.#options.maxQueuedValidateNonces,
    });
    this.#rounds = new Rounds({
      ...this.#options,
      recent,
      schemes: SCHEMES,
      // After a restart a round of artifacts waits for its receiver to ask again.
      resumes: resumeRound && recent.at(-1)?.scheme === distance.name,
      checkConfig: (config) => void this.#read("InitRequest", config),
      storeWatch: this.#storeWatch,
      runners: this.#runners,
      onChange,
    });
    this.#proofs = new Proofs({
      ...this.#options,
      rounds: this.#rounds,
      runners: this.#runners,
      validations: this.#validations,
      storeWatch: this.#storeWatch,
      read: (body) => this.#read("ProofBatch", body),
      refuseUnlessServing: () => this.#refuseUnlessServing(),
    });
    this.artifacts = new Artifacts({
      ...this.#options,
      rounds: this.#rounds,
      runners: this.#runners,
      validations: this.#validations,
      storeWatch: this.#storeWatch,
      subscriptions: this.#subscriptions,
      read: (schema, body) => this.#read(schema, body),
      refuseUnlessOpen: () => this.#refuseUnlessOpen(),
      carryOut: (command, signal) => this.#inTurn(command, { received: now(), signal }),
    });
    if (options.enabled) this.#storeWatch.start();
  }

  /** Why nothing can be stored now, and no round can begin or go on; null while it can. */
  get storeFault(): string | null {
    return this.#storeWatch.fault;
  }

  get state(): RoundState {
    return this.#rounds.state;
  }

  /** What led to the state, for people, e.g. `init/generate`. */
  get cause(): string {
    return this.#rounds.cause;
  }

  get isClosing(): boolean {
    return this.#closing !== null;
  }

  /** Whether PoC is switched on. */
  get enabled(): boolean {
    return this.#options.enabled;
  }

  /** The model of the runners that are or were there; null while it loads. */
  get model(): ModelInfo | null {
    return this.#runners.model;
  }

  /** Whether some runner is attached and alive. */
  get ready(): boolean {
    return this.#runners.areReady;
  }

  /** What an init body has to fit now; another object whenever anything of it changes. */
  get initLimits(): InitLimits {
    return this.#initLimits;
  }

  /**
   * Gives this runner work from now on, beside the others. The caller closes it.
   *
   * @returns what detaches it, for the reason given: others compute its jobs again. When none is left
   *   that computes the round's seq_len, the round stops and keeps its results. Idempotent
   */
  attach(runner: ModelRunner): (reason: Error) => void {
    return this.#runners.attach(runner);
  }

  /** A place for a runner that is started again when it is lost: a round waits for the next one. */
  openPlace(): RunnerPlace {
    return this.#runners.openPlace();
  }

  /** Throws POC_NOT_ENABLED where PoC is switched off: what a door asks before anything else. */
  assertEnabled(): void {
    if (!this.#options.enabled) throw new PocError("POC_NOT_ENABLED");
  }

  /** Throws the 503 that a command would: what a door asks before it looks at a body. */
  assertReady(): void {
    this.#refuseUnlessOpen();
    this.#runners.refuseUnlessExpected();
  }

  /** Throws MODEL_LOADING, or RUNNER_LOST with the reason, where nothing can be computed now. */
  assertRunner(): void {
    this.#runners.refuseUnlessReady();
  }

  init(body: unknown, caller: Caller = {}): Promise<CommandAnswer> {
    return this.#init("init", body, caller);
  }

  initGenerate(body: unknown, caller: Caller = {}): Promise<CommandAnswer> {
    return this.#init("init/generate", body, caller);
  }

  initValidate(body: unknown, caller: Caller = {}): Promise<CommandAnswer> {
    return this.#init("init/validate", body, caller);
  }

  phaseGenerate(caller: Caller = {}): Promise<CommandAnswer> {
    return this.#phase("phase/generate", caller);
  }

  phaseValidate(caller: Caller = {}): Promise<CommandAnswer> {
    return this.#phase("phase/validate", caller);
  }

  /** Ends the search, and every job of artifacts. */
  async stop(): Promise<CommandAnswer> {
    const received = this.#options.now();
    this.#refuseUnlessOpen();
    const answer = await this.#carryOut({ kind: "stop" }, { received });
    this.artifacts.cancelJobs();
    return answer;
  }

  /**
   * Recomputes and judges a proof, in every state that has a round. If another round begins
   * meanwhile the answer is still for the one it began with. While VALIDATING, a verdict for a
   * round with a callback is stored for delivery before it is answered.
   *
   * @param body a ProofBatch
   * @param caller once its signal aborts the proof is dropped, unless its verdict is to be delivered
   * @throws PocError
   */
  validate(body: unknown, caller: Caller = {}): Promise<ValidateAnswer> {
    return this.#proofs.validate(body, caller);
  }

  /**
   * The node's Status; its lists hold only what is stored.
   *
   * @param page `{ since?, limit? }` for the two lists, as numbers or as query strings
   * @throws PocError INVALID_BODY with `loc` `["query", …]`
   */
  status(page: unknown = {}): Status {
    this.assertEnabled();
    const { since = 0, limit = Number.MAX_SAFE_INTEGER } = parseQuery(StatusPage, page);
    return {
      ...roundStatus(this.#rounds.currentOf(distance)?.ledger ?? null, { since, limit }),
      state: this.state,
      status: this.state,
      is_model_initialized: this.ready,
      arithmetic: this.#runners.arithmetic,
    };
  }

  /** The present round, whatever it proves, in numbers; `r_target` is null where it has none. */
  summary(): RoundSummary {
    return summaryOf(this.#rounds.current, withoutLists(this.status({ limit: 1 })));
  }

  /**
   * Finds as they are stored, from the present round's beginning or after `lastEventId`, on into
   * the rounds that follow (docs/protocol.md §5). Ends when `signal` aborts.
   *
   * @throws PocError POC_NOT_ENABLED, INVALID_BODY
   */
  watchValidNonces(
    options: WatchOptions & { lastEventId?: string | undefined },
  ): AsyncGenerator<Tracked<ValidNoncesEvent>, void> {
    this.assertEnabled();
    const rounds = () => this.#rounds.readableOf(distance);
    return this.#subscriptions.watchFinds({ rounds, events: FIND_EVENTS }, options);
  }

  /** Status without its lists, with what the inference gate did, as it changes, until `signal` aborts. */
  watchStatus(
    options: WatchOptions & { inference?: () => InferenceCounters },
  ): AsyncGenerator<Tracked<StatusEvent>, void> {
    this.assertEnabled();
    const { inference = () => ({ inference_refused: 0, inference_aborted: 0 }) } = options;
    const status = () => ({ ...withoutLists(this.status({ limit: 1 })), ...inference() });
    return this.#subscriptions.watchStatus(status, options);
  }

  /**
   * Calls `listener` when the state, a count, a find, the runners or the store's health have changed,
   * until what it returns is called.
   */
  on(_event: "change", listener: () => void): () => void {
    return this.#subscriptions.on(listener);
  }

  /**
   * Within seconds stops the round, answers what is at work, refuses what comes later but `status`.
   */
  close(): Promise<void> {
    this.#closing ??= this.#options.enabled ? this.#close() : Promise.resolve();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#storeWatch.close();
    this.#validations.close();
    const received = this.#options.now();
    const stopped = this.#commands.run(() => this.#rounds.close(received));
    this.artifacts.close();
    await Promise.all([stopped, within(CLOSE_GRACE_MS, this.#validations.idle())]);
    this.#validations.rejectAll("SHUTTING_DOWN");
    await within(CLOSE_GRACE_MS, this.#rounds.current?.committer.idle() ?? Promise.resolve());
  }

  #init(kind: InitKind, body: unknown, caller: Caller): Promise<CommandAnswer> {
    const read = () => this.#read("InitRequest", body);
    return this.#goOn(() => ({ kind, scheme: distance.name, config: read() }), caller);
  }

  #read<Name extends SchemaName>(schema: Name, body: unknown): Parsed<Name> {
    return body instanceof CheckedBody
      ? body.take(schema, this.#initLimits)
      : checkBody(schema, body, this.#initLimits);
  }

  #phase(kind: PhaseKind, caller: Caller): Promise<CommandAnswer> {
    return this.#goOn(() => ({ kind, scheme: distance.name }), caller);
  }

  /** Carries out what begins a round or goes on with one. */
  async #goOn(command: () => RoundCommand, { signal }: Caller): Promise<CommandAnswer> {
    const received = this.#options.now();
    this.#refuseUnlessServing();
    this.#storeWatch.refuseFault();
    return this.#carryOut(command(), { received, signal });
  }

  async #carryOut(
    command: RoundCommand,
    caller: Caller & { received: number },
  ): Promise<CommandAnswer> {
    await this.#inTurn(() => command, caller);
    return { status: "OK", pow_status: this.status() };
  }

  /** Carries a command out when it is its turn; null: there is nothing to do any more. */
  #inTurn(
    command: () => RoundCommand | null,
    { received, signal }: Caller & { received: number },
  ): Promise<void> {
    return this.#commands.run(async () => {
      if (signal?.aborted) throw new PocError("CALLER_GONE");
      const next = command();
      if (!next) return;
      // The runners may have gone for good while the command waited for its turn.
      if (next.kind !== "stop") this.#runners.refuseUnlessExpected();
      await this.#rounds.perform(next, received);
    });
  }

  /** Also refuses what begins or computes anything while the node is told not to. */
  #refuseUnlessServing(): void {
    this.assertReady();
    if (!this.#options.isServing()) throw new PocError("ENGINE_NOT_AVAILABLE");
  }

  #refuseUnlessOpen(): void {
    this.assertEnabled();
    if (this.#closing) throw new PocError("SHUTTING_DOWN");
  }
}
