import { expect, test } from "vitest";
import { Series } from "./series.ts";

const series = (at: number[], state = at.map(() => "GENERATING" as const)) => ({
  ...{ at, state, checked: at.map(() => 10), valid: at.map(() => 0) },
  rate_per_second: at.map(() => 10),
  generated_tokens: at.map(() => 3),
});

test("a point that comes again, dated a little otherwise, is there once", () => {
  const all = new Series({ most: 10, step: 1000 });
  all.add(series([1000, 2000, 3000]));
  all.add(series([2001, 3002, 4001]));
  expect(all.at).toEqual([1000, 2000, 3000, 4001]);
});

test("of too many the newest are kept", () => {
  const all = new Series({ most: 3, step: 1000 });
  all.add(series([1000, 2000, 3000, 4000, 5000]));
  expect([all.at, all.rate.length]).toEqual([[3000, 4000, 5000], 3]);
});

test("since when, and how fast", () => {
  const all = new Series({ most: 10, step: 1000 });
  all.add({
    ...series([1000, 2000, 3000, 4000]),
    state: ["IDLE", "IDLE", "GENERATING", "GENERATING"],
  });
  expect(all.stateSince("GENERATING")).toBe(2000);
  expect(all.stateSince("IDLE")).toBe(4000);
  expect(all.meanSince(2000)).toBe(10);
  expect(all.meanSince(0)).toBe(10);
  expect(all.meanSince(0, "tokens")).toBe(3);
  expect(all.meanSince(4000)).toBeNull();
  expect(all.meanOfNow("tokens")).toBe(3);
  const ended = new Series({ most: 20, step: 1000 });
  const times = Array.from({ length: 20 }, (_, i) => 1000 * (i + 1));
  ended.add({ ...series(times), checked: times.map((at) => (at <= 15_000 ? 10 : 0)) });
  expect(ended.meanOfNow()).toBe(5);
});

test("where the node was away the line has a gap", () => {
  const all = new Series({ most: 10, step: 1000 });
  all.add(series([1000, 2000, 9000]));
  expect(all.chart(0, 9000)).toEqual([
    [0, 1, 2, 3, 9],
    [null, 10, 10, null, 10],
  ]);
  expect(all.chart(9000, 12_000)).toEqual([
    [9, 12],
    [null, null],
  ]);
});
