/** The thread of a text model. */
import { parentPort, workerData } from "node:worker_threads";
import { type TextTask, TextTasks } from "./text-tasks.ts";

const tasks = new TextTasks(workerData);
parentPort?.on("message", (task: TextTask) => {
  const reply = tasks.perform(task);
  parentPort?.postMessage(reply, TextTasks.given(reply));
});
