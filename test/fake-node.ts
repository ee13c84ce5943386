/** A whole node in this process whose runner only pretends: sockets, store and callbacks are real. */
import { createFakeRunner, type FakeRunner, type FakeRunnerOptions } from "@proofmill/core/testing";
import { parseConfig, type RunningNode, type ServeConfig, startNode } from "@proofmill/server";
import { onTestFinished } from "vitest";
import { temporaryFolder } from "./helpers.ts";

/** The body of an init; a quarter of the nonces of a fake runner are valid. */
export const INIT = {
  ...{ block_hash: "hash1", block_height: 100, public_key: "node1", r_target: 0.5 },
  ...{ node_id: 0, node_count: 1 },
};
/** Another key's proof for the same block. */
export const PROOF = {
  ...{ public_key: "node2", block_hash: "hash1", block_height: 100 },
  ...{ nonces: [0, 1, 2], dist: [0.3, 0.4, 0.6], node_id: 0 },
};

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
    hasComputed: true,
    isStalled: false,
    onStall: () => {},
    memory: null,
    ended: new Promise<never>(() => {}),
  });
  const node = await startNode(config, { startRunner: async () => runner });
  await node.loaded;
  onTestFinished(async () => {
    await node.close();
  });
  return { ...node, runner, config };
}
