/** A round as the log tells it: how it begins, how it goes on, what became of it. */
import { type PocService, randomDistanceCdf, type StatusSummary } from "@proofmill/core";
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
  let last: StatusSummary | null = null;
  let timer: NodeJS.Timeout | null = null;
  /** The round whose target has been warned of. */
  let warned: string | null = null;

  const progress = ({
    round_id,
    total_checked,
    total_valid,
    rate_per_second,
    r_target,
  }: StatusSummary) => ({
    ...{ round_id, rate_per_second: rounded(rate_per_second), total_checked, total_valid },
    expected: expected(r_target),
  });

  /** As many as random directions would give; null without a model. */
  function expected(r_target: number | null): number | null {
    const vocabulary = service.model?.vocab_size;
    if (vocabulary === undefined || r_target === null) return null;
    const target = Math.min(Math.max(r_target, 0), GREATEST_DISTANCE);
    return rounded(
      service.status({ limit: 1 }).total_checked * randomDistanceCdf(target, vocabulary),
    );
  }

  const timed = () => {
    const status = service.status({ limit: 1 });
    log.info(progress(status), "searching");
    warnOfTarget(status);
  };

  const onChange = () => {
    const status = service.status({ limit: 1 });
    const { state, round_id } = status;
    if (status.total_checked >= FIRST) warnOfTarget(status);
    if (state === last?.state && round_id === last.round_id) return;
    const before = last;
    last = status;
    if (round_id === null) return; // a stop without a round is none's state
    if (timer) clearInterval(timer);
    timer = null;
    if (before?.state === "GENERATING" && before.round_id === round_id) {
      log.info(progress(status), "the search has ended");
    }
    log.info(
      state === "STOPPED" ? { state, round_id } : { state, ...begin(status) },
      "round state",
    );
    if (state !== "GENERATING") return;
    timer = setInterval(timed, EVERY_MS).unref();
    warnOfTarget(status);
  };

  function warnOfTarget({ round_id, r_target, total_checked, total_valid }: StatusSummary): void {
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
  if (service.status({ limit: 1 }).round_id !== null) onChange();
  else last = service.status({ limit: 1 });
  const end = service.on("change", onChange);
  return () => {
    end();
    if (timer) clearInterval(timer);
  };
}

const begin = (status: StatusSummary) => {
  const { round_id, block_hash, block_height, public_key, r_target, node_id, node_count } = status;
  return { round_id, block_hash, block_height, public_key, r_target, node_id, node_count };
};

const rounded = (x: number): number => Number(x.toPrecision(6));
