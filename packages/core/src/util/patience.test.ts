import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, expect, it, vi } from "vitest";
import { Patience } from "./patience.ts";

afterEach(() => void vi.useRealTimers());

/** Like a process that is stopped: nothing of it runs, and time passes. */
const standStill = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

it("does not end with a standstill, however long that was", async () => {
  const end = vi.fn();
  const patience = new Patience(500, end);
  for (let i = 0; i < 3; i++) {
    standStill(600);
    await nextTurn(); // what is late comes now, timers first
    await nextTurn();
  }
  expect(end).not.toHaveBeenCalled();
  patience.stop();
});

it("ends once after its time, which begins anew when it is renewed, and not once it is stopped", () => {
  vi.useFakeTimers();
  const end = vi.fn();
  const patience = new Patience(1000, end);
  vi.advanceTimersByTime(900);
  patience.renew();
  vi.advanceTimersByTime(999);
  expect(end).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(end).toHaveBeenCalledTimes(1);
  patience.renew();
  vi.advanceTimersByTime(5000);
  expect(end).toHaveBeenCalledTimes(1);

  const stopped = new Patience(1000, end);
  stopped.stop();
  stopped.renew();
  vi.advanceTimersByTime(5000);
  expect(end).toHaveBeenCalledTimes(1);
});
