/** The round that a node holds, the one before it, and what commands do to them. */
import { type ProofScheme, type RoundConfig, type Schemes, schemeOf } from "../proof/scheme.ts";
import type { AttachedRunner, Work } from "../runner/dispatcher.ts";
import type { Logger } from "../util/log.ts";
import { within } from "../util/time.ts";
import { PocError } from "../wire/errors.ts";
import type { RoundState } from "../wire/schemas.ts";
import { ActiveRound } from "./active-round.ts";
import type { Meter } from "./meter.ts";
import type { Runners } from "./runners.ts";
import { differenceOf, type SearchedWith, searchedWith } from "./searched-with.ts";
import { nextStep, type RoundCommand } from "./state.ts";
import type { NewRound, RoundRecord, StoredRound } from "./store.ts";
import type { StoreWatch } from "./store-watch.ts";

/** From the arrival of a command the runners have so long to answer a cut; the command, a second. */
const CUT_GRACE_MS = 800;
/** Then the store has so long to keep what the command has changed. */
const KEEP_GRACE_MS = 50;

interface RoundsOptions {
  /** The last rounds that are kept, at most two, oldest first. */
  recent: readonly StoredRound[];
  /** What rounds may prove. */
  schemes: Schemes;
  /** What the model is called. */
  modelName: string;
  /** Whether a round that was searched when the node ended is to be gone on with. */
  resumes: boolean;
  /** Throws PocError INVALID_BODY for a configuration that the node would not take any more. */
  checkConfig: (config: RoundConfig) => void;
  storeWatch: StoreWatch;
  runners: Runners;
  /** A fresh ULID, greater than `last`. */
  newRoundId: (last: string | null) => string;
  /** Monotonic milliseconds. */
  now: () => number;
  log: Logger;
  meter: Meter;
  /** The state, a count or a find has changed. */
  onChange: () => void;
}

/** Holds at most one round, and the one before it for those who read it. */
export class Rounds {
  readonly #options: RoundsOptions;
  #state: RoundState = "IDLE";
  #cause = "the node has started";
  #current: ActiveRound | null = null;
  /** The one before it, which subscribers may still be reading. */
  #previous: ActiveRound | null = null;
  /** Whether the present round was searched when the node ended, and no command has come since. */
  #isToResume = false;

  /** A round that was there before is there again, STOPPED. */
  constructor(options: RoundsOptions) {
    this.#options = options;
    const [last, previous] = [...options.recent].reverse();
    if (!last) return;
    this.#current = this.#activeRound(last);
    this.#previous = previous ? this.#activeRound(previous) : null;
    this.#state = "STOPPED";
    this.#isToResume = options.resumes && this.#current.ledger.searchedWith !== null;
    // What was STOPPED when this node ends is no search that the next one goes on with.
    if (!options.resumes) void this.#enter("STOPPED", { searchedWith: null });
  }

  get state(): RoundState {
    return this.#state;
  }

  /** What led to the state, for people. */
  get cause(): string {
    return this.#cause;
  }

  get current(): ActiveRound | null {
    return this.#current;
  }

  /** The search's next job for this runner; null where there is none now. */
  next(runner: AttachedRunner): Work | null {
    return this.#current?.generator.next(runner) ?? null;
  }

  /** The round, where it proves this. */
  currentOf(scheme: ProofScheme): ActiveRound | null {
    return this.#current?.scheme.name === scheme.name ? this.#current : null;
  }

  /** Those that prove this and can be read, oldest first. */
  readableOf(scheme: ProofScheme): readonly ActiveRound[] {
    return this.readable.filter((round) => round.scheme.name === scheme.name);
  }

