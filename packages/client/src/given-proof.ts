/** A proof as somebody has it, and what its verdict leaves open. */
import type { ProofBatch, Status, ValidateAnswer } from "./types.ts";

/** No distance is larger. */
const LARGEST_DISTANCE = 2;

/** What a text or a file holds of a proof. */
export interface GivenProof {
  /** The body of `validate`; whether it is a proof is for the node to say. */
  readonly proof: ProofBatch;
  /** What computed it, as callbacks and statuses name it; null where nothing does. */
  readonly arithmetic: string | null;
}

/**
 * Finds the proof in parsed JSON: a ProofBatch, a GeneratedBatch, or a Status, which holds the same
 * under other names.
 *
 * @example
 * const { proof, arithmetic } = proofIn(JSON.parse(text));
 * const doubts = doubtsOf(await node.validate(proof), arithmetic);
 * @throws TypeError for the status of a node that has no round of distances
 */
export function proofIn(value: unknown): GivenProof {
  const { state, round_id, arithmetic } = Object(value);
  if (state !== undefined && round_id === null) {
    throw new TypeError("the status of a node without a round");
  }
  return {
    proof: isStatus(value) ? ofStatus(value) : (value as ProofBatch),
    arithmetic: typeof arithmetic === "string" ? arithmetic : null,
  };
}

/** What `round --json` prints has both names, and is a proof as it is. */
function isStatus(value: unknown): value is Status {
  return "valid_nonces" in Object(value) && !("nonces" in Object(value));
}

function ofStatus({ valid_nonces, valid_distances, ...round }: Status): ProofBatch {
  return { ...round, nonces: valid_nonces, dist: valid_distances } as ProofBatch;
}

/**
 * What makes a verdict say less than it seems to, a sentence for people each.
 *
 * @param claimed the arithmetic that the proof names; null where it names none
 */
export function doubtsOf(
  { r_target, arithmetic }: Pick<ValidateAnswer, "r_target" | "arithmetic">,
  claimed: string | null,
): string[] {
  const doubts: string[] = [];
  if (r_target >= LARGEST_DISTANCE) {
    doubts.push(
      "no distance is beyond the round's r_target, so that all are valid: a calibration leaves such " +
        "a round; begin one of the block with its r_target, then validate",
    );
  }
  if (claimed !== null && claimed !== arithmetic) {
    doubts.push(
      `the proof was computed in ${claimed}, which rounds otherwise: honest nonces close to ` +
        "r_target may count as invalid",
    );
  }
  return doubts;
}
