/** The artifact proof: every nonce yields a short vector, and none is better than another. */
import type { ProofScheme, Reading } from "../scheme.ts";
import { generatedArtifacts } from "./answers.ts";
import { type ArtifactConfig, isArtifactConfig } from "./config.ts";
import { artifactInputs, artifactOutput } from "./job.ts";
import { encodeVector } from "./vector.ts";

const NONFINITE: Reading = { kind: "nonfinite" };

/** A find's record is its vector as text. */
export const artifact = {
  name: "artifact",

  canRead({ config, records }) {
    return isArtifactConfig(config) && records.every((record) => typeof record === "string");
  },

  walk({ node_id, node_count, group_id, n_groups, begins_at }) {
    const step = n_groups * node_count;
    return { first: node_id + group_id * node_count + begins_at * step, step };
  },

  width: ({ k_dim }) => k_dim,

  job(config, nonces, { num_hidden_layers }) {
    const { seq_len, poc_stronger_rng } = config;
    return {
      seq_len,
      ...artifactInputs(config, nonces, poc_stronger_rng),
      output: artifactOutput({ ...config, num_hidden_layers }, nonces),
    };
  },

  read: (_config, row): Reading =>
    row.every(Number.isFinite) ? { kind: "valid", record: encodeVector(row) } : NONFINITE,

  generated: generatedArtifacts,
  // Then the block's phase is over, or the receiver does not know this node.
  maxRefusals: 10,
} satisfies ProofScheme<ArtifactConfig>;
