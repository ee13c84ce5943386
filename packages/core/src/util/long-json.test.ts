import { expect, onTestFinished, test, vi } from "vitest";
import { itemsJson, objectJson } from "./long-json.ts";

test.each([
  {},
  { text: 'a"b', none: undefined, null: null, yes: true, number: 1.5, wrong: Number.NaN },
  { empty: [], list: [1, "a", null, { b: [2] }], nested: { list: [[1], { c: undefined }], d: {} } },
])("%j is written as JSON.stringify writes it", async (value) => {
  expect(await objectJson(value)).toBe(JSON.stringify(value));
});

test.each([4095, 4096, 4097, 20_000])("%i items are written a slice at a time", async (length) => {
  const list = Array.from({ length }, (_, i) => ({ nonce: i, vector_b64: `v${i}` }));
  const whole = JSON.stringify({ one: { list } });
  const stringify = vi.spyOn(JSON, "stringify");
  onTestFinished(() => void stringify.mockRestore());
  let turns = 0;
  const count = () => {
    turns++;
    immediate = setImmediate(count);
  };
  let immediate = setImmediate(count);
  const written = await objectJson({ one: { list } });
  clearImmediate(immediate);
  expect(written).toBe(whole);
  const lengths = stringify.mock.calls.map(([value]) => (Array.isArray(value) ? value.length : 0));
  expect(Math.max(...lengths)).toBeLessThanOrEqual(4096);
  expect(turns).toBeGreaterThanOrEqual(Math.ceil(length / 4096) - 1);
});

test("items may be made as they are asked for", async () => {
  const squares = {
    length: 5000,
    slice: (start: number, end: number) =>
      Array.from({ length: Math.min(end, 5000) - start }, (_, i) => (start + i) ** 2),
  };
  const all = Array.from({ length: 5000 }, (_, i) => i ** 2);
  expect(`[${await itemsJson(squares)}]`).toBe(JSON.stringify(all));
});
