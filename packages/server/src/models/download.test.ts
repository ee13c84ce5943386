import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeRandomModel } from "@proofmill/native/model/random-model";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { ModelCache } from "./cache.ts";
import { BlobChecks } from "./checks.ts";
import { type DownloadOptions, downloadModel } from "./download.ts";
import type { HubModel } from "./locate.ts";
import {
  COMMIT,
  gitHash,
  sha256,
  startTestHub,
  type TestHub,
  type TestHubOptions,
} from "./test-support.ts";

const NAME = "Org/Model-1";
const TINY = {
  architectures: ["Qwen3ForCausalLM"],
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  head_dim: 16,
  intermediate_size: 64,
  vocab_size: 64,
  max_position_embeddings: 512,
  tie_word_embeddings: true,
  rms_norm_eps: 1e-6,
};
const weights = randomBytes(1_000_003);
const FILES = {
  "config.json": Buffer.from('{"max_position_embeddings": 512}'),
  "tokenizer.json": Buffer.from("{}"),
  "generation_config.json": Buffer.from(""),
  "model.safetensors": weights,
  "pytorch_model.bin": randomBytes(10),
  "README.md": Buffer.from("# Model"),
};

let folder: string;
let warnings: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  warnings = [];
  onTestFinished(() => rmSync(folder, { recursive: true }));
});

async function startHub(options: Partial<TestHubOptions> = {}): Promise<TestHub> {
  const hub = await startTestHub({ name: NAME, files: FILES, ...options });
  onTestFinished(() => hub.close());
  return hub;
}

function modelAt(
  endpoint: string,
  more: Partial<HubModel["hub"] & { revision: string }> = {},
): HubModel {
  const { revision = "main", ...hub } = more;
  return {
    name: NAME,
    revision,
    hub: { endpoint, cacheFolder: folder, token: null, offline: false, proxy: null, ...hub },
  };
}

function download(model: HubModel, options: Partial<DownloadOptions> = {}): Promise<string> {
  return downloadModel(model, {
    signal: new AbortController().signal,
    log: { info: () => {}, warn: (text) => warnings.push(text) },
    terminal: { write: () => {} },
    pauseMs: 1,
    ...options,
  });
}

const cache = () => new ModelCache(folder, NAME);
const incomplete = () => `${cache().blob(sha256(weights))}.incomplete`;

test("only the files needed, as the Python tools lay them", async () => {
  const hub = await startHub();
  const directory = await download(modelAt(hub.url));
  expect(directory).toBe(join(folder, "models--Org--Model-1", "snapshots", COMMIT));
  const needed = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"];
  expect(readdirSync(directory).sort()).toEqual(needed);
  for (const name of needed) {
    const content = FILES[name as keyof typeof FILES];
    const hash = name === "model.safetensors" ? sha256(content) : gitHash(content);
    expect(readlinkSync(join(directory, name))).toBe(join("..", "..", "blobs", hash));
    expect(readFileSync(join(directory, name)).equals(content)).toBe(true);
  }
  const ref = join(folder, "models--Org--Model-1", "refs", "main");
  expect(readFileSync(ref, "utf8")).toBe(COMMIT);
  expect(readdirSync(join(folder, "models--Org--Model-1", "blobs"))).toHaveLength(needed.length);
  expect(cache().find("main")).toBe(directory);
  expect(cache().find(COMMIT)).toBe(directory);
  expect(cache().find("v1")).toBeNull();
});

test("the shards that the index names, and no other safetensors", async () => {
  const shards = {
    "model-00001-of-00002.safetensors": randomBytes(1000),
    "model-00002-of-00002.safetensors": randomBytes(2000),
  };
  const weight_map = Object.fromEntries(Object.keys(shards).map((name, i) => [`t${i}`, name]));
  const hub = await startHub({
    files: {
      "config.json": FILES["config.json"],
      "model.safetensors.index.json": Buffer.from(JSON.stringify({ weight_map })),
      "consolidated.safetensors": randomBytes(3000),
      ...shards,
    },
  });
  const directory = await download(modelAt(hub.url));
  expect(readdirSync(directory).sort()).toEqual(
    ["config.json", "model.safetensors.index.json", ...Object.keys(shards)].sort(),
  );
  rmSync(join(directory, "model-00002-of-00002.safetensors"));
  expect(cache().find("main")).toBeNull();
});

test("numbered shards without an index, all or none", async () => {
  const shard = (n: number) => `model-0000${n}-of-00002.safetensors`;
  const files = { "config.json": FILES["config.json"], [shard(1)]: randomBytes(1000) };
  const half = await startHub({ files });
  await expect(download(modelAt(half.url))).rejects.toThrow(
    `${NAME}: its numbered files are not complete: there is no ${shard(2)}`,
  );
  const whole = await startHub({ files: { ...files, [shard(2)]: randomBytes(2000) } });
  const directory = await download(modelAt(whole.url));
  expect(readdirSync(directory).sort()).toEqual(["config.json", shard(1), shard(2)]);
  expect(cache().find("main")).toBe(directory);
  rmSync(join(directory, shard(2)));
  expect(cache().find("main")).toBeNull();
});

