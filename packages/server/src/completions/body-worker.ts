/** The thread of `BodyReader`. */
import { parentPort } from "node:worker_threads";
import type { BodyTask } from "./body-reader.ts";
import { checkBody } from "./requests.ts";

parentPort?.on("message", ({ name, bytes, contentType }: BodyTask) => {
  parentPort?.postMessage(checkBody(name, bytes, contentType));
});
