/** The state machine of a round, as a pure function: the table of docs/protocol.md §2. */
import type { RoundConfig } from "../proof/scheme.ts";
import type { PocErrorCode } from "../wire/errors.ts";
import type { RoundState } from "../wire/schemas.ts";
import type { NewRound } from "./store.ts";

/** What the table looks at. */
export interface RoundView {
  readonly state: RoundState;
  /** The round's configuration, null without a round. */
  readonly config: RoundConfig | null;
}

export type InitKind = "init" | "init/generate" | "init/validate";
export type PhaseKind = "phase/generate" | "phase/validate" | "stop";
export type RoundCommand = ({ readonly kind: InitKind } & NewRound) | { readonly kind: PhaseKind };

/** What a command leads to. */
export type RoundStep =
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
  if ("config" in command) return init(view, command.kind, command);
  if (command.kind === "stop") return keep(view, "STOPPED");
  if (!view.config) return { refusal: "POC_NOT_INITIALIZED" };
  if (command.kind === "phase/validate") return keep(view, "VALIDATING");
  return hasNode(view.config) ? keep(view, "GENERATING") : { refusal: "NODE_ID_REQUIRED" };
}

function init(view: RoundView, kind: InitKind, { scheme, config }: NewRound): RoundStep {
  if (kind === "init/generate" && !hasNode(config)) return { refusal: "NODE_ID_REQUIRED" };
  const isSame = view.config !== null && isSameConfig(view.config, config);
  if (view.state === "GENERATING" && view.config) {
    if (kind === "init") return { refusal: "ROUND_IN_PROGRESS" };
    if (isSame) return keep(view, kind === "init/generate" ? "GENERATING" : "VALIDATING");
    // The same block with other fields is a mistake; another block's round must never be blocked.
    if (isSameBlock(view.config, config)) return { refusal: "ROUND_IN_PROGRESS" };
  }
  if (view.state === "VALIDATING" && kind === "init/validate" && isSame) {
    return keep(view, "VALIDATING");
  }
  return {
    state: kind === "init" ? "IDLE" : kind === "init/generate" ? "GENERATING" : "VALIDATING",
    begins: { scheme, config },
    cutsSearch: view.state === "GENERATING",
  };
}

function keep(view: RoundView, state: RoundState): RoundStep {
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

/** Equal after parsing, field by field. */
function isSameConfig(a: RoundConfig, b: RoundConfig): boolean {
  return (Object.keys(a) as (keyof RoundConfig)[]).every((field) => a[field] === b[field]);
}
