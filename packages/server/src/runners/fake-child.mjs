// A runner's process without a model, for tests: the directory names what it does.
import { createFakeRunner } from "@proofmill/core/testing";
import { hostRunner } from "../../dist/runners/host.js";

hostRunner(async ({ directory }, { onNotice }) => {
  switch (directory) {
    case "broken":
      throw new Error("config.json: no such architecture");
    case "endless":
      onNotice("loading", "info"); // a sign that it is
      return new Promise(() => setInterval(() => {}, 1000));
    case "crashing":
      setTimeout(() => process.exit(7), 50);
      return new Promise(() => {});
  }
  const runner = createFakeRunner();
  if (!["ready", "talkative"].includes(directory)) runner.hold();
  if (directory === "stubborn") {
    runner.onCancel("ignore");
    runner.close = () => new Promise(() => {});
  }
  if (directory === "cuttable") runner.onCancel({ completed: 1 });
  if (directory === "lost") {
    runner.fail(Object.assign(new Error("illegal address on GPU 0"), { code: "DEVICE_LOST" }));
  }
  if (directory === "greedy") {
    const { run } = runner;
    const kept = [];
    runner.run = async (job) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      kept.push(Buffer.alloc(8 * 2 ** 20, 1));
      runner.release();
      return run.call(runner, job);
    };
  }
  if (directory === "talkative") onNotice("no GPU is used: there is none", "warn");
  if (directory === "faulty") runner.fail(new Error("seq_len must be at most 1024"));
  return { runner, warmUp: "" };
});
