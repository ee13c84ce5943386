/** The distance proof: a nonce yields one number, and is valid when that is less than the target. */
import { InitRequest } from "../../wire/schemas.ts";
import type { ProofScheme, Reading } from "../scheme.ts";
import { inputSeed } from "../seeds.ts";
import { generatedBatch } from "./answers.ts";
import { permutationSeed, targetSeed } from "./seeds.ts";
import { isValid } from "./verdict.ts";

const INVALID: Reading = { kind: "invalid" };
const NONFINITE: Reading = { kind: "nonfinite" };

/** A find's record is its distance, a float32 value. */
export const distance = {
  name: "distance",

  canRead({ config, records }) {
    return isConfig(config) && records.every((record) => Number.isFinite(record));
  },

  // A round without a node (−1) is never searched: the state machine sees to that.
  walk: ({ node_id, node_count }) => ({
    first: Math.max(node_id, 0),
    step: Math.max(node_count, 1),
  }),

  width: () => 1,

  job(config, nonces) {
    return {
      seq_len: config.seq_len,
      input_seeds: Uint32Array.from(nonces, (nonce) => inputSeed(config, nonce)),
      output: {
        kind: "distance",
        permutation_seeds: Uint32Array.from(nonces, (nonce) => permutationSeed(config, nonce)),
        target_seed: targetSeed(config.block_hash),
      },
    };
  },

  read({ r_target }, [distance = Number.NaN]): Reading {
    if (!Number.isFinite(distance)) return NONFINITE;
    return isValid(distance, r_target) ? { kind: "valid", record: distance } : INVALID;
  },

  generated: generatedBatch,
  maxRefusals: null,
} satisfies ProofScheme<InitRequest>;

/** Every default was filled in when it was stored. */
const KeptConfig = InitRequest({ defaults: { batch_size: 1, seq_len: 1 } });
const FILLED_IN = ["fraud_threshold", "node_id", "node_count", "batch_size", "seq_len"];

function isConfig(kept: unknown): boolean {
  if (typeof kept !== "object" || kept === null) return false;
  const { callback_url: url, ...rest } = kept as InitRequest;
  // An address that cannot be called keeps nobody from reading the round.
  const isComplete =
    (url === null || typeof url === "string") && FILLED_IN.every((name) => name in rest);
  return isComplete && KeptConfig.safeParse(rest).success;
}
