/** The present round in numbers, whatever it proves: for the log and for events. */
import type { StatusSummary } from "../wire/schemas.ts";
import type { ActiveRound } from "./active-round.ts";

/** A status without its lists, of whatever round is the present one. */
export type RoundSummary = StatusSummary & { readonly scheme: string | null };

/**
 * @param round the present one; null where there is none
 * @param status of the node; it names no round but one of distances, of which it says all
 * @returns of another round its numbers, with null for `r_target`
 */
export function summaryOf(
  round: Pick<ActiveRound, "ledger" | "scheme"> | null,
  status: StatusSummary,
): RoundSummary {
  if (!round || status.round_id !== null) return { ...status, scheme: round?.scheme.name ?? null };
  const { ledger, scheme } = round;
  const { block_hash, block_height, public_key, node_id, node_count } = ledger.config;
  const { position, found, nonfinite, round_id, elapsed_seconds, generating_seconds } = ledger;
  return {
    ...status,
    scheme: scheme.name,
    ...{ round_id, block_hash, block_height, public_key, node_id, node_count },
    ...{ total_checked: position, total_valid: found, total_nonfinite: nonfinite },
    rate_per_second: generating_seconds > 0 ? position / generating_seconds : 0,
    elapsed_seconds,
  };
}