test("no config.json that nobody would read", async () => {
  const files = { ...FILES, "config.json": Buffer.alloc(10_000_001, " ") };
  const hub = await startHub({ files });
  await expect(download(modelAt(hub.url))).rejects.toThrow(
    "config.json has 10000001 bytes on the hub, expected at most 10000000",
  );
  expect(hub.requests.some(({ path }) => path.includes("/resolve/"))).toBe(false);
});

test("no shard that holds only what the model does not need", async () => {
  const config = JSON.stringify(TINY);
  const made = join(folder, "made");
  await writeRandomModel({ directory: made, config: TINY, seed: 1, maxShardBytes: 10_000 });
  const files: Record<string, Buffer> = { "config.json": Buffer.from(config) };
  for (const name of readdirSync(made)) files[name] = readFileSync(join(made, name));
  const needed = Object.keys(files);
  expect(needed.length).toBeGreaterThan(3);
  const index = JSON.parse(String(files["model.safetensors.index.json"]));
  index.weight_map["visual.patch"] = "visual.safetensors";
  index.weight_map["gone.patch"] = "gone.safetensors";
  files["model.safetensors.index.json"] = Buffer.from(JSON.stringify(index));
  files["visual.safetensors"] = randomBytes(3000);
  const hub = await startHub({ files });
  const directory = await download(modelAt(hub.url));
  expect(readdirSync(directory).sort()).toEqual(needed.sort());
  expect(cache().find("main")).toBe(directory);
});

test.each([["../../x.safetensors"], ["a/b.safetensors"], ["model.bin"], ["gone.safetensors"], [7]])(
  "an index that names %j is refused",
  async (shard) => {
    const index = Buffer.from(JSON.stringify({ weight_map: { t: shard } }));
    const hub = await startHub({
      files: { "config.json": FILES["config.json"], "model.safetensors.index.json": index },
    });
    await expect(download(modelAt(hub.url))).rejects.toThrow("does not name files of this model");
  },
);

test("the token goes to the hub and not to where it redirects", async () => {
  const hub = await startHub();
  hub.faults.token = "secret";
  await download(modelAt(hub.url, { token: "secret" }));
  const fromCdn = hub.requests.filter(({ path }) => path.startsWith("/cdn/"));
  expect(fromCdn).toHaveLength(1);
  for (const request of hub.requests) {
    expect(request.authorization).toBe(fromCdn.includes(request) ? null : "Bearer secret");
  }
});

test("a connection that breaks is taken up where it broke", async () => {
  const hub = await startHub();
  hub.faults.breakAfter = 300_000;
  const directory = await download(modelAt(hub.url));
  expect(readFileSync(join(directory, "model.safetensors")).equals(weights)).toBe(true);
  const ranges = hub.requests
    .filter(({ path }) => path.startsWith("/cdn/"))
    .map(({ range }) => Number(range?.match(/\d+/)?.[0]));
  expect(ranges[0]).toBe(0);
  expect(ranges.length).toBeGreaterThanOrEqual(4);
  expect(ranges).toEqual(ranges.toSorted((a, b) => a - b));
  expect(warnings.length).toBe(ranges.length - 1);
});

test("a connection that never brings anything is given up, and what was there is kept", async () => {
  const hub = await startHub();
  mkdirSync(join(cache().folder, "blobs"), { recursive: true });
  writeFileSync(incomplete(), weights.subarray(0, 5000));
  hub.faults.breakAfter = 0;
  await expect(download(modelAt(hub.url))).rejects.toThrow(
    /^Org\/Model-1 could not be downloaded: .* broke off .*; check the network and HF_ENDPOINT and try again/,
  );
  expect(readFileSync(incomplete()).equals(weights.subarray(0, 5000))).toBe(true);
  expect(warnings).toHaveLength(4);
});

test.each([
  ["the beginning", weights.subarray(0, 400_000), 400_000],
  ["all of it", weights, null],
  ["a file with a hole", Buffer.concat([Buffer.alloc(9), weights.subarray(9, 400_000)]), 0],
  ["more than there is", Buffer.alloc(2_000_000), 0],
])("an earlier attempt left %s", async (_name, content, from) => {
  const hub = await startHub();
  mkdirSync(join(cache().folder, "blobs"), { recursive: true });
  writeFileSync(incomplete(), content);
  const directory = await download(modelAt(hub.url));
  expect(readFileSync(join(directory, "model.safetensors")).equals(weights)).toBe(true);
  const last = hub.requests.findLast(({ path }) => path.startsWith("/cdn/"))?.range ?? null;
  expect(last).toBe(from === null ? null : `bytes=${from}-`);
});

