import { expect, test } from "vitest";
import { jsonOf, rateOf } from "./report.ts";

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
