/** The round that a node holds, the one before it, and what commands do to them. */
import { type Schemes, schemeOf } from "../proof/scheme.ts";
import type { Logger } from "../util/log.ts";
import { PocError } from "../wire/errors.ts";
import type { RoundState } from "../wire/schemas.ts";
import { ActiveRound } from "./active-round.ts";
import type { Meter } from "./meter.ts";
import type { Runners } from "./runners.ts";
import { nextStep, type RoundCommand } from "./state.ts";
import type { NewRound, RoundRecord, StoredRound } from "./store.ts";
import type { StoreWatch } from "./store-watch.ts";

/** From the arrival of a command the runners have so long to answer a cut; the command, a second. */
const CUT_GRACE_MS = 800;

export interface RoundsOptions {
  /** The last rounds that are kept, at most two, oldest first. */
  recent: readonly StoredRound[];
  /** What rounds may prove. */
  schemes: Schemes;
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
  #current: ActiveRound | null = null;
  /** The one before it, which subscribers may still be reading. */
  #previous: ActiveRound | null = null;

  /** A round that was there before is there again, STOPPED. */
  constructor(options: RoundsOptions) {
    this.#options = options;
    const [last, previous] = [...options.recent].reverse();
    if (!last) return;
    this.#current = this.#activeRound(last);
    this.#previous = previous ? this.#activeRound(previous) : null;
    this.#state = "STOPPED";
  }

  get state(): RoundState {
    return this.#state;
  }

  get current(): ActiveRound | null {
    return this.#current;
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
    const config = old?.ledger.config ?? null;
    const step = nextStep({ state: this.#state, config }, command);
    if ("refusal" in step) throw new PocError(step.refusal);
    if (step.state === "GENERATING" && !step.begins && config) {
      runners.refuseTooLong(config.seq_len);
    }
    // The new round is stored before the old one is touched: if that fails, nothing has happened.
    const begun = step.begins ? await this.#create(step.begins) : null;
    if (step.cutsSearch) await old?.generator.cut(received + CUT_GRACE_MS - now());
    if (begun) {
      old?.ledger.enter("STOPPED");
      old?.committer.saveClocks();
      this.#previous = old;
      this.#current = this.#activeRound(begun);
    }
    this.#enter(step.state, begun !== null);
    this.stopIfNoneGoesOn(); // the runners may have gone meanwhile
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
    if (!goesOn) this.#enter("STOPPED");
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
        if (stops) this.#enter("STOPPED");
        else onChange();
      },
    });
  }

  /** Takes on a state, and sets the round's clocks and search accordingly. */
  #enter(state: RoundState, isNewRound = false): void {
    const round = this.#current;
    const isChange = isNewRound || state !== this.#state;
    this.#state = state;
    if (!isChange) return;
    if (state !== "GENERATING") round?.generator.halt();
    round?.ledger.enter(state);
    round?.committer.saveClocks();
    if (state === "GENERATING") round?.generator.start();
    this.#options.onChange();
  }
}
