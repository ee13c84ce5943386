import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeRandomModel } from "@proofmill/native/model/random-model";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { gitHash, sha256, startTestHub } from "../../packages/server/src/models/test-support.ts";
import { poll, runCli, startServer, temporaryFolder } from "../helpers.ts";

const NAME = "Org/Tiny";
const CONFIG = {
  architectures: ["Qwen3ForCausalLM"],
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 32,
  intermediate_size: 128,
  vocab_size: 2048,
  max_position_embeddings: 512,
  tie_word_embeddings: true,
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  hidden_act: "silu",
};

const files: Record<string, Buffer> = {};

beforeAll(async () => {
  const directory = temporaryFolder();
  await writeRandomModel({ directory, config: CONFIG, seed: 1, maxShardBytes: 150_000 });
  for (const name of readdirSync(directory)) files[name] = readFileSync(join(directory, name));
  files["tokenizer.json"] = Buffer.from("{}");
});

async function startHub() {
  const hub = await startTestHub({ name: NAME, files });
  onTestFinished(() => hub.close());
  const HF_HOME = temporaryFolder();
  const env = {
    HF_ENDPOINT: hub.url,
    HF_HOME,
    HF_HUB_OFFLINE: "",
    HF_TOKEN: "",
    HF_HUB_CACHE: join(HF_HOME, "hub"),
  };
  return { hub, env, folder: join(HF_HOME, "hub", "models--Org--Tiny") };
}

test("a model by name: downloaded through a kill -9, then served from the cache", async () => {
  const { hub, env, folder } = await startHub();
  const blobs = join(folder, "blobs");
  hub.faults.holdAfter = 100_000;
  const first = await startServer({ args: [NAME, "--enable-poc"], env, until: "listening" });
  await hub.held;
  // It listens while it downloads, and says so.
  expect((await first.post("/api/v1/pow/stop")).status).toBe(200);
  const loading = await first.post("/api/v1/pow/phase/generate");
  expect([loading.status, await loading.json()]).toEqual([503, { detail: "Model is loading" }]);
  const [incomplete] = await poll(
    () => readdirSync(blobs).filter((name) => name.endsWith(".incomplete")),
    ([name]) => name !== undefined && statSync(join(blobs, name)).size === 100_000,
  );
  first.process.kill("SIGKILL");
  expect(await first.exited).toBe("SIGKILL");

  hub.faults.holdAfter = Number.POSITIVE_INFINITY;
  const before = hub.requests.length;
  const second = await startServer({ args: [NAME, "--enable-poc"], env });
  expect(hub.requests.slice(before).map(({ range }) => range)).toContain("bytes=100000-");
  expect(readdirSync(blobs)).not.toContain(incomplete);
  for (const name of readdirSync(blobs)) {
    const content = readFileSync(join(blobs, name));
    expect(name.length === 64 ? sha256(content) : gitHash(content)).toBe(name);
  }
  expect(readdirSync(blobs)).toHaveLength(Object.keys(files).length);
  const models = (await (await second.get("/v1/models")).json()) as { data: object[] };
  expect(models.data[0]).toMatchObject({ id: NAME, max_model_len: 512 });
  await second.stop();

  const asked = hub.requests.length;
  const third = await startServer({ args: [NAME], env: { ...env, HF_HUB_OFFLINE: "1" } });
  await third.stop();
  expect(hub.requests).toHaveLength(asked);
});

test("a stop while it downloads is an orderly end", async () => {
  const { hub, env } = await startHub();
  hub.faults.holdAfter = 100_000;
  const node = await startServer({ args: [NAME], env, until: "listening" });
  await hub.held;
  expect(await node.stop()).toBe(0);
});

