import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { BIN, temporaryFolder } from "../helpers.ts";

const SETUP = fileURLToPath(new URL("../../scripts/setup.mjs", import.meta.url));

/** Runs set-up on a machine that has only these programs. */
function setupWith(programs: readonly string[], env: Record<string, string> = {}) {
  const folder = temporaryFolder();
  for (const name of programs)
    writeFileSync(join(folder, name), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  return spawnSync(process.execPath, [SETUP], { env: { PATH: folder, ...env }, encoding: "utf8" });
}

test.each([
  [
    [],
    "cmake and a C++ compiler (g++ or clang++) and make (or ninja) not found; install what is missing and try again",
  ],
  [
    ["g++", "make", "apt-get"],
    "cmake not found; install with: sudo apt-get install -y cmake build-essential",
  ],
  [
    ["cmake", "ninja", "dnf"],
    "a C++ compiler (g++ or clang++) not found; install with: sudo dnf install -y cmake gcc-c++ make",
  ],
  [
    ["cmake", "clang++", "brew"],
    "make (or ninja) not found; install with: xcode-select --install; brew install cmake",
  ],
])("with %j only: one line that says what to install", (programs, message) => {
  const { status, stdout, stderr } = setupWith(programs);
  expect([status, stdout, stderr]).toEqual([1, "", `proofmill: ${message}\n`]);
});

test.each([
  ["set-up", [SETUP]],
  ["the command line", [BIN, "--version"]],
])("%s on an old Node: one line that says which is needed", (_, args) => {
  const older = "Object.defineProperty(process, 'version', { value: 'v20.18.3' })";
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--import", `data:text/javascript,${encodeURIComponent(older)}`, ...args],
    { encoding: "utf8" },
  );
  const line = "proofmill: Node v20.18.3 is too old; install Node 20.19 or later and try again\n";
  expect([status, stdout, stderr]).toEqual([1, "", line]);
});

test("a built checkout: nothing is said", () => {
  // This run has begun with a build.
  const { status, stdout, stderr } = spawnSync(process.execPath, [SETUP], { encoding: "utf8" });
  expect([status, stdout, stderr]).toEqual([0, "", ""]);
});

test("a compiler that CXX names is enough", () => {
  const { stderr } = setupWith(["make", "my-c++"], { CXX: "my-c++ -m64" });
  expect(stderr).toMatch(/^proofmill: cmake not found/);
});

/** Ends with 0 when it is interrupted, as turbo does. */
const TURBO = `process.on("SIGINT", () => process.exit(0));
  console.log("@proofmill/native:addon: cache miss, executing 0");
  setInterval(() => {}, 1000);`;

test("Ctrl-C while it builds: one line, and nothing is started", async () => {
  const root = temporaryFolder();
  const checkout = join(dirname(SETUP), "..");
  for (const part of [
    "scripts",
    "package.json",
    "packages/server/package.json",
    "packages/server/bin",
  ]) {
    cpSync(join(checkout, part), join(root, part), { recursive: true });
  }
  mkdirSync(join(root, "node_modules/turbo/bin"), { recursive: true });
  writeFileSync(join(root, "node_modules/turbo/bin/turbo"), TURBO);
  const PATH = temporaryFolder();
  for (const name of ["cmake", "g++", "make", "npx"])
    writeFileSync(join(PATH, name), "#!/bin/sh\n", { mode: 0o755 });
  const child = spawn(process.execPath, [join(root, "scripts/start.mjs"), "serve"], {
    env: { PATH },
  });
  const ended = once(child, "exit");
  const said = text(child.stderr);
  child.stderr.on("data", (chunk) => {
    if (String(chunk).includes("compiling the addon")) child.kill("SIGINT");
  });
  expect(await said).toMatch(
    /compiling the addon\nproofmill: interrupted; the next start goes on with what is built\n$/,
  );
  expect(await ended).toEqual([130, null]);
});
