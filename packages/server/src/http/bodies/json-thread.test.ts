import { expect, onTestFinished, test } from "vitest";
import type { JsonTask } from "./json-tasks.ts";
import { JsonThread } from "./json-thread.ts";

const TEXT_MS = 60;

const TASK: JsonTask = {
  door: "rest",
  schema: "ProofBatch",
  contentType: "application/json",
  limits: { defaults: { seq_len: 1, batch_size: 1 } },
  mark: "",
};

/** A thread for which every text is hard. */
const slow = new URL(
  `data:text/javascript,${encodeURIComponent(`
    import { parentPort } from "node:worker_threads";
    parentPort.on("message", () => {
      const end = performance.now() + ${TEXT_MS};
      while (performance.now() < end);
      parentPort.postMessage({});
    });`)}`,
);

test("between hard texts the thread rests as long as they took", async () => {
  const thread = new JsonThread({ maxWaiting: 2 ** 20, maxText: 2 ** 20, entry: slow });
  onTestFinished(() => thread.close());
  const parsed = () => thread.perform(TASK, new Uint8Array(8)).then(() => performance.now());
  const ends = await Promise.all([parsed(), parsed(), parsed()]);
  const gaps = ends.slice(1).map((end, i) => end - (ends[i] ?? 0));
  for (const gap of gaps) expect(gap).toBeGreaterThanOrEqual(2 * TEXT_MS - 2);
});
