import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { readHubSettings } from "./environment.ts";
import { isHubName, locateModel } from "./locate.ts";
import { COMMIT } from "./test-support.ts";

const OTHER = "f".repeat(40);
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
});

const settings = (environment: Record<string, string>) =>
  readHubSettings({ HOME: "/home/me", ...environment });

describe("the cache is where the Python tools look", () => {
  test.each([
    [{}, "/home/me/.cache/huggingface/hub"],
    [{ XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
    [{ XDG_CACHE_HOME: "/x", HF_HOME: "/h" }, "/h/hub"],
    [{ HF_HOME: "~/hf" }, "/home/me/hf/hub"],
    [{ HF_HOME: "$DISK/hf", DISK: "/d" }, "/d/hf/hub"],
    [{ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old" }, "/old"],
    [{ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/new" }, "/new"],
    [{ HF_HUB_CACHE: "~/c/$" + "{NAME}/$NOTHING", NAME: "n" }, "/home/me/c/n/$NOTHING"],
  ])("%j → %s", (environment, expected) => {
    expect(settings(environment as Record<string, string>).cacheFolder).toBe(expected);
  });

  test("without HOME too", () => {
    expect(readHubSettings({}).cacheFolder).toBe(join(homedir(), ".cache/huggingface/hub"));
  });
});

test.each([
  [{}, "https://huggingface.co"],
  [{ HF_ENDPOINT: "http://mirror:8080/hf//" }, "http://mirror:8080/hf"],
])("the endpoint of %j", (environment, expected) => {
  expect(settings(environment as Record<string, string>).endpoint).toBe(expected);
});

test.each(["mirror", "ftp://mirror", "http://", "http://user:pw@mirror"])(
  "no endpoint: %s",
  (HF_ENDPOINT) => {
    expect(() => settings({ HF_ENDPOINT })).toThrow(
      `HF_ENDPOINT is '${HF_ENDPOINT}', expected an address such as https://huggingface.co`,
    );
  },
);

test.each([
  [{}, null],
  [{ NO_PROXY: "a" }, null],
  [{ HTTP_PROXY: "http://p:1" }, { httpProxy: "http://p:1", httpsProxy: "", noProxy: "" }],
  [
    { HTTPS_PROXY: "p:1", https_proxy: "http://q:2", no_proxy: "a, ::1 .b" },
    { httpProxy: "", httpsProxy: "http://q:2", noProxy: "a,[::1],.b" },
  ],
  [{ ALL_PROXY: "p:1" }, { httpProxy: "http://p:1", httpsProxy: "http://p:1", noProxy: "" }],
])("the proxy of %j", (environment, proxy) => {
  expect(settings(environment as Record<string, string>).proxy).toEqual(proxy);
});

test("a proxy of another kind is refused", () => {
  expect(() => settings({ HTTPS_PROXY: "socks5://p:1" })).toThrow(
    "HTTPS_PROXY names no http proxy; expected an address such as http://proxy:3128",
  );
});

test.each([
  [{}, false],
  [{ HF_HUB_OFFLINE: "0" }, false],
  [{ HF_HUB_OFFLINE: "1" }, true],
  [{ HF_HUB_OFFLINE: "yes" }, true],
  [{ TRANSFORMERS_OFFLINE: "True" }, true],
  [{ HF_HUB_OFFLINE: "off", TRANSFORMERS_OFFLINE: "1" }, false],
])("offline by %j: %s", (environment, expected) => {
  expect(settings(environment as Record<string, string>).offline).toBe(expected);
});

test("the token: from the environment, then from its file", () => {
  writeFileSync(join(folder, "token"), "from-file\r\n");
  const environment = { HF_HOME: folder };
  expect(settings(environment).token).toBe("from-file");
  expect(settings({ ...environment, HF_TOKEN: " named\n" }).token).toBe("named");
  const unusable = () => settings({ ...environment, HF_TOKEN: "“named”" });
  expect(unusable).toThrow(/^HF_TOKEN holds no token: expected letters, digits/);
  expect(unusable).not.toThrow(/named/);
  expect(settings({ ...environment, HUGGING_FACE_HUB_TOKEN: "older" }).token).toBe("older");
  expect(settings({ ...environment, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }).token).toBeNull();
  expect(settings({ HF_HOME: join(folder, "none") }).token).toBeNull();
  expect(() => settings({ HF_TOKEN_PATH: folder })).toThrow(
    `the token file ${folder}: is a directory, expected a regular file; set HF_TOKEN instead`,
  );
});

test("a token file, a ref and a shard's index that are no files are not waited for", () => {
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  expect(() => settings({ HF_TOKEN_PATH: pipe })).toThrow(`the token file ${pipe}: is a pipe`);
  const snapshot = cached(["config.json"]);
  const index = join(snapshot, "model.safetensors.index.json");
  symlinkSync(pipe, index);
  expect(locate("Org/Model-1").directory).toBeNull();
  rmSync(index);
  const ref = join(folder, "models--Org--Model-1", "refs", "main");
  rmSync(ref);
  symlinkSync(pipe, ref);
  expect(locate("Org/Model-1").directory).toBeNull();
});

test("names of models on the hub", () => {
  for (const name of ["Qwen/Qwen3-0.6B", "a/b", "meta-llama/Llama-3.2-1B", "_/_", "o/a.b_c-d"]) {
    expect([name, isHubName(name)]).toEqual([name, true]);
  }
  const wrong = [
    "gpt2",
    "",
    "/a",
    "a/",
    "a/b/c",
    "../a",
    "a/..",
    "./a",
    "a/b--c",
    "a..b/c",
    "-a/b",
  ];
  for (const name of [
    ...wrong,
    "a/b.",
    "a/b.git",
    "a b/c",
    "a/b\n",
    "ä/b",
    `a/${"b".repeat(97)}`,
  ]) {
    expect([name, isHubName(name)]).toEqual([name, false]);
  }
});

/** A model in a cache, as Python's tools lay it. */
function cached(files: readonly string[], { commit = COMMIT, ref = "main" } = {}): string {
  const model = join(folder, "models--Org--Model-1");
  const snapshot = join(model, "snapshots", commit);
  mkdirSync(snapshot, { recursive: true });
  mkdirSync(join(model, "blobs"), { recursive: true });
  mkdirSync(join(model, "refs", ...ref.split("/").slice(0, -1)), { recursive: true });
  writeFileSync(join(model, "refs", ref), commit);
  for (const name of files) {
    const content = name === "config.json" ? '{"max_position_embeddings": 512}' : "";
    writeFileSync(join(model, "blobs", name), content);
    symlinkSync(join("..", "..", "blobs", name), join(snapshot, name));
  }
  return snapshot;
}

function locate(model: string, revision?: string, more: Record<string, string> = {}) {
  return locateModel({ model, revision, environment: { HF_HUB_CACHE: folder, ...more } });
}

const COMPLETE = ["config.json", "model.safetensors"];

test("a cached model is served from there, by branch, tag and commit", () => {
  const directory = cached(COMPLETE);
  // Where it came from is known: files that are damaged are downloaded again.
  const download = { name: "Org/Model-1", revision: COMMIT };
  const found = { name: "Org/Model-1", directory, download, context: 512 };
  expect(locate("Org/Model-1")).toMatchObject(found);
  expect(locate("Org/Model-1", COMMIT)).toMatchObject(found);
  expect(locate("Org/Model-1", "main", { HF_HUB_OFFLINE: "1" })).toMatchObject(found);
  const pull = cached(COMPLETE, { commit: OTHER, ref: "refs/pr/1" });
  expect(locate("Org/Model-1", "refs/pr/1").directory).toBe(pull);
  expect(locate("Org/Model-1").directory).toBe(directory);
});

test.each([
  ["no weights", ["config.json"]],
  ["no config.json", ["model.safetensors"]],
  ["an index without its shards", ["config.json", "model.safetensors.index.json"]],
])("a cached model with %s is to be downloaded", (_name, files) => {
  cached(files);
  const { directory, download } = locate("Org/Model-1");
  expect([directory, download?.name, download?.revision]).toEqual([null, "Org/Model-1", "main"]);
});

test("what is nowhere is to be downloaded, unless offline", () => {
  expect(locate("Org/Model-1", "v1")).toMatchObject({
    name: "Org/Model-1",
    directory: null,
    download: { name: "Org/Model-1", revision: "v1", hub: { cacheFolder: folder } },
    context: null,
  });
  expect(() => locate("Org/Model-1", "v1", { HF_HUB_OFFLINE: "1" })).toThrow(
    "there is no directory Org/Model-1, and the model of that name (revision v1) is not in the " +
      `cache ${folder}; unset HF_HUB_OFFLINE to download it`,
  );
});

test("a directory wins over a name", () => {
  cached(COMPLETE);
  const there = join(folder, "Org", "Model-1");
  mkdirSync(there, { recursive: true });
  writeFileSync(join(there, "config.json"), '{"max_position_embeddings": 64}');
  const before = process.cwd();
  process.chdir(folder);
  onTestFinished(() => process.chdir(before));
  expect(locate("Org/Model-1")).toEqual({
    name: "Model-1",
    directory: there,
    config: { max_position_embeddings: 64 },
    download: null,
    context: 64,
  });
  expect(() => locate("Org/Model-1", "main")).toThrow("--revision chooses among a named model's");
});

test.each(["", "..", "../../x", "a/../b", "/main", "main/", "a//b", ".hidden", "a b", "x\n"])(
  "no revision: %j",
  (revision) => {
    expect(() => locate("Org/Model-1", revision)).toThrow("is no branch, tag or commit of a model");
  },
);

test("neither a directory nor a name", () => {
  expect(() => locate("no-such-model")).toThrow("no-such-model does not exist");
  expect(() => locate("./Org/Model-1")).toThrow("does not exist");
});

test("a revision without a model", () => {
  expect(() => locateModel({ model: null, revision: "v1", environment: {} })).toThrow("--revision");
});