test("a server without ranges sends all of it anew", async () => {
  const hub = await startHub();
  hub.faults.ranges = false;
  mkdirSync(join(cache().folder, "blobs"), { recursive: true });
  writeFileSync(incomplete(), weights.subarray(0, 400_000));
  const directory = await download(modelAt(hub.url));
  expect(readFileSync(join(directory, "model.safetensors")).equals(weights)).toBe(true);
});

test.each(["model.safetensors", "config.json"])("a wrong hash of %s", async (name) => {
  const hub = await startHub();
  hub.faults.corrupt = name;
  await expect(download(modelAt(hub.url))).rejects.toThrow(
    new RegExp(`^${name} from http://127.0.0.1:\\d+ is not what the hub says it is .*try again`),
  );
  const blobs = readdirSync(join(cache().folder, "blobs"));
  expect(blobs.some((blob) => blob.endsWith(".incomplete"))).toBe(false);
  expect(blobs).not.toContain(sha256(weights));
  expect(cache().find("main")).toBeNull();
  hub.faults.corrupt = null;
  await download(modelAt(hub.url));
  expect(cache().find("main")).not.toBeNull();
});

test("a file that is longer than the hub says", async () => {
  const hub = await startHub();
  hub.faults.lie = -1;
  await expect(download(modelAt(hub.url))).rejects.toThrow("is longer than the");
});

test.each([
  [{ status: 401 }, null, "has no public model Org/Model-1: check the name, or set HF_TOKEN"],
  [{ status: 401 }, "t", "refuses Org/Model-1 to this token (401): ask for access at"],
  [{ status: 403 }, "t", "set HF_TOKEN to a token that may read it"],
  [{ status: 403, code: "GatedRepo" }, "t", "Org/Model-1 is gated: accept its terms at http://127"],
  [{ status: 401, code: "GatedRepo" }, null, "then set HF_TOKEN to a token that may read it"],
  [{ status: 404, code: "RepoNotFound" }, null, "there is no directory Org/Model-1, and http://"],
  [{ status: 418 }, null, "refuses Org/Model-1 (418); check HF_ENDPOINT"],
  [{ status: 500 }, null, "answers 500; check the network and HF_ENDPOINT and try again"],
])("%j with the token %j", async (refuse, token, message) => {
  const hub = await startHub();
  hub.faults.refuse = refuse;
  const error = await download(modelAt(hub.url, { token })).catch((error: Error) => error);
  expect((error as Error).message).toContain(message);
  expect((error as Error).message).not.toContain("\n");
  expect(hub.requests).toHaveLength(refuse.status === 500 ? 5 : 1);
  expect(readdirSync(folder)).toEqual([]);
});

test("a hub that is busy for a moment", async () => {
  const hub = await startHub();
  hub.faults.refuse = { status: 429 };
  hub.faults.refusals = 3;
  await download(modelAt(hub.url));
  expect(warnings).toEqual(Array(3).fill(`${hub.url} answers 429; trying again`));
});

test("a revision that there is not, and one that there is", async () => {
  const hub = await startHub();
  await expect(download(modelAt(hub.url, { revision: "v9" }))).rejects.toThrow(
    "Org/Model-1 has no revision v9; choose another with --revision",
  );
  const directory = await download(modelAt(hub.url, { revision: "v1" }));
  expect(cache().find("v1")).toBe(directory);
  expect(cache().find("main")).toBeNull();
});

test("nobody answers", async () => {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  await once(server.close(), "close");
  await expect(download(modelAt(`http://127.0.0.1:${port}`))).rejects.toThrow(
    `http://127.0.0.1:${port} cannot be reached (ECONNREFUSED); check the network and HF_ENDPOINT`,
  );
});

test.each([
  ["{}", "no commit"],
  ['{"sha": "../../../etc"}', "no commit"],
])("a hub that answers %s", async (body, missing) => {
  const server = createServer((_request, response) =>
    response.setHeader("content-type", "application/json").end(body),
  );
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  await expect(download(modelAt(`http://127.0.0.1:${port}`))).rejects.toThrow(
    `answers for Org/Model-1 as no hub does (${missing}); check HF_ENDPOINT`,
  );
});

test.each([
  [{ "model.safetensors": weights }, "no config.json"],
  [
    { "config.json": FILES["config.json"] },
    "neither model.safetensors nor model.safetensors.index.json",
  ],
])("a repository that is no model", async (files, missing) => {
  const hub = await startHub({ files });
  await expect(download(modelAt(hub.url))).rejects.toThrow(missing);
});

