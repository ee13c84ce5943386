import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Watchdog } from "./watchdog.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test.each([
  ["what was never done before has five minutes", undefined, 300],
  ["what takes six seconds at most where all is well has a minute", 6000, 60],
  ["what is quick has half a minute all the same", 10, 30],
])("%s", (_, usual, seconds) => {
  const onHang = vi.fn();
  const watchdog = new Watchdog({ onHang });
  watchdog.watch(1, usual);
  vi.advanceTimersByTime(1000 * (seconds - 1));
  expect(onHang).not.toHaveBeenCalled();
  vi.advanceTimersByTime(3000);
  expect(onHang).toHaveBeenCalledOnce();
});

test("that it stands still is told once, and once that it goes on", () => {
  const onStall = vi.fn();
  const watchdog = new Watchdog({ onHang: vi.fn(), onStall });
  watchdog.watch(1, 10);
  vi.advanceTimersByTime(9000);
  expect(onStall.mock.calls).toEqual([]);
  vi.advanceTimersByTime(6000);
  expect(onStall.mock.calls).toEqual([[true]]);
  watchdog.progress();
  watchdog.progress();
  expect(onStall.mock.calls).toEqual([[true], [false]]);
});

test("a process that stands still itself sees what hangs, a little later", () => {
  const onHang = vi.fn();
  const watchdog = new Watchdog({ onHang });
  watchdog.watch(1, 10);
  const now = performance.now.bind(performance);
  let stood = 0;
  vi.spyOn(performance, "now").mockImplementation(() => now() + stood);
  for (let i = 0; i < 2; i++) {
    vi.advanceTimersByTime(10_000);
    stood += 3_600_000; // nothing of it runs for an hour
  }
  vi.advanceTimersByTime(9000);
  expect(onHang).not.toHaveBeenCalled();
  vi.advanceTimersByTime(5000);
  expect(onHang).toHaveBeenCalledOnce();
});
