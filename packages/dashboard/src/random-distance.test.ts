import { randomDistanceCdf } from "@proofmill/core";
import { describe, expect, test } from "vitest";
import { randomDistance } from "./random-distance.ts";

describe.each([256, 1024, 151_936])("in %i dimensions", (dimensions) => {
  const random = randomDistance(dimensions);

  test.each([-9, -6, -3, -1, 0, 1, 3])(
    "%i deviations from √2 it is what core says",
    (deviations) => {
      const d = Math.SQRT2 + deviations / Math.sqrt(2 * dimensions);
      const known = randomDistanceCdf(d, dimensions);
      expect((random?.share(d) ?? 0) / known).toBeCloseTo(1, 6);
    },
  );

  test.each([0.001, 0.01, 0.5])("a share of %f lies within a distance that is told", (share) => {
    expect((random?.share(random.within(share)) ?? 0) / share).toBeCloseTo(1, 6);
  });

  test("its ends", () => {
    expect(random?.share(0)).toBe(0);
    expect(random?.share(2)).toBe(1);
  });
});

test("no curve for what is no model", () => {
  expect(randomDistance(2)).toBeNull();
});