test("what config.json says can end it before a weight is read", async () => {
  const hub = await startHub();
  const onConfig = (directory: string) => {
    expect(readdirSync(directory)).toEqual(["config.json"]);
    throw new Error("no such model");
  };
  await expect(download(modelAt(hub.url), { onConfig })).rejects.toThrow("no such model");
  expect(hub.requests.some(({ path }) => path.startsWith("/cdn/"))).toBe(false);
});

test("a disk that is too full is said before the weights are read", async () => {
  const hub = await startHub();
  hub.faults.lie = 2 ** 52;
  await expect(download(modelAt(hub.url))).rejects.toThrow(
    /^the disk of .* is too full: 4504 TB needed, .* free; free some or set HF_HUB_CACHE/,
  );
  expect(hub.requests.some(({ path }) => path.startsWith("/cdn/"))).toBe(false);
});

test("a cache that cannot be written", async () => {
  const hub = await startHub();
  const file = join(folder, "file");
  writeFileSync(file, "");
  await expect(download(modelAt(hub.url, { cacheFolder: join(file, "hub") }))).rejects.toThrow(
    `the cache ${join(file, "hub")} cannot be written (ENOTDIR); set HF_HUB_CACHE`,
  );
});

test("an abort ends it at once, and what was there is kept", async () => {
  const hub = await startHub();
  hub.faults.holdAfter = 100_000;
  const abort = new AbortController();
  const ended = download(modelAt(hub.url), { signal: abort.signal });
  await hub.held;
  while (statSync(incomplete()).size < 100_000) await new Promise(setImmediate);
  abort.abort(new Error("closing"));
  await expect(ended).rejects.toThrow("closing");
  expect(readFileSync(incomplete()).equals(weights.subarray(0, 100_000))).toBe(true);
});

test("two at once", async () => {
  const hub = await startHub();
  hub.faults.breakAfter = 200_000;
  const [one, other] = await Promise.all([download(modelAt(hub.url)), download(modelAt(hub.url))]);
  expect(one).toBe(other);
  expect(readFileSync(join(one, "model.safetensors")).equals(weights)).toBe(true);
  expect(readdirSync(join(cache().folder, "blobs"))).toHaveLength(4);
});

/** Forwards what it is asked, and notes it. */
async function startProxy(user = "") {
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    asked.push(request.url ?? "");
    if (request.headers["proxy-authorization"] !== (user && `Basic ${btoa(user)}`) && user) {
      return response.writeHead(407).end();
    }
    const { range = "" } = request.headers;
    const answer = await fetch(request.url ?? "", { headers: { range }, redirect: "manual" });
    const passed = ["location", "content-range"].flatMap((name) => {
      const value = answer.headers.get(name);
      return value === null ? [] : [[name, value]];
    });
    response.writeHead(answer.status, Object.fromEntries(passed));
    response.end(Buffer.from(await answer.arrayBuffer()));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { asked, address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

test("through a proxy, with the user that its address names", async () => {
  const hub = await startHub();
  const { asked, address } = await startProxy("me:secret");
  const through = (httpProxy: string, noProxy = "") => ({
    proxy: { httpProxy, httpsProxy: "", noProxy },
  });
  await download(modelAt(hub.url, through(`http://me:secret@${address}`)));
  expect(asked).toHaveLength(hub.requests.length);
  expect(asked).toContainEqual(expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/cdn\//));
  expect(readFileSync(cache().blob(sha256(weights))).equals(weights)).toBe(true);

  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  const before = asked.length;
  await download(modelAt(hub.url, through("http://nobody.invalid:1", "127.0.0.1")));
  expect(asked).toHaveLength(before);
  await expect(download(modelAt(hub.url, through(`http://${address}`)))).rejects.toThrow(
    "the proxy wants a user and a password",
  );
  await expect(download(modelAt(hub.url, through("http://127.0.0.1:1")))).rejects.toThrow(
    /cannot be reached through the proxy \(ECONNREFUSED\)/,
  );
});

test("what is there with a wrong content is not believed, once looked at it is", async () => {
  const hub = await startHub();
  const blob = cache().blob(sha256(weights));
  await download(modelAt(hub.url));
  const wrong = Buffer.from(weights);
  wrong[500_000] = ~(wrong[500_000] ?? 0);
  writeFileSync(blob, wrong);
  await download(modelAt(hub.url));
  expect(readFileSync(blob).equals(weights)).toBe(true);

  const checks = new BlobChecks(folder);
  const { signal } = new AbortController();
  expect([checks.isKnown(blob), await checks.isRight(blob, signal)]).toEqual([false, true]);
  expect(new BlobChecks(folder).isKnown(blob)).toBe(true);
  writeFileSync(blob, wrong);
  expect(new BlobChecks(folder).isKnown(blob)).toBe(false);
  expect(await checks.isRight(blob, signal)).toBe(false);
});
