import type { HistorySeries, NodeHistory, RoundState } from "@proofmill/core";
import { expect, test, vi } from "vitest";
import { INIT_GENERATE, testServer } from "../test-support.ts";
import { History } from "./history.ts";

/** A history under a clock of its own. */
function clocked() {
  const at = { ms: 5000, state: "GENERATING" as RoundState };
  const history = new History({ state: () => at.state, now: () => at.ms });
  return {
    at,
    history,
    /** So many nonces are counted, then so much time is over. */
    second(checked: number, valid = 0, ms = 1000) {
      history.searched({ checked, valid, nonfinite: 0 });
      history.generated(2 * checked);
      at.ms += ms;
      history.tick();
    },
  };
}

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
const lengths = (series: HistorySeries) => Object.values(series).map(({ length }) => length);

test("a point for each second, with what was counted in it, and one for every ten", () => {
  const { history, second, at } = clocked();
  expect(lengths(history.read().ten_minutes)).toEqual([0, 0, 0, 0, 0, 0]);
  for (let i = 0; i < 9; i++) second(i, i % 2);
  // The node was busy: the point is about more time, and its rate is right.
  at.state = "STOPPED";
  second(100, 3, 4000);
  const now = Date.now();
  const { ten_minutes, day } = history.read();
  expect(ten_minutes.checked).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 100]);
  expect(ten_minutes.valid).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 0, 3]);
  expect(ten_minutes.generated_tokens).toEqual(ten_minutes.checked.map((each) => 2 * each));
  expect(ten_minutes.rate_per_second).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 25]);
  expect(ten_minutes.state).toEqual([...Array(9).fill("GENERATING"), "STOPPED"]);
  const ages = ten_minutes.at.map((end) => Math.round((now - end) / 100) / 10);
  expect(ages).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 0]);
  expect(day).toMatchObject({
    checked: [136],
    generated_tokens: [272],
    valid: [7],
    state: ["STOPPED"],
  });
  expect(day.rate_per_second).toEqual([10.462]); // in 13 seconds
  expect(history.read(5).ten_minutes.checked).toEqual([8, 100]);
  expect(lengths(history.read(1000).ten_minutes)).toEqual(Array(6).fill(10));
});

test("no more than ten minutes and a day are kept, however long it goes on", () => {
  const { history, second } = clocked();
  const seconds = 26 * 60 * 60;
  for (let i = 1; i <= seconds; i++) second(i);
  const { ten_minutes, day } = history.read();
  expect(new Set(lengths(ten_minutes))).toEqual(new Set([600]));
  expect(new Set(lengths(day))).toEqual(new Set([8640]));
  expect(ten_minutes.checked[0]).toBe(seconds - 599);
  expect(ten_minutes.checked.at(-1)).toBe(seconds);
  expect(sum(day.checked)).toBe((86_400 * (2 * seconds - 86_399)) / 2);
  expect(day.at).toEqual(day.at.toSorted((a, b) => a - b));
});

test("a clock that is set moves all points together", () => {
  const { history, second } = clocked();
  for (let i = 0; i < 3; i++) second(1);
  const before = history.read().ten_minutes.at;
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 3_600_000 });
  const after = history.read().ten_minutes.at;
  vi.useRealTimers();
  const steps = after.map((at, i) => Math.round((at - (before[i] ?? 0)) / 1000));
  expect(steps).toEqual([3600, 3600, 3600]);
});

test("the points of a search are what it counted, at each door", async () => {
  const { service, history, get, post } = await testServer({ distance: () => 0.4 });
  await post("/init/generate", INIT_GENERATE);
  await vi.waitUntil(() => service.status({ limit: 1 }).total_checked > 100);
  history.tick();
  await post("/stop");
  history.tick();
  const { total_checked, total_valid } = service.status();
  const answer = (await get("/api/v1/node/history")).json() as NodeHistory;
  expect(sum(answer.ten_minutes.checked)).toBe(total_checked);
  expect(sum(answer.ten_minutes.valid)).toBe(total_valid);
  expect(answer.ten_minutes.state.slice(-2)).toEqual(["GENERATING", "STOPPED"]);
  const { result } = (await get("/trpc/node.history")).json();
  expect(result.data.ten_minutes.checked).toEqual(answer.ten_minutes.checked);
});

test("where PoC is off nothing is kept", async () => {
  const { get } = await testServer({ enabled: false });
  const { ten_minutes, day } = (await get("/api/v1/node/history")).json() as NodeHistory;
  expect([...lengths(ten_minutes), ...lengths(day)]).toEqual(Array(12).fill(0));
});
