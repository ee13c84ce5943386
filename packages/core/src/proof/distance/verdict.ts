/** A proof and its recomputation → a verdict (docs/protocol.md §1.10, §3). */

import type {
  InitRequest,
  ProofBatch,
  ValidateAnswer,
  ValidatedBatch,
} from "../../wire/schemas.ts";
import { probabilityHonest } from "./fraud.ts";

/** Whether a distance makes its nonce valid. One that is not finite never does. */
export function isValid(distance: number, rTarget: number): boolean {
  return Number.isFinite(distance) && distance < rTarget;
}

/**
 * Judges a proof.
 *
 * A nonce is invalid when its claim is not below the target or the recomputed distance is above
 * it; the two are not compared with each other. A recomputed distance that is not finite counts
 * neither way, whatever was claimed: a validator whose arithmetic failed must not accuse.
 *
 * @param options.distances recomputed, one for each nonce of the proof
 */
export function judge(options: {
  proof: ProofBatch;
  distances: ArrayLike<number>;
  round: Pick<InitRequest, "r_target" | "fraud_threshold"> & { round_id: string };
  arithmetic: string;
}): ValidatedBatch {
  const { proof, distances, arithmetic } = options;
  const { round_id, r_target, fraud_threshold } = options.round;
  let n = 0;
  let n_invalid = 0;
  const dist = proof.dist.map((received, i) => {
    const distance = distances[i] ?? Number.NaN;
    if (!Number.isFinite(distance)) return null;
    n++;
    if (received >= r_target || distance > r_target) n_invalid++;
    return distance;
  });
  const probability_honest = probabilityHonest(n_invalid, n);
  return {
    public_key: proof.public_key,
    block_hash: proof.block_hash,
    block_height: proof.block_height,
    nonces: proof.nonces,
    dist,
    node_id: proof.node_id,
    round_id,
    received_dist: proof.dist,
    r_target,
    fraud_threshold,
    n_invalid,
    probability_honest,
    fraud_detected: n > 0 && probability_honest < fraud_threshold,
    arithmetic,
  };
}

/** What the log says of a verdict. */
export function inShort(batch: ValidatedBatch) {
  const { round_id, public_key, nonces, n_invalid, probability_honest, fraud_detected } = batch;
  return {
    round_id,
    public_key,
    nonces: nonces.length,
    n_invalid,
    probability_honest,
    fraud_detected,
  };
}

/** The same verdict as `/validate` answers it. */
export function toValidateAnswer(batch: ValidatedBatch): ValidateAnswer {
  return {
    nonces: batch.nonces,
    distances: batch.dist,
    valid: batch.dist.map((distance) => distance !== null && isValid(distance, batch.r_target)),
    received_dist: batch.received_dist,
    r_target: batch.r_target,
    fraud_threshold: batch.fraud_threshold,
    n_invalid: batch.n_invalid,
    probability_honest: batch.probability_honest,
    fraud_detected: batch.fraud_detected,
    arithmetic: batch.arithmetic,
    status: "OK",
    computed_distances: batch.dist,
  };
}