test("what cannot be had is one line, and says what to do", async () => {
  const { hub, env } = await startHub();
  const offline = await runCli(["serve", NAME], { ...env, HF_HUB_OFFLINE: "1" });
  expect([offline.code, offline.stderr]).toEqual([
    2,
    `proofmill: there is no directory ${NAME}, and the model of that name (revision main) is not ` +
      `in the cache ${env.HF_HUB_CACHE}; unset HF_HUB_OFFLINE to download it\n`,
  ]);
  hub.faults.refuse = { status: 403, code: "GatedRepo" };
  const gated = await runCli(["serve", NAME, "--port", "0"], env);
  expect([gated.code, gated.stderr]).toEqual([
    1,
    `proofmill: the model could not be loaded: ${NAME} is gated: accept its terms at ` +
      `${hub.url}/${NAME}, then set HF_TOKEN to a token that may read it\n`,
  ]);
  hub.faults.refuse = null;
  const long = await runCli(["serve", NAME, "--port", "0", "--poc-seq-len", "513"], env);
  expect(long.stderr).toContain("--poc-seq-len 513 is more than the model's context of 512");
  expect(hub.requests.some(({ path }) => path.startsWith("/cdn/"))).toBe(false);
});

test("a directory whose layers slide and whose config.json holds an unknown key", async () => {
  const directory = temporaryFolder();
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(directory, name), content);
  const keys = { sliding_window: 64, use_sliding_window: true, max_window_layers: 1, wobble: 1 };
  const path = join(directory, "config.json");
  writeFileSync(path, JSON.stringify({ ...CONFIG, ...keys }));
  const args = [directory, "--enable-poc", "--poc-seq-len", "64"];
  const node = await startServer({ args });
  onTestFinished(() => void node.process.kill("SIGKILL"));
  const info = await node.log(
    `${path}: sliding_window is 64: the context is 64 tokens instead of 512, so that every layer sees every position`,
  );
  const warning = await node.log(
    `${path}: nothing is known of "wobble", and nothing is made of it: if one of these changes the model's numbers, its distances are wrong`,
  );
  expect([info.level, warning.level]).toEqual([30, 40]);
  const models = (await (await node.get("/v1/models")).json()) as { data: object[] };
  expect(models.data[0]).toMatchObject({ max_model_len: 64 });
  const round = { block_hash: "a", block_height: 1, public_key: "k", r_target: 1 };
  expect((await node.post("/api/v1/pow/init", { ...round, seq_len: 65 })).status).toBe(422);
  expect((await node.post("/api/v1/pow/init", { ...round, seq_len: 64 })).status).toBe(200);
  expect(await node.stop()).toBe(0);
});

test("a config.json that is a pipe ends the start at once", async () => {
  const directory = temporaryFolder();
  execFileSync("mkfifo", [join(directory, "config.json")]);
  expect(await runCli(["serve", directory])).toMatchObject({
    code: 2,
    stderr: `proofmill: ${join(directory, "config.json")}: is a pipe, expected a regular file\n`,
  });
});

test("cached files that are cut, or have another content, are downloaded again", async () => {
  const { hub, env, folder } = await startHub();
  const args = [NAME, "--data-dir", temporaryFolder()];
  const first = await startServer({ args, env });
  await first.stop();
  const blobs = join(folder, "blobs");
  const names = readdirSync(blobs).filter((name) => name.length === 64);
  const [cut, changed] = names.map((name) => join(blobs, name)) as [string, string];
  const [right, other] = [readFileSync(cut), readFileSync(changed)];
  writeFileSync(cut, right.subarray(0, 1000));
  writeFileSync(
    changed,
    other.map((byte) => ~byte),
  );

  const offline = await runCli(["serve", ...args, "--port", "0"], { ...env, HF_HUB_OFFLINE: "1" });
  expect([offline.code, offline.stderr]).toEqual([
    1,
    expect.stringMatching(
      /^proofmill: .* is damaged in the cache \(.+\); unset HF_HUB_OFFLINE .*\n$/,
    ),
  ]);
  const before = hub.requests.length;
  const second = await startServer({ args, env });
  expect(hub.requests.slice(before).map(({ range }) => range)).toContain("bytes=1000-");
  expect([readFileSync(cut).equals(right), readFileSync(changed).equals(other)]).toEqual([
    true,
    true,
  ]);
  await second.stop();
});
