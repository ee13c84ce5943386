/** The round that a node holds, with everything that works for it. */
import type { ProofScheme } from "../proof/scheme.ts";
import { BatchSizers } from "../runner/batch-sizer.ts";
import type { Logger } from "../util/log.ts";
import { Committer } from "./committer.ts";
import { Generator } from "./generator.ts";
import { Ledger } from "./ledger.ts";
import type { Meter } from "./meter.ts";
import { NonceSequence } from "./nonces.ts";
import type { Runners } from "./runners.ts";
import type { RoundRecord, RoundStore, StoredRound } from "./store.ts";

interface ActiveRoundOptions {
  round: RoundRecord | StoredRound;
  /** The one that the round names. */
  scheme: ProofScheme;
  store: RoundStore;
  runners: Runners;
  now: () => number;
  log: Logger;
  meter: Meter;
  /** Counts or finds have changed. */
  onChange: () => void;
  /** The store did not take results. */
  onStoreFault: (error: Error) => void;
  /** The search cannot go on; it has stopped itself, or must be stopped. */
  onFailure: (round: ActiveRound, reason: string, error: Error) => void;
}

export class ActiveRound {
  readonly scheme: ProofScheme;
  readonly ledger: Ledger;
  readonly sizers: BatchSizers;
  readonly committer: Committer;
  readonly generator: Generator;

  /** Whether nothing is on its way to the store: then a round that has stopped finds no more. */
  get isSettled(): boolean {
    return !this.committer.isStoring;
  }

  /**
   * Gives the store what it did not take before.
   *
   * @throws Error when it does not take it now
   */
  async settle(): Promise<void> {
    this.committer.resume();
    await this.committer.idle();
    if (this.committer.hasUnstored) throw new Error("results could not be stored");
  }

  constructor(options: ActiveRoundOptions) {
    const { round, scheme, store, runners, log, meter, onChange, onStoreFault, onFailure } =
      options;
    const { config } = round;
    this.scheme = scheme;
    this.ledger = new Ledger(round, options.now);
    this.sizers = new BatchSizers(config);
    const sequence = new NonceSequence({
      ...scheme.walk(config),
      position: this.ledger.position,
    });
    this.committer = new Committer({
      ledger: this.ledger,
      sequence,
      store,
      onCommit: (nonces) => {
        meter.searched(nonces, scheme.name);
        onChange();
        runners.dispatcher.wake(); // fewer results wait to be stored, so that fresh nonces may be given out
      },
      onRetry: (error, pause_ms) =>
        log.warn(
          { err: error, round_id: round.round_id, pause_ms },
          "storing failed, trying again",
        ),
      onFailure: (error) => {
        onStoreFault(error);
        onFailure(this, "results could not be stored", error);
      },
    });
    this.generator = new Generator({
      scheme,
      config,
      sequence,
      sizers: this.sizers,
      committer: this.committer,
      runners,
      log,
      onGiveUp: (error) => onFailure(this, "search jobs kept failing", error),
    });
  }
}
