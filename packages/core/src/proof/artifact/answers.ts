/** The artifact proof's objects on the wire, made from what is kept of a round (docs/protocol-v2.md). */
import type {
  Artifact,
  ArtifactEvent,
  ArtifactStatus,
  Encoding,
  GeneratedArtifacts,
} from "../../wire/artifact-schemas.ts";
import type { Finds, RoundBook, SchemeRound } from "../scheme.ts";
import type { ArtifactConfig } from "./config.ts";

// A round of this scheme has such a configuration and texts for its records: the round names the
// scheme, and `canRead` has looked at what came from the store.
export const artifactConfigOf = ({ config }: Pick<RoundBook, "config">) => config as ArtifactConfig;

export function encodingOf(k_dim: number): Encoding {
  return { dtype: "f16", k_dim, endian: "le" };
}

function artifactsOf({ nonces, records }: Finds): Artifact[] {
  return nonces.map((nonce, i) => ({ nonce, vector_b64: String(records[i]) }));
}

/** @param book of the round that generates; null without one */
export function artifactStatus(book: RoundBook | null): ArtifactStatus {
  if (!book) return { status: "IDLE", config: null, stats: null };
  const { block_hash, block_height, public_key, node_id, node_count, ...rest } =
    artifactConfigOf(book);
  const { group_id, n_groups, seq_len, k_dim } = rest;
  const { position, generating_seconds } = book;
  return {
    status: "GENERATING",
    config: {
      ...{ block_hash, block_height, public_key, node_id, node_count },
      ...{ group_id, n_groups, seq_len, k_dim },
    },
    stats: {
      total_processed: position,
      nonces_per_second: generating_seconds > 0 ? position / generating_seconds : 0,
    },
  };
}

/** Artifacts of a round as they are pushed. */
export function generatedArtifacts(
  { config }: SchemeRound<ArtifactConfig>,
  finds: Finds,
): GeneratedArtifacts {
  const { public_key, block_hash, block_height, node_id, k_dim } = config;
  return {
    ...{ public_key, block_hash, block_height, node_id },
    artifacts: artifactsOf(finds),
    encoding: encodingOf(k_dim),
  };
}

/** What those are told who follow a round's artifacts. */
export const ARTIFACT_EVENTS = {
  round(book: RoundBook): ArtifactEvent {
    const { block_hash, block_height, public_key, k_dim } = artifactConfigOf(book);
    const { round_id } = book;
    return { type: "round", round_id, block_hash, block_height, public_key, k_dim };
  },

  finds(book: RoundBook, from: number, to: number): ArtifactEvent {
    const { nonces, records } = book.finds({ since: from, limit: to - from });
    const { round_id, config } = book;
    const { block_hash } = config;
    return {
      ...{ type: "artifacts" as const, round_id, block_hash, from, nonces },
      vectors_b64: records as string[],
    };
  },
};
