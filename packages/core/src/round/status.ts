/** What a Status is made of besides a round. */
import { parseWith } from "../wire/issues.ts";
import { StatusPage } from "../wire/schemas.ts";

/** The round's part of a Status where there is no round. */
export function statusWithoutRound() {
  return {
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
}

/**
 * Reads `{ since?, limit? }`. A query's values are strings: those that are written as integers
 * become numbers.
 *
 * @throws PocError INVALID_BODY with `loc` `["query", …]`
 */
export function parsePage(page: unknown): StatusPage {
  if (typeof page !== "object" || page === null) return parseWith(StatusPage, page, "query");
  const values = Object.entries(page).map(([key, value]) => [
    key,
    typeof value === "string" && /^-?\d+$/.test(value) ? Number(value) : value,
  ]);
  return parseWith(StatusPage, Object.fromEntries(values), "query");
}
