/** The thread of `JsonThread`. */
import { parentPort } from "node:worker_threads";
import { performJsonTask } from "./json-tasks.ts";
import type { JsonMessage } from "./json-thread.ts";

parentPort?.on("message", ({ task, bytes }: JsonMessage) => {
  parentPort?.postMessage(performJsonTask(task, bytes));
});
