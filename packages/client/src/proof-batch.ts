/** Finds as a proof that other nodes can check. */
import type { ProofBatch } from "./types.ts";

/** Whose finds they are: an init body, a Status, or whatever else has these fields. */
export interface ProofRound {
  readonly public_key: string | null;
  readonly block_hash: string | null;
  readonly block_height: number | null;
  readonly node_id?: number | null | undefined;
}

/** Nonces with the distance of each. */
export interface Finds {
  readonly nonces: readonly number[];
  readonly distances: readonly number[];
}

interface StatusFinds {
  readonly valid_nonces: readonly number[];
  readonly valid_distances: readonly number[];
}

/**
 * Makes the body of `validate` from finds: those that a status shows, or those that are given.
 *
 * @example
 * const proof = toProofBatch(await node.status());
 * const part = toProofBatch(round, { nonces: event.nonces, distances: event.distances });
 * @throws TypeError where there is no round, or not one distance for each nonce
 */
export function toProofBatch(status: ProofRound & StatusFinds): ProofBatch;
export function toProofBatch(round: ProofRound, finds: Finds): ProofBatch;
export function toProofBatch(
  round: ProofRound & Partial<StatusFinds>,
  finds: Finds = {
    nonces: round.valid_nonces ?? [],
    distances: round.valid_distances ?? [],
  },
): ProofBatch {
  const { public_key, block_hash, block_height, node_id } = round;
  if (public_key === null || block_hash === null || block_height === null) {
    throw new TypeError(
      "round: expected one with a public key and a block, got a node without one",
    );
  }
  const { nonces, distances } = finds;
  if (nonces.length !== distances.length) {
    throw new TypeError(
      `finds: expected one distance for each of ${nonces.length} nonces, got ${distances.length}`,
    );
  }
  return {
    ...{ public_key, block_hash, block_height, node_id: node_id ?? -1 },
    ...{ nonces: [...nonces], dist: [...distances] },
  };
}
