/** A node that its broker has stopped begins and computes nothing, whoever asks, until it is to be up again. */
import { expect, test } from "vitest";
import { startServer, type TestNode } from "../helpers.ts";

const MODEL = "proofmill-demo";
const BLOCK = { block_hash: "abc123", block_height: 1, public_key: "02a1" };
const DISTANCES = { ...BLOCK, node_id: 0, node_count: 1, r_target: 1.4, seq_len: 16 };
const ARTIFACTS = { ...BLOCK, node_id: 0, node_count: 1, params: { model: MODEL, seq_len: 16 } };
const PROOF = { ...BLOCK, node_id: 0, nonces: [1], dist: [1.2] };
const CHAT = { model: MODEL, messages: [{ role: "user", content: "a" }], max_tokens: 1 };

/** What begins or computes something, by either protocol. */
const REFUSED: [path: string, body?: object][] = [
  ["/api/v1/pow/init", DISTANCES],
  ["/api/v1/pow/init/generate", DISTANCES],
  ["/api/v1/pow/init/validate", DISTANCES],
  ["/api/v1/pow/phase/generate"],
  ["/api/v1/pow/phase/validate"],
  ["/api/v1/pow/validate", PROOF],
  ["/api/v1/pow/init/generate", ARTIFACTS],
  ["/api/v1/pow/generate", { ...ARTIFACTS, nonces: [1], wait: true }],
];

test("commands of both protocols", async () => {
  const node = await startServer({ args: ["--enable-poc"] });
  expect((await node.post("/api/v1/pow/init/generate", DISTANCES)).status).toBe(200);
  expect((await node.post("/api/v1/stop")).status).toBe(200);
  expect(await status(node)).toMatchObject({ state: "STOPPED" });
  for (const [path, body] of REFUSED) {
    const refusal = await node.post(path, body);
    expect([path, refusal.status, await refusal.json()]).toMatchObject([
      ...[path, 503],
      { detail: "Engine not available" },
    ]);
  }
  expect((await node.post("/v1/chat/completions", CHAT)).status).toBe(503);
  expect(await status(node)).toMatchObject({ state: "STOPPED" });
  expect((await node.post("/api/v1/pow/stop")).status).toBe(200); // as ever

  const up = { model: MODEL, dtype: "auto", additional_args: [] };
  expect((await node.post("/api/v1/inference/up", up)).status).toBe(200);
  expect((await node.post("/v1/chat/completions", CHAT)).status).toBe(200);
  expect((await node.post("/api/v1/pow/phase/generate")).status).toBe(200);
  expect(await status(node)).toMatchObject({ state: "GENERATING" });
  expect(await node.stop()).toBe(0);
});

async function status(node: TestNode): Promise<unknown> {
  return (await node.get("/api/v1/pow/status")).json();
}

test("a name by which no round could call the model is refused, and the node stays stopped", async () => {
  const node = await startServer({ args: ["--enable-poc"] });
  expect((await node.post("/api/v1/stop")).status).toBe(200);
  const up = (name: string) =>
    node.post("/api/v1/inference/up", {
      ...{ model: MODEL, dtype: "auto" },
      additional_args: ["--served-model-name", name],
    });
  for (const [name, bytes] of [
    ["", 0],
    ["é".repeat(513), 1026],
  ] as const) {
    const refusal = await up(name);
    expect([refusal.status, await refusal.json()]).toEqual([
      400,
      { detail: `--served-model-name has ${bytes} bytes, expected 1 to 1024` },
    ]);
  }
  expect((await node.post("/v1/chat/completions", CHAT)).status).toBe(503);
  expect((await up("é".repeat(512))).status).toBe(200);
});
