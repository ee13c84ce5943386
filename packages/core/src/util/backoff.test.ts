import { expect, test } from "vitest";
import { pauseAfter } from "./backoff.ts";

const BACKOFF = { first: 1000, most: 60_000 };

test("pauses grow to the longest, jitter included", () => {
  expect([1, 2, 3, 6, 7, 50, 5000].map((n) => pauseAfter(n, BACKOFF, () => 1))).toEqual([
    1000, 2000, 4000, 32_000, 60_000, 60_000, 60_000,
  ]);
  expect(pauseAfter(3, BACKOFF, () => 0)).toBe(2000);
  for (let i = 0; i < 100; i++) {
    const pause = pauseAfter(3, BACKOFF);
    expect(pause).toBeGreaterThanOrEqual(2000);
    expect(pause).toBeLessThan(4000);
  }
});

test("no pause is shorter than what was asked for, and those who were asked do not come together", () => {
  expect(pauseAfter(1, { ...BACKOFF, atLeast: 5000 }, () => 0)).toBe(5000);
  expect(pauseAfter(1, { ...BACKOFF, atLeast: 5000 }, () => 1)).toBe(5500);
  expect(pauseAfter(1, { ...BACKOFF, atLeast: 100 }, () => 0)).toBe(500);
});
