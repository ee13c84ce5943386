/** The service that REST and tRPC both call: docs/protocol.md §2 and §3 behind one face. */

import { judge, toValidateAnswer } from "./proof/distance/verdict.ts";
import { LiveRound } from "./round/active-round.ts";
import { type InitKind, nextStep, type PhaseKind, type RoundCommand } from "./round/state.ts";
import { parsePage, statusWithoutRound } from "./round/status.ts";
import type { RoundRecord, RoundStore, StoredRound } from "./round/store.ts";
import { ValidationQueue } from "./round/validation.ts";
import { type Tracked, type WatchOptions, watchStatus, watchValidNonces } from "./round/watch.ts";
import { type AttachedRunner, Dispatcher, takes } from "./runner/dispatcher.ts";
import type { ModelInfo, ModelRunner } from "./runner/ports.ts";
import { type Logger, silentLog } from "./util/log.ts";
import { Pulse } from "./util/pulse.ts";
import { Serial } from "./util/serial.ts";
import { within } from "./util/time.ts";
import {
  type Bodies,
  type BodyKind,
  CheckedBody,
  checkBody,
  type InitLimits,
} from "./wire/body.ts";
import { PocError } from "./wire/errors.ts";
import type {
  CommandAnswer,
  InferenceCounters,
  InitDefaults,
  InitRequest,
  RoundState,
  Status,
  StatusEvent,
  ValidateAnswer,
  ValidNoncesEvent,
} from "./wire/schemas.ts";

/** From the arrival of a command the runner has so long to answer a cut; the command, a second. */
const CUT_GRACE_MS = 800;
/** The store is tried so often, milliseconds: while it works, and while it does not. */
const STORE_WATCH_MS = 5000;
const STORE_RETRY_MS = 1000;
/** A store that takes longer does not work. */
const STORE_ANSWER_MS = 10_000;
/** `close` waits so long for proofs that are at work. */
const CLOSE_GRACE_MS = 2500;
/**
 * Finds are coalesced over at most 100 ms (docs/protocol.md §5). Subscribers are woken in groups
 * with periods of their own: a thousand at once would keep the node busy for half a period and
 * idle for the other.
 */
const NONCES_PULSES_MS = [100, 96, 92, 88, 84, 80, 76, 72];
/** Four statuses a second at most. */
const STATUS_PULSE_MS = 250;

export interface PocServiceOptions {
  /** false: every call throws POC_NOT_ENABLED and the store is not touched. */
  enabled: boolean;
  store: RoundStore;
  /** A fresh ULID, greater than `last`, the greatest of the rounds that are kept. */
  newRoundId: (last: string | null) => string;
  /** What a round gets whose init body names none. */
  defaults: InitDefaults;
  /** Nonces that one `/validate` has at most; 4,096 by default. */
  maxValidateNonces?: number;
  /** Nonces of all proofs that wait, 65,536 by default. */
  maxQueuedValidateNonces?: number;
  /** Hosts that `callback_url` may name, `name` or `name:port`; without it all others. */
  callbackHosts?: readonly string[] | undefined;
  /** Monotonic milliseconds; `performance.now` by default. */
  now?: () => number;
  log?: Logger;
}

/**
 * One node's Proof-of-Compute: it holds at most one round and works for it with its runners.
 *
 * Bodies come in unparsed and refusals go out as `PocError`, in the order that the protocol names,
 * so that no two doors can disagree. Commands are carried out one after another; a refused one
 * leaves the round as it was.
 *
 * @example
 * const service = await PocService.open({ enabled: true, store, newRoundId, defaults });
 * const detach = service.attach(await loadModel(options));
 * await service.initGenerate({ block_hash: "abc123", block_height: 100, … });
 * service.status({ since: 0, limit: 100 }).valid_nonces;
 */
