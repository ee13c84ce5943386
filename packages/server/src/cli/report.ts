/** Statuses and verdicts in words. */
import type { Status, ValidateAnswer } from "@proofmill/client";

const SHOWN = 5;

/** A few lines. */
export function summaryOf(status: Status): string {
  const { state, round_id, block_hash, block_height, public_key, r_target } = status;
  const lines = [`state       ${state}${status.is_model_initialized ? "" : ", no model"}`];
  if (round_id !== null) {
    const { total_checked, total_valid, total_nonfinite, rate_per_second } = status;
    const share = total_valid > 0 ? `, 1 in ${Math.round(total_checked / total_valid)}` : "";
    const best = Math.min(...status.valid_distances.slice(0, 100_000));
    lines.push(
      `round       ${round_id}`,
      `block       ${block_hash}, height ${block_height}`,
      `public key  ${public_key}`,
      `r_target    ${r_target}`,
      `checked     ${total_checked} in ${status.elapsed_seconds.toFixed(1)} s, ` +
        `${rate_per_second.toPrecision(3)} nonces/s`,
      `valid       ${total_valid}${share}`,
    );
    if (total_nonfinite > 0) lines.push(`not finite  ${total_nonfinite}`);
    if (total_valid > 0) {
      const shown = status.valid_nonces.slice(0, SHOWN).join(", ");
      lines.push(`nonces      ${shown}${total_valid > SHOWN ? ", …" : ""}`, `best        ${best}`);
    }
  }
  lines.push(`arithmetic  ${status.arithmetic ?? "unknown until the model is loaded"}`);
  return `${lines.join("\n")}\n`;
}

/** A few lines. */
export function verdictOf(answer: ValidateAnswer): string {
  const { nonces, distances, n_invalid, probability_honest, fraud_detected } = answer;
  const finite = distances.filter((distance) => distance !== null).length;
  const verdict = fraud_detected
    ? "fraud"
    : probability_honest < 0
      ? "nothing to judge"
      : "no fraud detected";
  return [
    `verdict     ${verdict}`,
    `invalid     ${n_invalid} of ${finite}` +
      (finite < nonces.length ? `, ${nonces.length - finite} could not be recomputed` : ""),
    `P(honest)   ${probability_honest < 0 ? "–" : probability_honest.toPrecision(3)}, ` +
      `fraud below ${answer.fraud_threshold}`,
    `r_target    ${answer.r_target}`,
    `arithmetic  ${answer.arithmetic}`,
    "",
  ].join("\n");
}
