import { expect, test } from "vitest";
import { jsonOf, rateOf } from "./report.ts";
import { lineOf } from "./round.ts";

test("rates are written without powers of ten", () => {
  expect([0, 0.01234, 57.31, 999.4, 1058.9, 12_345].map(rateOf)).toEqual(
    ["0", "0.0123", "57.3", "999", "1,059", "12,350"].map((rate) => `${rate} nonces/s`),
  );
});

test("a status as JSON holds a proof", () => {
  const status = { state: "STOPPED", valid_nonces: [3, 5], valid_distances: [1.2, 1.3] };
  expect(JSON.parse(jsonOf(status as never))).toEqual({
    ...status,
    ...{ nonces: [3, 5], dist: [1.2, 1.3] },
  });
});

test("the live line keeps whole numbers and its width", () => {
  const status = {
    ...{ state: "GENERATING", rate_per_second: 1480, total_checked: 12_345, total_valid: 43 },
    elapsed_seconds: 64.5,
  } as never;
  expect(lineOf(status)).toBe("GENERATING  1,480 nonces/s  43 found of 12,345 (1 in 287)  1:04");
  expect(lineOf(status, 39)).toBe("GENERATING  1,480 nonces/s  43 found");
  for (let width = 0; width < 80; width++) {
    expect(lineOf(status, width).length).toBeLessThanOrEqual(width);
  }
});
