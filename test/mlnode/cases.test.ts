/** A node answers the network's broker and its scripts as their cases say. */
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { startServer, temporaryFolder } from "../helpers.ts";
import { startReceiver } from "./receiver.ts";
import { type Case, Replay } from "./replay.ts";

const GOLDEN = fileURLToPath(
  new URL("../../packages/native/lib/selftest/golden/qwen3-tiny", import.meta.url),
);
const { cases } = JSON.parse(readFileSync(new URL("cases.json", import.meta.url), "utf8")) as {
  cases: Case[];
};

test("all cases, one after another", { timeout: 120_000 }, async () => {
  const folder = join(temporaryFolder(), "qwen3-tiny");
  cpSync(GOLDEN, folder, { recursive: true });
  const model = "Qwen/Qwen3-tiny";
  const node = await startServer({
    args: [folder, "--enable-poc", "--served-model-name", model, "--callback-interval", "50ms"],
  });
  const receiver = await startReceiver();
  const replay = new Replay({ url: node.url, model, seqLen: 16, receiver, cases });
  const wrong: string[] = [];
  for (const one of cases) {
    for (const each of await replay.play(one)) wrong.push(`${one.id}: ${each}`);
  }
  await node.stop();
  expect(wrong).toEqual([]);
  expect(cases).toHaveLength(78);
});
