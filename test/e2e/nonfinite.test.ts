/** A model with weights that are not finite: nothing is found with it, and the node says so. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createPocClient } from "@proofmill/client";
import { expect, onTestFinished, test } from "vitest";
import { poll, startServer, temporaryFolder } from "../helpers.ts";

const GOLDEN = fileURLToPath(
  new URL("../../packages/native/lib/selftest/golden/qwen3-tiny", import.meta.url),
);
const NAN = 0x7fc0;

test("NaN in one layer: nonces are counted as not finite, none is valid, the process lives", async () => {
  const directory = join(temporaryFolder(), "spoilt");
  cpSync(GOLDEN, directory, { recursive: true });
  const file = join(directory, "model.safetensors");
  const bytes = readFileSync(file);
  const headerBytes = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + headerBytes));
  const [begin] = header["model.layers.1.mlp.up_proj.weight"].data_offsets;
  bytes.writeUInt16LE(NAN, 8 + headerBytes + begin);
  writeFileSync(file, bytes);

  const node = await startServer({ args: [directory, "--enable-poc"] });
  onTestFinished(() => void node.process.kill("SIGKILL"));
  const client = createPocClient({ url: node.url, retries: 0 });
  await client.initGenerate({
    ...{ block_hash: "abc123", block_height: 100, public_key: "node1", r_target: 2 },
    ...{ node_id: 0, node_count: 1, seq_len: 32 },
  });
  await poll(
    () => client.status({ limit: 1 }),
    ({ total_checked }) => total_checked >= 64,
  );
  await client.stop();
  const { total_checked, total_nonfinite, total_valid, valid_nonces } = await client.status();
  expect([total_nonfinite, total_valid, valid_nonces]).toEqual([total_checked, 0, []]);
  expect(node.logged("results are not finite").length).toBeGreaterThan(0);
  const [runner] = (await client.nodeInfo()).runners;
  expect(runner).toMatchObject({ state: "alive", restarts: 0 });
  expect(await node.stop()).toBe(0);
});
