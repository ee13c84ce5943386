/** The distance proof's objects on the wire, made from what is kept of a round (docs/protocol.md §3). */
import type { GeneratedBatch, InitRequest, Status, ValidNoncesEvent } from "../../wire/schemas.ts";
import type { Finds, RoundBook, SchemeRound } from "../scheme.ts";

// A round of this scheme has an InitRequest for its configuration and distances for its records: the
// round names the scheme, and `canRead` has looked at what came from the store.
export const configOf = ({ config }: Pick<RoundBook, "config">) => config as InitRequest;
/** The very same array: whoever writes it as JSON knows it again. */
const distancesOf = ({ records }: Finds) => records as number[];

/** The round's part of a Status where there is no round. */
const NO_ROUND = {
  valid_nonces: [],
  valid_distances: [],
  total_checked: 0,
  total_valid: 0,
  elapsed_seconds: 0,
  rate_per_second: 0,
  total_nonfinite: 0,
  round_id: null,
  block_hash: null,
  block_height: null,
  public_key: null,
  r_target: null,
  node_id: null,
  node_count: null,
};

/**
 * The round's part of a Status; the lists from the `since`-th find on, at most `limit`.
 *
 * @param book null where there is no round
 */
export function roundStatus(book: RoundBook | null, page: { since: number; limit: number }) {
  if (!book) return NO_ROUND;
  const { block_hash, block_height, public_key, r_target, node_id, node_count } = configOf(book);
  const finds = book.finds(page);
  const generating = book.generating_seconds;
  return {
    valid_nonces: finds.nonces,
    valid_distances: distancesOf(finds),
    total_checked: book.position,
    total_valid: book.found,
    elapsed_seconds: book.elapsed_seconds,
    rate_per_second: generating > 0 ? book.position / generating : 0,
    total_nonfinite: book.nonfinite,
    round_id: book.round_id,
    ...{ block_hash, block_height, public_key, r_target, node_id, node_count },
  };
}

/** A Status as it is streamed. */
export function withoutLists<S extends Status>({ valid_nonces, valid_distances, ...rest }: S) {
  return rest;
}

/** What those are told who follow a round's finds (docs/protocol.md §5). */
export const FIND_EVENTS = {
  round(book: RoundBook): ValidNoncesEvent {
    const { block_hash, block_height, r_target } = configOf(book);
    return { type: "round", round_id: book.round_id, block_hash, block_height, r_target };
  },

  finds(book: RoundBook, from: number, to: number): ValidNoncesEvent {
    const { nonces, records } = book.finds({ since: from, limit: to - from });
    const { round_id, config } = book;
    const { block_hash } = config;
    return { type: "nonces", round_id, block_hash, from, nonces, distances: records as number[] };
  },
};

/** Finds of a round as they are pushed. */
export function generatedBatch(
  { round_id, config }: SchemeRound<InitRequest>,
  finds: Finds & { readonly arithmetic: string },
): GeneratedBatch {
  const { public_key, block_hash, block_height, node_id, r_target } = config;
  return {
    public_key,
    block_hash,
    block_height,
    nonces: finds.nonces,
    dist: distancesOf(finds),
    node_id,
    arithmetic: finds.arithmetic,
    round_id,
    r_target,
  };
}
