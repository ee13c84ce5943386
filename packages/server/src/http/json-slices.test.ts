import { text } from "node:stream/consumers";
import { expect, test, vi } from "vitest";
import { isLong, jsonSlices } from "./json-slices.ts";

test("a long answer is the same JSON, and no long list is written at once", async () => {
  const list = Array.from({ length: 65_536 }, (_, i) => (i % 7 === 0 ? null : i / 3));
  const answer = {
    nonces: list,
    valid: [true],
    empty: [],
    n_invalid: 3,
    dist: list.slice(0, 8193),
  };
  const expected = JSON.stringify(answer);
  const stringify = vi.spyOn(JSON, "stringify");
  const written = await text(jsonSlices(answer));
  const longest = Math.max(...stringify.mock.calls.map(([value]) => [value].flat().length));
  stringify.mockRestore();
  expect(written).toBe(expected);
  expect(longest).toBe(8192);
  expect(isLong(answer)).toBe(true);
  expect(isLong({ nonces: list.slice(0, 8192) })).toBe(false);
});
