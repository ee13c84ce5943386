/** Statuses, verdicts and calibrations in words. */
import { doubtsOf, type NodeInfo, type Status, type ValidateAnswer } from "@proofmill/client";
import type { Calibration } from "@proofmill/core";
import { printable } from "../platform/printable.ts";

const SHOWN = 5;

/** A number with its thousands apart, e.g. 12,345. */
export function grouped(number: number): string {
  return number.toLocaleString("en-US", { maximumFractionDigits: 20 });
}

/** Nonces per second in a few digits, never in powers of ten. */
export function rateOf(perSecond: number): string {
  return `${grouped(Number(perSecond.toPrecision(perSecond < 1000 ? 3 : 4)))} nonces/s`;
}

/** A round's last status as a line of JSON that `validate` reads too: it holds a ProofBatch. */
export function jsonOf(status: Status): string {
  const { valid_nonces: nonces, valid_distances: dist } = status;
  return `${JSON.stringify({ ...status, nonces, dist })}\n`;
}

type ArtifactRound = NonNullable<NodeInfo["artifacts"]["round"]>;

/** A few lines; of a round of artifacts a status holds no more than the state, so it is told besides. */
export function summaryOf(status: Status, artifacts: ArtifactRound | null = null): string {
  const { state, round_id, block_hash, block_height, public_key, r_target } = status;
  const lines = [`state       ${state}${status.is_model_initialized ? "" : ", no model"}`];
  if (artifacts !== null) lines.push(...artifactLines(artifacts));
  else if (round_id !== null) {
    const { total_checked, total_valid, total_nonfinite, rate_per_second } = status;
    const share =
      total_valid > 0 ? `, 1 in ${grouped(Math.round(total_checked / total_valid))}` : "";
    const best = Math.min(...status.valid_distances.slice(0, 100_000));
    lines.push(
      `round       ${round_id}`,
      `block       ${block_hash}, height ${block_height}`,
      `public key  ${public_key}`,
      `r_target    ${r_target}`,
      `checked     ${grouped(total_checked)} in ${status.elapsed_seconds.toFixed(1)} s, ${rateOf(rate_per_second)}`,
      `valid       ${grouped(total_valid)}${share}`,
    );
    if (total_nonfinite > 0) lines.push(`not finite  ${total_nonfinite}`);
    if (total_valid > 0) {
      const shown = status.valid_nonces.slice(0, SHOWN).join(", ");
      lines.push(`nonces      ${shown}${total_valid > SHOWN ? ", …" : ""}`, `best        ${best}`);
    }
  }
  lines.push(`arithmetic  ${status.arithmetic ?? "unknown until the model is loaded"}`);
  return `${lines.map(printable).join("\n")}\n`;
}

function artifactLines(round: ArtifactRound): string[] {
  const { total_checked, total_artifacts, artifacts_per_minute, elapsed_seconds } = round;
  const perMinute = grouped(Math.round(artifacts_per_minute));
  const lines = [
    `round       ${round.round_id}, of artifacts`,
    `block       ${round.block_hash}, height ${round.block_height}`,
    `public key  ${round.public_key}`,
    `node        ${round.node_id} of ${round.node_count}`,
    `artifacts   ${grouped(total_artifacts)} in ${elapsed_seconds.toFixed(1)} s, ${perMinute} a minute`,
  ];
  const nonfinite = total_checked - total_artifacts;
  return nonfinite > 0 ? [...lines, `not finite  ${nonfinite}`] : lines;
}

/**
 * A few lines, with what makes the verdict say less than it seems to.
 *
 * @param claimed the arithmetic that the proof names; null where it names none
 */
export function verdictOf(answer: ValidateAnswer, claimed: string | null): string {
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
    `arithmetic  ${printable(answer.arithmetic)}`,
    ...doubtsOf(answer, claimed).map((doubt) => `warning     ${printable(doubt)}`),
    "",
  ].join("\n");
}

/** Of the longest bar, where there is room for it beside its number. */
const BAR_WIDTH = 48;
/** A number, a space, and what a curve may stand beyond the longest bar. */
const BESIDE_BAR = 9;

/** Numbers and a histogram; `·` is where a random direction's curve runs. */
export function calibrationOf(
  result: Calibration,
  context: {
    block_hash: string;
    arithmetic: string | null;
    vocab_size: number;
    columns?: number | undefined;
  },
): string {
  const { histogram, theory, rate } = result;
  const percent = (share: number) => `${(100 * share).toPrecision(3)} %`;
  const between = ([low, high]: [number, number], show: (x: number) => string) =>
    `${show(low)} to ${show(high)}`;
  const most = Math.max(...histogram.flatMap(({ count, expected }) => [count, expected]));
  const width = Math.max(1, Math.min(BAR_WIDTH, (context.columns ?? 80) - BESIDE_BAR));
  const column = (count: number) => Math.round((count / most) * width);
  const bars = histogram.map(({ from, count, expected }) => {
    const cells = [..."█".repeat(column(count)).padEnd(width + 1)];
    cells[column(expected)] = "·";
    return `${from.toFixed(5)} ${cells.join("").trimEnd()}`;
  });
  return [
    `block       ${context.block_hash}, V = ${context.vocab_size}, ${context.arithmetic}`,
    `samples     ${grouped(result.samples)}`,
    `mean        ${result.mean.toFixed(6)}, a random direction has ${theory.mean.toFixed(6)}`,
    `deviation   ${result.deviation.toFixed(6)}, a random direction has ${theory.deviation.toFixed(6)}`,
    "quantiles",
    ...result.quantiles.map(
      ({ share, distance }) => `  ${percent(share).padStart(7)}   ${distance.toFixed(6)}`,
    ),
    "",
    ...bars,
    "",
    `r_target    ${result.r_target}`,
    `            makes ${percent(rate)} valid: really ${between(result.rate_interval, percent)}, ` +
      "with 95 % confidence",
    `            the exact target lies in ${between(result.r_target_interval, (x) => x.toFixed(6))}`,
    "",
  ].join("\n");
}
