/** The thread of `JsonThread`. */
import { parentPort } from "node:worker_threads";
import { type JsonTask, performJsonTask } from "./json-tasks.ts";

parentPort?.on("message", ({ task, bytes }: { task: JsonTask; bytes: Uint8Array }) => {
  parentPort?.postMessage(performJsonTask(task, bytes));
});
