/**
 * The state machine of a round, as a pure function: the tables of docs/protocol.md §2 and
 * docs/protocol-v2.md §2. A node has one round of either protocol; to commands of the other it is as
 * none, but for its search, which they do not end.
 */
import type { RoundConfig } from "../proof/scheme.ts";
import type { PocErrorCode } from "../wire/errors.ts";
import type { RoundState } from "../wire/schemas.ts";
import type { NewRound } from "./store.ts";

/** What the tables look at. */
export interface RoundView {
  readonly state: RoundState;
  /** What the round proves and its configuration, null without a round. */
  readonly round: NewRound | null;
}

export type InitKind = "init" | "init/generate" | "init/validate";
export type PhaseKind = "phase/generate" | "phase/validate";
export type RoundCommand =
  | ({ readonly kind: InitKind } & NewRound)
  /** Of a round of that scheme. */
  | { readonly kind: PhaseKind; readonly scheme: string }
  /** A search that begins, or goes on where an equal one was stopped: docs/protocol-v2.md §2. */
  | ({ readonly kind: "begin" } & NewRound)
  /** Of a round of any scheme. */
  | { readonly kind: "stop"; readonly cause?: string };

/** What a command leads to. */
type RoundStep =
  | { readonly refusal: PocErrorCode }
  | {
      readonly state: RoundState;
      /** The round that begins; null: the present one stays. */
      readonly begins: NewRound | null;
      /** Whether a running search must be cut: it ends, or its round does. */
      readonly cutsSearch: boolean;
    };

/** One cell of the table. Refusals that come before the table (503, 422) are made elsewhere. */
export function nextStep(view: RoundView, command: RoundCommand): RoundStep {
  switch (command.kind) {
    case "stop":
      return keep(view, "STOPPED");
    case "begin":
      return begin(view, command);
    case "phase/generate":
    case "phase/validate":
      return phase(view, command.kind, command.scheme);
    default:
      return init(view, command.kind, command);
  }
}

function phase({ state, round }: RoundView, kind: PhaseKind, scheme: string): RoundStep {
  if (round?.scheme !== scheme) return { refusal: "POC_NOT_INITIALIZED" };
  if (kind === "phase/validate") return keep({ state }, "VALIDATING");
  return hasNode(round.config) ? keep({ state }, "GENERATING") : { refusal: "NODE_ID_REQUIRED" };
}

function begin({ state, round }: RoundView, { scheme, config }: NewRound): RoundStep {
  if (state === "GENERATING") return { refusal: "ALREADY_GENERATING" };
  if (round && isSame(round, { scheme, config })) return keep({ state }, "GENERATING");
  return { state: "GENERATING", begins: { scheme, config }, cutsSearch: false };
}

function init(view: RoundView, kind: InitKind, { scheme, config }: NewRound): RoundStep {
  if (kind === "init/generate" && !hasNode(config)) return { refusal: "NODE_ID_REQUIRED" };
  const isEqual = view.round !== null && isSame(view.round, { scheme, config });
  if (view.state === "GENERATING" && view.round) {
    if (kind === "init") return { refusal: "ROUND_IN_PROGRESS" };
    if (isEqual) return keep(view, kind === "init/generate" ? "GENERATING" : "VALIDATING");
    // The same block with other fields is a mistake; another block's round must never be blocked.
    // A search of the other protocol has ways of its own to end.
    if (view.round.scheme !== scheme || isSameBlock(view.round.config, config)) {
      return { refusal: "ROUND_IN_PROGRESS" };
    }
  }
  if (view.state === "VALIDATING" && kind === "init/validate" && isEqual) {
    return keep(view, "VALIDATING");
  }
  return {
    state: kind === "init" ? "IDLE" : kind === "init/generate" ? "GENERATING" : "VALIDATING",
    begins: { scheme, config },
    cutsSearch: view.state === "GENERATING",
  };
}

function keep(view: Pick<RoundView, "state">, state: RoundState): RoundStep {
  return {
    state,
    begins: null,
    cutsSearch: view.state === "GENERATING" && state !== "GENERATING",
  };
}

function hasNode(config: RoundConfig): boolean {
  return config.node_id !== -1 && config.node_count !== -1;
}

function isSameBlock(a: RoundConfig, b: RoundConfig): boolean {
  return a.block_hash === b.block_hash && a.block_height === b.block_height;
}

/** The same proof, and equal after parsing, field by field. */
function isSame(a: NewRound, b: NewRound): boolean {
  const fields = Object.keys(a.config) as (keyof RoundConfig)[];
  return a.scheme === b.scheme && fields.every((field) => a.config[field] === b.config[field]);
}
