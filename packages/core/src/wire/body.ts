/** Bodies and what they have to fit; large ones are checked elsewhere, on a thread of a door's. */
import { PocError, type PocErrorCode, type ValidationIssue } from "./errors.ts";
import { parseWith } from "./issues.ts";
import { type InitDefaults, type InitRequest, initRequestSchema, ProofBatch } from "./schemas.ts";

/** What init bodies have to fit, as `initRequestSchema` takes it. */
export interface InitLimits {
  defaults: InitDefaults;
  max_seq_len?: number;
  callback_hosts?: readonly string[] | undefined;
}

export interface Bodies {
  init: InitRequest;
  proof: ProofBatch;
}
export type BodyKind = keyof Bodies;

/** What came of a check. Can be cloned to and from a thread. */
export type CheckOutcome =
  | { readonly value: Bodies[BodyKind] }
  | { readonly refusal: PocErrorCode; readonly detail?: string | ValidationIssue[] };

/**
 * Checks what a caller sent.
 *
 * @throws PocError INVALID_BODY
 */
export function checkBody<K extends BodyKind>(
  kind: K,
  value: unknown,
  limits: InitLimits,
): Bodies[K] {
  const body =
    kind === "init"
      ? parseWith(initRequestSchema(limits), value, "body")
      : parseWith(ProofBatch, value, "body");
  return body as Bodies[K];
}

/** The outcome of `work`, which may refuse. */
export function outcomeOf(work: () => Bodies[BodyKind]): CheckOutcome {
  try {
    return { value: work() };
  } catch (error) {
    if (!(error instanceof PocError)) throw error;
    return { refusal: error.code, detail: error.detail };
  }
}

/** A body that has been checked already; the service takes it instead of what was sent. */
export class CheckedBody {
  readonly #kind: BodyKind;
  readonly #limits: InitLimits;
  readonly #outcome: CheckOutcome;

  /** @param limits the service's at the time of the check */
  constructor(kind: BodyKind, limits: InitLimits, outcome: CheckOutcome) {
    this.#kind = kind;
    this.#limits = limits;
    this.#outcome = outcome;
  }

  /**
   * What the body says.
   *
   * @throws PocError what it was refused with; MODEL_LOADING when the limits are others by now
   */
  take<K extends BodyKind>(kind: K, limits: InitLimits): Bodies[K] {
    const outcome = this.#outcome;
    if ("refusal" in outcome) {
      throw new PocError(outcome.refusal, outcome.detail ? { detail: outcome.detail } : {});
    }
    if (this.#kind !== kind) throw new Error(`checked as ${this.#kind}, wanted as ${kind}`);
    if (kind === "init" && this.#limits !== limits) throw new PocError("MODEL_LOADING");
    return outcome.value as Bodies[K];
  }
}
