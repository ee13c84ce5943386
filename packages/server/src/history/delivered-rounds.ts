/** Tells once a round is over and all it has found is with its receiver, whichever comes last. */
import type { PocService, RoundSummary } from "@proofmill/core";
import type { DeliveredRound } from "../callbacks/sender.ts";
import { count, type Tell } from "./events.ts";
import { blockName } from "./round-events.ts";

/** What of a service is looked at. */
export type FollowedService = Pick<PocService, "enabled" | "on"> & {
  summary(): Pick<RoundSummary, "round_id" | "state" | "total_valid">;
};

export class DeliveredRounds {
  readonly #service: FollowedService;
  readonly #tell: Tell;
  /** Of the round that is at work: all that it had found so far was delivered. */
  #soFar: DeliveredRound | null = null;

  /** @param service whose rounds are followed as long as it lasts */
  constructor(service: FollowedService, tell: Tell) {
    this.#service = service;
    this.#tell = tell;
    if (service.enabled) service.on("change", () => this.#look());
  }

  /** A receiver has all that was due of this round. */
  delivered(round: DeliveredRound): void {
    this.#soFar = round;
    this.#look();
  }

  #look(): void {
    const round = this.#soFar;
    if (!round) return;
    const { round_id, state, total_valid } = this.#service.summary();
    const isPresent = round.round_id === round_id;
    if (isPresent && state === "GENERATING") return;
    this.#soFar = null;
    // What the search had still found is due, and is told of when it is delivered.
    if (isPresent && round.finds < total_valid) return;
    const { scheme, finds, host } = round;
    const what = count(finds, scheme === "artifact" ? "artifact" : "find");
    this.#tell({ kind: "callback", text: `All ${what} of ${blockName(round)} are with ${host}` });
  }
}
