/**
 * The runner's process: the only place that loads native code. It lives as long as its parent's
 * channel: when the parent closes it, or is gone by whatever death, it ends.
 */
import type { ModelRunner } from "@proofmill/core";
import type { FromRunner, LoadOptions, ToRunner } from "./messages.ts";

// A terminal sends these to the whole group; the parent decides when this process ends.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
process.on("disconnect", () => process.exit(0));

let runner: ModelRunner | null = null;

process.on("message", (message: ToRunner) => {
  switch (message.type) {
    case "load":
      void load(message.options);
      break;
    case "run":
      void run(message.job);
      break;
    case "cancel":
      runner?.cancel(message.id);
      break;
    case "close":
      void close();
      break;
  }
});

function send(message: FromRunner): void {
  // A parent that is gone is noticed by "disconnect"; a failed send says nothing more.
  process.send?.(message, undefined, undefined, () => {});
}

async function load(options: LoadOptions): Promise<void> {
  try {
    const { loadModel } = await import("@proofmill/native");
    runner = await loadModel(options);
    runner.onProgress((layersDone) => send({ type: "progress", layersDone }));
    send({ type: "ready", info: runner.info });
  } catch (error) {
    send({ type: "load_failed", message: textOf(error) });
  }
}

async function run(job: Parameters<ModelRunner["run"]>[0]): Promise<void> {
  try {
    if (!runner) throw new Error("the model is not loaded");
    send({ type: "result", id: job.id, result: await runner.run(job) });
  } catch (error) {
    send({ type: "job_failed", id: job.id, message: textOf(error) });
  }
}

async function close(): Promise<void> {
  await runner?.close();
  process.disconnect();
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
