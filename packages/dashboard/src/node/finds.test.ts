import { expect, test } from "vitest";
import { Finds } from "./finds.ts";

const ROUND = {
  ...{ type: "round" as const, round_id: "A", block_hash: "h", block_height: 1, r_target: 1 },
};
const event = (from: number, many: number, round_id = "A") => ({
  ...{ type: "nonces" as const, round_id, block_hash: "h", from },
  nonces: Array.from({ length: many }, (_, i) => 10 * (from + i)),
  distances: Array.from({ length: many }, (_, i) => (from + i) / 10),
});

test("what comes twice is there once", () => {
  const finds = new Finds();
  finds.begin(ROUND);
  finds.add(event(0, 3));
  finds.begin(ROUND);
  finds.add(event(0, 3));
  finds.add(event(2, 3));
  expect(finds.newest(100)).toEqual({
    nonces: [0, 10, 20, 30, 40],
    distances: [0, 0.1, 0.2, 0.3, 0.4],
  });
});

test("another round begins with none, and the old one's finds come too late", () => {
  const finds = new Finds();
  finds.begin(ROUND);
  finds.add(event(0, 3));
  finds.begin({ ...ROUND, round_id: "B" });
  expect(finds.total.value).toBe(0);
  finds.add(event(3, 1));
  expect(finds.total.value).toBe(0);
});

test("of too many the newest are kept", () => {
  const finds = new Finds(3000);
  finds.begin(ROUND);
  for (let from = 0; from < 10_000; from += 700) finds.add(event(from, 700));
  const total = finds.total.value;
  expect(finds.first).toBe(total - 3000);
  const { nonces } = finds.newest(1e9);
  expect(nonces).toEqual(Array.from({ length: 3000 }, (_, i) => 10 * (total - 3000 + i)));
});

test("those before the first that came are not made up", () => {
  const finds = new Finds();
  finds.begin(ROUND);
  finds.add(event(5000, 2));
  expect([finds.first, finds.total.value]).toEqual([5000, 5002]);
  expect(finds.newest(10).nonces).toEqual([50_000, 50_010]);
});
