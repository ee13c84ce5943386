import { describe, expect, it } from "vitest";
import { golden } from "../../test-support.ts";
import { isValid, judge, toValidateAnswer } from "./verdict.ts";

type Runs = { runs_value_count: [number | string, number][] };
type Values = (number | string)[] | Runs;
interface Case {
  name: string;
  nonces: number[] | { range: [number, number] };
  received_dist: Values;
  dist: Values;
  r_target: number;
  fraud_threshold: number;
  n_invalid: number;
  probability_honest: number;
  fraud_detected: boolean;
}

const expand = (values: Values): number[] =>
  "runs_value_count" in values
    ? values.runs_value_count.flatMap(([value, count]) => new Array(count).fill(Number(value)))
    : values.map(Number);

function verdictOf(options: {
  received: number[];
  computed: number[];
  r_target: number;
  fraud_threshold: number;
}) {
  const { received, computed, r_target, fraud_threshold } = options;
  return judge({
    proof: {
      public_key: "node1",
      block_hash: "abc",
      block_height: 7,
      nonces: received.map((_, i) => i),
      dist: received,
      node_id: 3,
    },
    distances: computed,
    round: { round_id: "round-1", r_target, fraud_threshold },
    arithmetic: "test-1",
  });
}

// What the protocol decides differently: a proof has as many claims as nonces, nothing is preset,
// and what is not finite is left out (docs/protocol.md §1.10).
const OVERRULED = [
  "nan_is_never_invalid",
  "infinities",
  "zip_truncates_but_n_is_len_nonces",
  "preset_n_invalid_skips_everything",
];

describe("judge", () => {
  const { validated_batch_A, sub_batch_A } = golden<{
    validated_batch_A: Case[];
    sub_batch_A: {
      nonces: number[];
      dist: number[];
      r_target: number;
      kept_nonces: number[];
      kept_dist: number[];
    };
  }>("fraud.json");
  const cases = validated_batch_A.filter((one) => !OVERRULED.includes(one.name));

  it.each(cases)("$name", (one) => {
    const verdict = verdictOf({
      received: expand(one.received_dist),
      computed: expand(one.dist),
      r_target: one.r_target,
      fraud_threshold: one.fraud_threshold,
    });
    expect(verdict.n_invalid).toBe(one.n_invalid);
    expect(verdict.fraud_detected).toBe(one.fraud_detected);
    const exact = one.probability_honest;
    const error = Math.abs(verdict.probability_honest - exact);
    expect(error).toBeLessThanOrEqual(Math.abs(exact) * 1e-9);
  });

  it("covers all but the overruled cases", () => {
    expect(cases).toHaveLength(validated_batch_A.length - OVERRULED.length);
  });

  it("leaves out what is not finite, even if its claim is not below the target", () => {
    const verdict = verdictOf({
      received: [1.3, 1.5, 1.5, 1.3],
      computed: [Number.NaN, Number.POSITIVE_INFINITY, 1.3, 1.3],
      r_target: 1.4,
      fraud_threshold: 0.01,
    });
    expect(verdict).toMatchObject({ n_invalid: 1, dist: [null, null, 1.3, 1.3] });
    expect(verdict.probability_honest).toBeCloseTo(1 - (1 - 5e-4) ** 2, 12); // n is 2
    expect(toValidateAnswer(verdict).valid).toEqual([false, false, true, true]);
  });

  it("does not accuse when nothing is finite", () => {
    const verdict = verdictOf({
      received: [9, 9],
      computed: [Number.NaN, Number.NaN],
      r_target: 1.4,
      fraud_threshold: 1,
    });
    expect(verdict).toMatchObject({ n_invalid: 0, probability_honest: -1, fraud_detected: false });
  });

  it("carries the proof and the round, and answers with the same verdict", () => {
    const verdict = verdictOf({
      received: [1.3, 1.2],
      computed: [1.4, 1.39],
      r_target: 1.4,
      fraud_threshold: 0.25,
    });
    expect(verdict).toEqual({
      public_key: "node1",
      block_hash: "abc",
      block_height: 7,
      nonces: [0, 1],
      dist: [1.4, 1.39],
      node_id: 3,
      round_id: "round-1",
      received_dist: [1.3, 1.2],
      r_target: 1.4,
      fraud_threshold: 0.25,
      n_invalid: 0,
      probability_honest: 1,
      fraud_detected: false,
      arithmetic: "test-1",
    });
    expect(toValidateAnswer(verdict)).toEqual({
      status: "OK",
      nonces: [0, 1],
      distances: [1.4, 1.39],
      computed_distances: [1.4, 1.39],
      valid: [false, true],
      received_dist: [1.3, 1.2],
      r_target: 1.4,
      fraud_threshold: 0.25,
      n_invalid: 0,
      probability_honest: 1,
      fraud_detected: false,
      arithmetic: "test-1",
    });
  });

  it("calls valid what the sending side keeps", () => {
    const { nonces, dist, r_target, kept_nonces, kept_dist } = sub_batch_A;
    const kept = nonces.filter((_, i) => isValid(dist[i] ?? Number.NaN, r_target));
    expect(kept).toEqual(kept_nonces);
    expect(dist.filter((distance) => isValid(distance, r_target))).toEqual(kept_dist);
    for (const distance of [Number.NaN, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]) {
      expect(isValid(distance, 1.4)).toBe(false);
    }
  });
});
