/** The archive of `npm run bundle`, unpacked elsewhere and run without Node or anything else. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { poll, temporaryFolder } from "../helpers.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const folder = temporaryFolder();
/** No PATH: the launcher's `sh` and `readlink` are found where the system's default says. */
const env = { HOME: folder };
let program: string;

beforeAll(() => {
  execFileSync(process.execPath, [join(ROOT, "scripts/bundle.mjs"), "--out-dir", folder], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [archive = ""] = readdirSync(folder).filter((name) => name.endsWith(".tar.gz"));
  expect(archive).toMatch(
    new RegExp(`^proofmill-\\d+\\.\\d+\\.\\d+-${process.platform}-${process.arch}\\.tar\\.gz$`),
  );
  expect(statSync(join(folder, archive)).size).toBeLessThan(60 * 2 ** 20);
  execFileSync("tar", ["-C", folder, "-xzf", join(folder, archive)]);
  program = join(folder, archive.replace(".tar.gz", ""), "proofmill");
});

function run(...args: string[]): string {
  return execFileSync(program, args, { env, cwd: "/", encoding: "utf8" });
}

test("tells its version, also through a link", () => {
  expect(run("--version")).toMatch(/^\d+\.\d+\.\d+\n$/);
  const link = join(folder, "link");
  execFileSync("ln", ["-s", program, link]);
  expect(execFileSync(link, ["--version"], { env, encoding: "utf8" })).toBe(run("--version"));
});

test("holds every file that its pages lead to", () => {
  const bundle = join(program, "..");
  const names = readdirSync(bundle, { recursive: true, encoding: "utf8" });
  const pages = names.filter((name) => /^(README|(docs|deploy)\/.*)\.md$/.test(name));
  expect(pages.length).toBeGreaterThan(6);
  const missing = pages.flatMap((page) =>
    [...readFileSync(join(bundle, page), "utf8").matchAll(/\]\((?!https?:)([^)#]+)/g)]
      .map(([, link = ""]) => `${page} → ${join(page, "..", link)}`)
      .filter((found) => !existsSync(join(bundle, found.split(" → ")[1] ?? ""))),
  );
  expect(missing).toEqual([]);
});

test("holds the CUDA library where there is one", () => {
  const library = "packages/native/build/Release/libproofmill_cuda.so";
  expect(existsSync(join(program, "..", library))).toBe(existsSync(join(ROOT, library)));
});

test("passes its self-test, golden models included", () => {
  const result = JSON.parse(run("selftest", "--device", "cpu", "--seconds", "1", "--json"));
  expect(result).toMatchObject({ device: "cpu", ok: true });
  expect(result.checks).toHaveLength(9);
});

test("measures", () => {
  const args = ["--shape", "qwen3-tiny", "--seq-len", "8", "--batch", "4", "--repeats", "1"];
  const result = JSON.parse(run("bench", "prefill", "--device", "cpu", ...args, "--json"));
  expect(result.nonces_per_second).toBeGreaterThan(0);
});

test("serves a round, and ends when asked to", async () => {
  const args = ["serve", "--enable-poc", "--port", "0", "--poc-seq-len", "8"];
  const node = spawn(program, args, { env, cwd: "/", stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(node, "exit");
  let url = "";
  for await (const line of createInterface({ input: node.stdout })) {
    const { msg } = JSON.parse(line) as { msg: string };
    if (msg.startsWith("listening on ")) url = msg.slice("listening on ".length);
    if (msg === "model loaded") break;
  }
  node.stdout.resume();
  if (process.platform === "linux") {
    // Without it glibc keeps what a burst of large bodies took.
    expect(readFileSync(`/proc/${node.pid}/environ`, "utf8")).toContain("\0MALLOC_ARENA_MAX=1\0");
  }
  const round = { block_hash: "b", block_height: 1, public_key: "k", r_target: 2 };
  const begun = await fetch(`${url}/api/v1/pow/init/generate`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...round, node_id: 0, node_count: 1 }),
  });
  expect(begun.status).toBe(200);
  await poll(
    async () => (await (await fetch(`${url}/api/v1/pow/status`)).json()) as { total_valid: number },
    ({ total_valid }) => total_valid > 0,
  );
  node.kill("SIGTERM");
  expect(await exited).toEqual([0, null]);
});