  /** Those that can be read, oldest first. */
  get readable(): readonly ActiveRound[] {
    return [this.#previous, this.#current].filter((round) => round !== null);
  }

  /**
   * Carries a command out; one that is refused leaves the round as it was. To be called for one
   * command after another.
   *
   * @param received when the command came: a cut answers within a second of that
   * @throws PocError
   */
  async perform(command: RoundCommand, received: number): Promise<void> {
    const { now, runners } = this.#options;
    const old = this.#current;
    const round = old && { scheme: old.scheme.name, config: old.ledger.config };
    const step = nextStep({ state: this.#state, round }, command);
    if ("refusal" in step) throw new PocError(step.refusal);
    if (step.state === "GENERATING" && !step.begins && round) {
      runners.refuseTooLong(round.config.seq_len);
    }
    // The new round is stored before the old one is touched: if that fails, nothing has happened.
    const begun = step.begins ? await this.#create(step.begins) : null;
    if (step.cutsSearch) await old?.generator.cut(received + CUT_GRACE_MS - now());
    if (begun) {
      if (old) {
        old.ledger.enter("STOPPED");
        old.ledger.searchedWith = null;
        void old.committer.saveClocks();
      }
      this.#previous = old;
      this.#current = this.#activeRound(begun);
    }
    this.#isToResume = false;
    const kept = this.#enter(step.state, {
      cause: causeOf(command),
      isNewRound: begun !== null,
      searchedWith: step.state === "GENERATING" ? this.#searchedWith() : null,
    });
    this.stopIfNoneGoesOn(); // the runners may have gone meanwhile
    await within(KEEP_GRACE_MS, kept);
  }

  /**
   * Goes on with the round that was searched when the node ended, unless a command has come since. If
   * what computes now is not what computed then, or the node does not take such rounds any more, the
   * round stays STOPPED, and the log says why. To be called in turn with the commands.
   */
  async resume(received: number): Promise<void> {
    const round = this.#current;
    if (!round || !this.#isToResume) return;
    this.#isToResume = false;
    const { round_id, config, searchedWith: before, position } = round.ledger;
    try {
      const now = this.#searchedWith();
      const difference = before && now && differenceOf(before, now);
      if (difference) throw new Error(difference);
      this.#options.checkConfig(config);
      await this.perform({ kind: "phase/generate", scheme: round.scheme.name }, received);
      this.#options.log.info({ round_id, position }, "the round goes on where the node ended");
    } catch (error) {
      this.#options.log.error({ err: error, round_id }, "the round cannot go on, it stays STOPPED");
      await this.#enter("STOPPED", { searchedWith: null });
    }
  }

  /** Ends the search of this process; a later one may go on with it. */
  async close(received: number): Promise<void> {
    await this.#current?.generator.cut(received + CUT_GRACE_MS - this.#options.now());
    void this.#enter("STOPPED", { cause: "the node ends" });
  }

  /**
   * Stops a round for which no runner is left or expected: a search that is too long for all of them,
   * or any active round when there is none.
   */
  stopIfNoneGoesOn(): void {
    const { runners } = this.#options;
    const goesOn =
      this.#state === "GENERATING" && this.#current
        ? runners.someTakes(this.#current.ledger.config.seq_len)
        : this.#state !== "VALIDATING" || runners.areExpected;
    if (!goesOn) void this.#enter("STOPPED", { cause: "no runner is left that could go on" });
  }

  /**
   * Gives the store what it has not taken. A search is left out: it shows by itself whether its
   * results are taken.
   *
   * @throws Error when the store does not take it now
   */
  async settle(): Promise<void> {
    for (const round of [this.#previous, this.#state === "GENERATING" ? null : this.#current]) {
      await round?.settle();
    }
  }

  #create(begins: NewRound): Promise<RoundRecord> {
    return this.#options.storeWatch.keep("a new round", async (store) => {
      // The store forgets the one before the present round: what that found has to be there first.
      await this.#previous?.settle();
      const round_id = this.#options.newRoundId(await store.greatestId());
      const round = { round_id, ...begins };
      await store.create(round);
      return round;
    });
  }

  #activeRound(round: RoundRecord | StoredRound): ActiveRound {
    const { schemes, storeWatch, runners, now, log, meter, onChange } = this.#options;
    return new ActiveRound({
      round,
      scheme: schemeOf(round, schemes),
      store: storeWatch.store,
      runners,
      now,
      log,
      meter,
      onChange,
      onStoreFault: (error) => storeWatch.onFault(error),
      onFailure: (failed, reason, error) => {
        const { round_id } = failed.ledger;
        failed.generator.halt();
        const stops = failed === this.#current && this.#state === "GENERATING";
        log.error({ err: error, round_id }, stops ? `${reason}: round stopped` : reason);
        if (stops) void this.#enter("STOPPED", { cause: reason });
        else onChange();
      },
    });
  }

  #searchedWith(): SearchedWith | null {
    const { runners, modelName } = this.#options;
    return runners.model && searchedWith(modelName, runners.model);
  }

  /**
   * Takes on a state, and sets the round's clocks and search accordingly.
   *
   * @param change.searchedWith with what a command has it searched; as it was where none did
   * @returns when the change is stored, or could not be
   */
  #enter(
    state: RoundState,
    change: { cause?: string; isNewRound?: boolean; searchedWith?: SearchedWith | null },
  ): Promise<void> {
    const round = this.#current;
    const before = round?.ledger.searchedWith ?? null;
    const { cause = this.#cause, isNewRound = false, searchedWith = before } = change;
    const isChange = isNewRound || state !== this.#state;
    if (isChange) this.#cause = cause;
    this.#state = state;
    if (round) round.ledger.searchedWith = searchedWith;
    if (!isChange && (searchedWith === null) === (before === null)) return Promise.resolve();
    if (state !== "GENERATING") round?.generator.halt();
    round?.ledger.enter(state);
    const kept = round?.committer.saveClocks() ?? Promise.resolve();
    if (state === "GENERATING") round?.generator.start();
    this.#options.onChange();
    return kept;
  }
}

/** Why the state changed, for people. */
function causeOf(command: RoundCommand): string {
  if (command.kind === "stop") return command.cause ?? command.kind;
  return command.kind === "begin" ? "init/generate" : command.kind;
}
