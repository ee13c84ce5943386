/** What a round of artifacts is configured by. */
import type { ArtifactRound, CheckedJob } from "../../wire/artifact-schemas.ts";
import type { RoundConfig } from "../scheme.ts";

/** A round's configuration; no field is an object, so that two can be compared field by field. */
export interface ArtifactConfig extends RoundConfig {
  /** Numbers of an artifact. */
  readonly k_dim: number;
  /** The name that the caller gave the node's model. */
  readonly model: string;
  readonly group_id: number;
  readonly n_groups: number;
  readonly poc_stronger_rng: boolean;
  /**
   * Where in the node's sequence the round begins: not at 0 when an equal one has been there before
   * (docs/protocol-v2.md §2).
   */
  readonly begins_at: number;
}

/** The configuration of a round that begins at the front of its sequence, or of a job's nonces. */
export function configOfBody(body: ArtifactRound | CheckedJob): ArtifactConfig {
  const { block_hash, block_height, public_key, node_id, node_count, batch_size, url } = body;
  const { group_id, n_groups } = "n_groups" in body ? body : { group_id: 0, n_groups: 1 };
  return {
    ...{ block_hash, block_height, public_key, node_id, node_count, batch_size },
    ...body.params,
    ...{ group_id, n_groups, poc_stronger_rng: body.poc_stronger_rng },
    callback_url: url,
    begins_at: 0,
  };
}

const TEXTS = ["block_hash", "public_key", "model"] as const;
const NUMBERS = [
  ...["block_height", "node_id", "node_count", "batch_size", "seq_len", "k_dim", "group_id"],
  ...["n_groups", "begins_at"],
] as const;

/** Whether that is the configuration of a kept round. */
export function isArtifactConfig(kept: unknown): boolean {
  if (typeof kept !== "object" || kept === null) return false;
  const fields = kept as Record<string, unknown>;
  return (
    TEXTS.every((name) => typeof fields[name] === "string") &&
    NUMBERS.every((name) => Number.isSafeInteger(fields[name])) &&
    typeof fields.poc_stronger_rng === "boolean" &&
    (fields.callback_url === null || typeof fields.callback_url === "string")
  );
}
