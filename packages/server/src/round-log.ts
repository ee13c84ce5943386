/** A round as the log tells it: how it begins, how it goes on, what became of it. */
import { type PocService, type RoundSummary, randomDistanceCdf } from "@proofmill/core";
import type { FastifyBaseLogger } from "fastify";

/** Between two lines of a search. */
const EVERY_MS = 10_000;
/** No two directions are farther apart. */
const GREATEST_DISTANCE = 2;
/** If so many of the first are all valid, the target is no test. */
const FIRST = 100;

type Log = Pick<FastifyBaseLogger, "info" | "warn">;

/**
 * Follows a service until the returned function is called.
 *
 * @param service one that is enabled
 */
export function logRounds(service: PocService, log: Log): () => void {
  let last: RoundSummary | null = null;
  /** As of the last change: what stands when another round begins is what its search came to. */
  let latest: RoundSummary | null = null;
  let timer: NodeJS.Timeout | null = null;
  /** The round whose target has been warned of. */
  let warned: string | null = null;

  function progress(status: RoundSummary): object {
    const { round_id, total_checked, total_valid, rate_per_second, scheme } = status;
    const rate = rounded(rate_per_second);
    // Every nonce is an artifact: nothing is to be expected but how many there are.
    if (scheme === "artifact") {
      const artifacts_per_minute = rounded(60 * rate_per_second);
      return { round_id, artifacts_per_minute, total_artifacts: total_valid };
    }
    const counts = { round_id, rate_per_second: rate, total_checked, total_valid };
    return { ...counts, expected: expected(status) };
  }

  /** As many as random directions would give; null without a model. */
  function expected({ r_target, total_checked }: RoundSummary): number | null {
    const vocabulary = service.model?.vocab_size;
    if (vocabulary === undefined || r_target === null) return null;
    const target = Math.min(Math.max(r_target, 0), GREATEST_DISTANCE);
    return rounded(total_checked * randomDistanceCdf(target, vocabulary));
  }

  const timed = () => {
    const status = service.summary();
    log.info(progress(status), "searching");
    warnOfTarget(status);
  };

  const onChange = () => {
    const status = service.summary();
    const { state, round_id } = status;
    const final = latest;
    latest = status;
    if (status.total_checked >= FIRST) warnOfTarget(status);
    if (state === last?.state && round_id === last.round_id) return;
    const before = last;
    last = status;
    if (round_id === null) return; // a stop without a round is none's state
    if (timer) clearInterval(timer);
    timer = null;
    if (before?.state === "GENERATING") {
      const isReplaced = before.round_id !== round_id && final !== null;
      log.info(progress(isReplaced ? final : status), "the search has ended");
    }
    log.info(
      state === "STOPPED" ? { state, round_id } : { state, ...begin(status) },
      "round state",
    );
    if (state !== "GENERATING") return;
    timer = setInterval(timed, EVERY_MS).unref();
    warnOfTarget(status);
  };

  function warnOfTarget({ round_id, r_target, total_checked, total_valid }: RoundSummary): void {
    if (round_id === warned || r_target === null) return;
    const fields = { round_id, r_target };
    if (r_target >= GREATEST_DISTANCE) {
      log.warn(fields, "every nonce is valid: no distance is greater than 2");
    } else if (total_checked >= FIRST && total_valid === total_checked) {
      log.warn({ ...fields, total_checked }, "every nonce so far is valid: is r_target meant so?");
    } else if (total_checked < FIRST) {
      return;
    }
    warned = round_id;
  }

  // What was there before this node started is told too.
  if (service.summary().round_id !== null) onChange();
  else last = service.summary();
  const end = service.on("change", onChange);
  return () => {
    end();
    if (timer) clearInterval(timer);
  };
}

const begin = (status: RoundSummary) => {
  const { round_id, block_hash, block_height, public_key, r_target, node_id, node_count } = status;
  return { round_id, block_hash, block_height, public_key, r_target, node_id, node_count };
};

const rounded = (x: number): number => Number(x.toPrecision(6));
