import { setTimeout as sleep } from "node:timers/promises";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, onTestFinished, test } from "vitest";
import { keepHeapSmall } from "./heap.ts";

const megabytes = () => getHeapStatistics().used_heap_size / 1e6;

test("what a burst has left is collected, though nobody wants more", async () => {
  onTestFinished(keepHeapSmall(50));
  const before = megabytes();
  let burst: number[][] | null = Array.from({ length: 100_000 }, () => Array(200).fill(0.5));
  expect(burst.length).toBe(100_000);
  // V8 has just seen that all of it is in use, and would wait until there is twice as much.
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  expect(megabytes()).toBeGreaterThan(before + 150);
  burst = null;
  while (megabytes() > before + 60) await sleep(20);
});
