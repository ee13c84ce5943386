import { expect, test } from "vitest";
import { milliseconds } from "./duration.ts";

test.each([
  ["500ms", 500],
  ["1.5s", 1500],
  [" 15m ", 900_000],
  ["24h", 86_400_000],
  ["10", null],
  ["-1s", null],
  ["s", null],
  ["1d", null],
  ["", null],
])("%j is %j milliseconds", (text, expected) => {
  expect(milliseconds(text)).toBe(expected);
});
