/** A runner that holds too much is started again, and that is no failure: its round loses nothing. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Status } from "@proofmill/core";
import { expect, onTestFinished, test } from "vitest";
import { startNode } from "../node.ts";
import { parseConfig } from "../settings/read.ts";
import { startRunner } from "./process.ts";

const entry = new URL("./fake-child.mjs", import.meta.url);
const model = { directory: "greedy", dtype: "auto", device: "auto", maxMemory: 2 ** 27 } as const;
const ROUND = {
  ...{ block_hash: "hash1", block_height: 100, public_key: "node1", r_target: 2 },
  ...{ node_id: 0, node_count: 1, seq_len: 32 },
};

test("the search goes on at the right nonce, also where no failure is forgiven", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
  const config = {
    ...parseConfig(["--enable-poc", "--port", "0", "--runner-max-restarts", "0"]),
    ...{ dataDir, logLevel: "silent" as const },
  };
  const pids: number[] = [];
  let isThird = () => {};
  const third = new Promise<void>((resolve) => {
    isThird = resolve;
  });
  const node = await startNode(config, {
    async startRunner(_, signal) {
      const runner = await startRunner({ model, entry, signal });
      if (pids.push(runner.pid) === 3) isThird();
      return runner;
    },
  });
  onTestFinished(async () => void (await node.close()));
  await node.loaded;
  const call = async (path: string, body?: object): Promise<Status> => {
    const sent = body && {
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    };
    const method = body ? "POST" : "GET";
    return (await fetch(`${node.url}/api/v1/pow/${path}`, { method, ...sent })).json() as never;
  };
  await call("init/generate", ROUND);
  await third;
  const { total_checked: before } = await call("status");
  let status = await call("status");
  while (status.total_checked <= before) status = await call("status");
  expect(status.state).toBe("GENERATING");
  expect(status.valid_nonces).toEqual(Array.from({ length: status.total_checked }, (_, i) => i));
  expect(new Set(pids).size).toBe(pids.length);
}, 60_000);
