import { expect, test } from "vitest";
import { rateOf } from "./report.ts";

test("rates are written without powers of ten", () => {
  expect([0, 0.01234, 57.31, 999.4, 1058.9, 12_345].map(rateOf)).toEqual(
    ["0", "0.0123", "57.3", "999", "1059", "12350"].map((rate) => `${rate} nonces/s`),
  );
});
