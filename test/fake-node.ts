/** A whole node in this process whose runner only pretends: sockets, store and callbacks are real. */
import { createFakeRunner, type FakeRunner, type FakeRunnerOptions } from "@proofmill/core/testing";
import { parseConfig, type RunningNode, type ServeConfig, startNode } from "@proofmill/server";
import { onTestFinished } from "vitest";
import { temporaryFolder } from "./helpers.ts";

export interface FakeNode extends RunningNode {
  readonly runner: FakeRunner;
  readonly config: ServeConfig;
}

export interface FakeNodeOptions extends Partial<ServeConfig> {
  fake?: FakeRunnerOptions;
}

/** Starts one that ends with the test. */
export async function startFakeNode(options: FakeNodeOptions = {}): Promise<FakeNode> {
  const { fake = {}, ...changes } = options;
  const config: ServeConfig = {
    ...parseConfig([]),
    enablePoc: true,
    port: 0,
    logLevel: "silent",
    dataDir: temporaryFolder(),
    callbackInterval: 20,
    ...changes,
  };
  const runner = Object.assign(createFakeRunner(fake), {
    pid: process.pid,
    ended: new Promise<never>(() => {}),
  });
  const node = await startNode(config, { startRunner: async () => runner });
  await node.loaded;
  onTestFinished(async () => {
    await node.close();
  });
  return { ...node, runner, config };
}