export class PocService {
  readonly #options: Required<PocServiceOptions>;
  readonly #commands = new Serial();
  readonly #dispatcher: Dispatcher;
  readonly #validations: ValidationQueue;
  readonly #listeners = new Set<() => void>();
  readonly #noncesPulses = NONCES_PULSES_MS.map((period) => new Pulse(period));
  readonly #statusPulse = new Pulse(STATUS_PULSE_MS);
  #state: RoundState = "IDLE";
  /** The one before `#round`: subscribers may still be reading it. */
  #previous: LiveRound | null = null;
  #round: LiveRound | null = null;
  #initLimits: InitLimits;
  /** Of the last runner that went. */
  #lastInfo: ModelInfo | null = null;
  #closing: Promise<void> | null = null;
  /** Why nothing can be stored now; null while it can. */
  #storeFault: string | null = null;
  #storeWatch: NodeJS.Timeout | undefined;
  /** Subscribers so far. */
  #subscribers = 0;

  /** Reads the store: a round that was there before is there again, STOPPED. */
  static async open(options: PocServiceOptions): Promise<PocService> {
    return new PocService(options, options.enabled ? await options.store.recent() : []);
  }

  private constructor(options: PocServiceOptions, recent: readonly StoredRound[]) {
    this.#options = {
      maxValidateNonces: 4096,
      maxQueuedValidateNonces: 65_536,
      callbackHosts: undefined,
      now: () => performance.now(),
      log: silentLog,
      ...options,
    };
    const { defaults, callbackHosts } = this.#options;
    this.#initLimits = { defaults, callback_hosts: callbackHosts };
    this.#dispatcher = new Dispatcher({
      sources: {
        // A validator is waiting for its answer: where none has had more a proof goes first.
        proofs: { share: 1, next: (runner) => this.#validations.next(runner) },
        search: { share: 15, next: (runner) => this.#round?.generator.next(runner) ?? null },
      },
      onDetached: (error, runner) => this.#onDetached(error, runner),
      now: this.#options.now,
    });
    this.#validations = new ValidationQueue({
      dispatcher: this.#dispatcher,
      maxNonces: this.#options.maxQueuedValidateNonces,
    });
    const [last, previous] = [...recent].reverse();
    if (last) {
      this.#round = this.#liveRound(last);
      this.#previous = previous ? this.#liveRound(previous) : null;
      this.#state = "STOPPED";
    }
    if (options.enabled) this.#watchStoreIn(STORE_WATCH_MS);
  }

  /** Why nothing can be stored now, and no round can begin or go on; null while it can. */
  get storeFault(): string | null {
    return this.#storeFault;
  }

  get state(): RoundState {
    return this.#state;
  }

  /** Whether PoC is switched on. */
  get enabled(): boolean {
    return this.#options.enabled;
  }

  /** Whether some runner is attached and alive. */
  get ready(): boolean {
    return this.#dispatcher.runners.length > 0;
  }

  /** What an init body has to fit now; another object whenever anything of it changes. */
  get initLimits(): InitLimits {
    return this.#initLimits;
  }

  /**
   * A model is loaded. The service uses its runner from now on, beside those that it has; closing it
   * is the caller's.
   *
   * @returns what lets the runner go, for the reason that it is given: its jobs are computed by
   *   others. When none is left that computes the round's seq_len, the round stops and keeps its
   *   results. Idempotent, also where the runner has said by itself that it is lost
   */
  attach(runner: ModelRunner): (reason: Error) => void {
    const detach = this.#dispatcher.attach(runner);
    this.#updateLimits();
    this.#changed();
    return detach;
  }

  /** Throws POC_NOT_ENABLED where PoC is switched off: what a door asks before anything else. */
  assertEnabled(): void {
    this.#refuseUnlessEnabled();
  }

  /** Throws the 503 that a command would: what a door asks before it looks at a body. */
  assertReady(): void {
    this.#refuseUnlessOpen();
    this.#refuseUnlessReady();
  }

  init(body: unknown): Promise<CommandAnswer> {
    return this.#init("init", body);
  }

  initGenerate(body: unknown): Promise<CommandAnswer> {
    return this.#init("init/generate", body);
  }

  initValidate(body: unknown): Promise<CommandAnswer> {
    return this.#init("init/validate", body);
  }

  phaseGenerate(): Promise<CommandAnswer> {
    return this.#phase("phase/generate");
  }

  phaseValidate(): Promise<CommandAnswer> {
    return this.#phase("phase/validate");
  }

  stop(): Promise<CommandAnswer> {
    return this.#phase("stop");
  }

  /**
   * Recomputes and judges a proof, in every state that has a round. If another round begins
   * meanwhile the answer is still for the one it began with. While VALIDATING, a verdict for a
   * round with a callback is stored for delivery before it is answered.
   *
   * @param body a ProofBatch
   * @param options.signal aborts when the caller is gone: then the proof is dropped, unless its
   *   verdict is due for delivery
   * @throws PocError
   */
  async validate(
    body: unknown,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<ValidateAnswer> {
    this.#refuseUnlessOpen();
    this.#refuseUnlessReady();
    const proof = this.#read("proof", body);
    const { maxValidateNonces, log } = this.#options;
    if (proof.nonces.length > maxValidateNonces) {
      const detail = `Too many nonces: ${proof.nonces.length}, at most ${maxValidateNonces}`;
      throw new PocError("TOO_MANY_NONCES", { detail });
    }
    const round = this.#round;
    if (!round) throw new PocError("NO_ROUND");
    const { config, round_id } = round.ledger;
    const { callback_url } = config;
    const isPushed = this.#state === "VALIDATING" && callback_url !== null;
    if (config.block_hash !== proof.block_hash) throw new PocError("BLOCK_HASH_MISMATCH");
    this.#refuseTooLong(config);
    const { distances, arithmetic } =
      proof.nonces.length === 0
        ? { distances: new Float32Array(0), arithmetic: this.#info?.arithmetic ?? "" }
        : await this.#validations.recompute({
            proof,
            seq_len: config.seq_len,
            sizers: round.sizers,
            signal: isPushed ? undefined : options.signal,
          });
    const nonfinite = proof.nonces.filter((_, i) => !Number.isFinite(distances[i]));
    if (nonfinite.length > 0) {
      log.warn(
        { round_id, count: nonfinite.length, nonces: nonfinite.slice(0, 8) },
        "distances are not finite, their nonces are left out of the verdict",
      );
    }
    const batch = judge({ proof, distances, round: { ...config, round_id }, arithmetic });
    if (isPushed) {
      await this.#stored("a verdict", (store) => store.enqueue({ callback_url, batch }));
    }
    return toValidateAnswer(batch);
  }

  /**
   * The node's Status; its lists hold only what is stored.
   *
   * @param page `{ since?, limit? }` for the two lists, as numbers or as query strings
   * @throws PocError INVALID_BODY with `loc` `["query", …]`
   */
  status(page: unknown = {}): Status {
    this.#refuseUnlessEnabled();
    const { since = 0, limit = Number.MAX_SAFE_INTEGER } = parsePage(page);
    return {
      ...(this.#round?.ledger.status({ since, limit }) ?? statusWithoutRound()),
      state: this.#state,
      status: this.#state,
      is_model_initialized: this.ready,
      arithmetic: this.#info?.arithmetic ?? null,
    };
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
    this.#refuseUnlessEnabled();
    const rounds = () => [this.#previous, this.#round].filter((round) => round !== null);
    const pulse = this.#noncesPulses[this.#subscribers++ % NONCES_PULSES_MS.length] as Pulse;
    return watchValidNonces({ rounds, pulse }, options);
  }

  /**
   * Status without its lists, as it changes; ends when `signal` aborts.
   *
   * @param options.inference what the gate in front of inference has done
   */
  watchStatus(
    options: WatchOptions & { inference?: () => InferenceCounters },
  ): AsyncGenerator<Tracked<StatusEvent>, void> {
    this.#refuseUnlessEnabled();
    const { inference = () => ({ inference_refused: 0, inference_aborted: 0 }) } = options;
    const status = () => ({ ...this.status({ limit: 1 }), ...inference() });
    return watchStatus({ status, pulse: this.#statusPulse }, options);
  }

  /**
   * Calls `listener` when the state, a count, a find or the runner has changed.
   *
   * @returns what ends it
   */
  on(_event: "change", listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Stops the round, answers what is at work, refuses what comes later (503); takes at most a few
   * seconds. Only `status` goes on answering. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#options.enabled ? this.#close() : Promise.resolve();
    return this.#closing;
  }

  #watchStoreIn(milliseconds: number): void {
    clearTimeout(this.#storeWatch);
    this.#storeWatch = setTimeout(() => void this.#watchStore(), milliseconds).unref();
  }

  async #watchStore(): Promise<void> {
    const late = setTimeout(
      () => this.#onStoreFault(new Error("the disk does not answer")),
      STORE_ANSWER_MS,
    ).unref();
    try {
      await this.#options.store.probe();
      if (this.#storeFault !== null) {
        // A search shows by itself whether its results are taken.
        const isSearching = this.#state === "GENERATING";
        for (const round of [this.#previous, isSearching ? null : this.#round]) {
          await round?.settle();
        }
        this.#storeFault = null;
        this.#options.log.info({}, "the store works again");
      }
    } catch (error) {
      this.#onStoreFault(error);
    }
    clearTimeout(late);
    if (this.#closing) return;
    this.#watchStoreIn(this.#storeFault === null ? STORE_WATCH_MS : STORE_RETRY_MS);
  }

  #onStoreFault(error: unknown): void {
    if (this.#closing) return;
    const isNew = this.#storeFault === null;
    this.#storeFault = error instanceof Error ? error.message : String(error);
    if (!isNew) return;
    const fields = { reason: this.#storeFault };
    this.#options.log.error(fields, "the store does not work: no round begins until it does");
    this.#watchStoreIn(STORE_RETRY_MS);
  }

  async #close(): Promise<void> {
    clearTimeout(this.#storeWatch);
    const received = this.#options.now();
    const stopped = this.#commands.run(() => this.#perform({ kind: "stop" }, received));
    await Promise.all([stopped, within(CLOSE_GRACE_MS, this.#validations.idle())]);
    this.#validations.rejectAll("SHUTTING_DOWN");
    if (this.#round) await within(CLOSE_GRACE_MS, this.#round.committer.idle());
  }

  async #init(kind: InitKind, body: unknown): Promise<CommandAnswer> {
    const received = this.#options.now();
    this.#refuseUnlessOpen();
    this.#refuseUnlessReady();
    this.#refuseUnlessStoring();
    const config = this.#read("init", body);
    return this.#carryOut({ kind, config }, received);
  }

  #read<K extends BodyKind>(kind: K, body: unknown): Bodies[K] {
    return body instanceof CheckedBody
      ? body.take(kind, this.#initLimits)
      : checkBody(kind, body, this.#initLimits);
  }

  async #phase(kind: PhaseKind): Promise<CommandAnswer> {
    const received = this.#options.now();
    this.#refuseUnlessOpen();
    if (kind !== "stop") {
      this.#refuseUnlessReady();
      this.#refuseUnlessStoring();
    }
    return this.#carryOut({ kind }, received);
  }

  #carryOut(command: RoundCommand, received: number): Promise<CommandAnswer> {
    return this.#commands.run(async () => {
      // The runner may have gone while the command waited for its turn.
      if (command.kind !== "stop") this.#refuseUnlessReady();
      await this.#perform(command, received);
      return { status: "OK", pow_status: this.status() };
    });
  }

  /** @param received when the command came: a cut answers within a second of that */
  async #perform(command: RoundCommand, received: number): Promise<void> {
    const old = this.#round;
    const view = { state: this.#state, config: old?.ledger.config ?? null };
    const step = nextStep(view, command);
    if ("refusal" in step) throw new PocError(step.refusal);
    if (step.state === "GENERATING" && !step.begins && old) this.#refuseTooLong(old.ledger.config);
    // The new round is stored before the old one is touched: if that fails, nothing has happened.
    const begun = step.begins ? await this.#create(step.begins) : null;
    if (step.cutsSearch) {
      await old?.generator.cut(received + CUT_GRACE_MS - this.#options.now());
    }
    if (begun) {
      old?.ledger.enter("STOPPED");
      old?.committer.saveClocks();
      this.#previous = old;
      this.#round = this.#liveRound(begun);
    }
    this.#enter(step.state, begun !== null);
    this.#stopIfNoneGoesOn();
  }

  async #create(config: InitRequest): Promise<RoundRecord> {
    return this.#stored("a new round", async (store) => {
      // The store forgets the one before the present round: what that found has to be there first.
      await this.#previous?.settle();
      const round_id = this.#options.newRoundId(await store.greatestId());
      await store.create({ round_id, config });
      return { round_id, config };
    });
  }

  async #stored<T>(what: string, store: (store: RoundStore) => Promise<T>): Promise<T> {
    try {
      return await store(this.#options.store);
    } catch (cause) {
      this.#options.log.error({ err: cause }, `${what} could not be stored`);
      this.#onStoreFault(cause);
      throw new PocError("STORE_FAILED", { cause });
    }
  }

  #liveRound(round: RoundRecord | StoredRound): LiveRound {
    return new LiveRound({
      round,
      store: this.#options.store,
      dispatcher: this.#dispatcher,
      now: this.#options.now,
      log: this.#options.log,
      onChange: () => this.#changed(),
      onStoreFault: (error) => this.#onStoreFault(error),
      onFailure: (failed, reason, error) => {
        const { round_id } = failed.ledger;
        failed.generator.halt();
        const stops = failed === this.#round && this.#state === "GENERATING";
        this.#options.log.error(
          { err: error, round_id },
          stops ? `${reason}: round stopped` : reason,
        );
        if (stops) this.#enter("STOPPED");
        else this.#changed();
      },
    });
  }

  /** Takes on a state, and sets the round's clocks and search accordingly. */
  #enter(state: RoundState, isNewRound = false): void {
    const round = this.#round;
    const isChange = isNewRound || state !== this.#state;
    this.#state = state;
    if (!isChange) return;
    this.#options.log.info({ state, round_id: round?.ledger.round_id ?? null }, "round state");
    if (state !== "GENERATING") round?.generator.halt();
    round?.ledger.enter(state);
    round?.committer.saveClocks();
    if (state === "GENERATING") round?.generator.start();
    this.#changed();
  }

  /** Of the runner that has been here for the longest; of the last one when none is left. */
  get #info(): ModelInfo | null {
    return this.#dispatcher.runners[0]?.info ?? this.#lastInfo;
  }

  /** The longest sequence that some runner computes. The others take no part in such a round. */
  get #longest(): number {
    const { runners } = this.#dispatcher;
    return Math.max(0, ...runners.map(({ info }) => info.max_seq_len));
  }

  #onDetached(error: Error, { info }: AttachedRunner): void {
    const runners_left = this.#dispatcher.runners.length;
    const fields = { err: error, device: info.device, runners_left };
    this.#options.log.error(fields, "the runner is gone");
    this.#lastInfo = info;
    this.#validations.onDetached(error);
    this.#stopIfNoneGoesOn();
    this.#updateLimits();
    this.#changed();
  }

  #updateLimits(): void {
    const max_seq_len = this.#longest;
    if (!this.ready || max_seq_len === this.#initLimits.max_seq_len) return;
    this.#initLimits = { ...this.#initLimits, max_seq_len };
  }

  #stopIfNoneGoesOn(): void {
    const round = this.#round;
    const { runners } = this.#dispatcher;
    const goesOn =
      this.#state === "GENERATING" && round
        ? runners.some((runner) => takes(runner, round.ledger.config.seq_len))
        : this.#state !== "VALIDATING" || runners.length > 0;
    if (!goesOn) this.#enter("STOPPED");
  }

  #changed(): void {
    for (const pulse of this.#noncesPulses) pulse.touch();
    this.#statusPulse.touch();
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (error) {
        this.#options.log.error({ err: error }, "a listener failed");
      }
    }
  }

  #refuseUnlessEnabled(): void {
    if (!this.#options.enabled) throw new PocError("POC_NOT_ENABLED");
  }

  #refuseUnlessOpen(): void {
    this.#refuseUnlessEnabled();
    if (this.#closing) throw new PocError("SHUTTING_DOWN");
  }

  #refuseUnlessStoring(): void {
    if (this.#storeFault !== null) throw new PocError("STORE_FAILED");
  }

  /** A round that is kept may be of another model, or of a time with more memory. */
  #refuseTooLong({ seq_len }: InitRequest): void {
    const longest = this.#longest;
    if (seq_len <= longest) return;
    const detail = `The round's seq_len of ${seq_len} is more than this node computes, ${longest}`;
    throw new PocError("ROUND_TOO_LONG", { detail });
  }

  #refuseUnlessReady(): void {
    if (this.ready) return;
    throw new PocError(this.#lastInfo ? "RUNNER_LOST" : "MODEL_LOADING");
  }
}
