import { describe, expect, it } from "vitest";
import { betaQuantile, incompleteBeta } from "../beta.ts";
import { calibrate, randomDistanceCdf } from "./calibration.ts";

/** Deterministic numbers, uniform in [0, 1). */
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe("betaQuantile", () => {
  it("is the inverse", () => {
    for (const [a, b] of [
      [1, 1],
      [21, 1980],
      [0.5, 30],
      [400, 3],
    ] as const) {
      for (const p of [0.001, 0.025, 0.5, 0.975]) {
        expect(incompleteBeta(betaQuantile(p, a, b), a, b)).toBeCloseTo(p, 7);
      }
    }
    // Clopper and Pearson's 3 of 10, from their tables.
    expect(betaQuantile(0.025, 3, 8)).toBeCloseTo(0.0667, 4);
    expect(betaQuantile(0.975, 4, 7)).toBeCloseTo(0.6525, 4);
  });
});

describe("randomDistanceCdf", () => {
  it("has its known values", () => {
    for (const V of [2, 3, 64, 151_936]) {
      expect(randomDistanceCdf(0, V)).toBeCloseTo(0, 12);
      expect(randomDistanceCdf(Math.SQRT2, V)).toBeCloseTo(0.5, 12);
      expect(randomDistanceCdf(2, V)).toBeCloseTo(1, 12);
    }
    // In three dimensions the cosine is uniform, in two the angle is.
    expect(randomDistanceCdf(1, 3)).toBeCloseTo(0.25, 12);
    expect(randomDistanceCdf(1, 2)).toBeCloseTo(1 / 3, 12);
    // Many dimensions: normal with deviation 1/√(2V).
    const V = 151_936;
    expect(randomDistanceCdf(Math.SQRT2 - 1 / Math.sqrt(2 * V), V)).toBeCloseTo(0.1587, 3);
  });
});

describe("calibrate", () => {
  const distances = Array.from({ length: 2000 }, (_, i) => 1 + ((i * 7919) % 2000) / 2000);

  it("makes the wanted share of the sample valid", () => {
    const result = calibrate({ distances, rate: 0.01, vocab_size: 64 });
    expect(result).toMatchObject({ samples: 2000, r_target: 1.01, valid_samples: 20 });
    expect(result.mean).toBeCloseTo(1.49975, 10);
    expect(result.deviation).toBeCloseTo(0.2887, 3);
    expect(result.quantiles.find(({ share }) => share === 0.5)?.distance).toBe(1.5);
    expect(result.theory).toEqual({ mean: Math.SQRT2, deviation: 1 / Math.sqrt(128) });
    expect(result.histogram.reduce((sum, { count }) => sum + count, 0)).toBe(2000);
  });

  it("has intervals that hold the truth as often as they say", () => {
    const next = uniform(1);
    let [rates, targets] = [0, 0];
    const runs = 400;
    for (let run = 0; run < runs; run++) {
      const sample = Array.from({ length: 500 }, next);
      const { r_target, rate_interval, r_target_interval } = calibrate({
        distances: sample,
        rate: 0.05,
        vocab_size: 64,
      });
      // Uniform: the share below r is r itself.
      if (rate_interval[0] <= r_target && r_target <= rate_interval[1]) rates++;
      if (r_target_interval[0] <= 0.05 && 0.05 <= r_target_interval[1]) targets++;
    }
    for (const held of [rates, targets]) {
      expect(held / runs).toBeGreaterThan(0.92);
      expect(held / runs).toBeLessThan(0.99);
    }
  });

  it("says how many samples a rate needs", () => {
    expect(() => calibrate({ distances: [1, 2, 3], rate: 0.01, vocab_size: 64 })).toThrow(
      "3 samples are too few for a rate of 0.01: take 1000",
    );
  });
});
