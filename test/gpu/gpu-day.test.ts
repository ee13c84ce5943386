/** The run on a GPU machine, as far as it needs no GPU. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { EMULATED_LIBRARY, emulatedCuda } from "../conformance/cuda.ts";
import { temporaryFolder } from "../helpers.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const HERE = join(ROOT, "test/gpu");
const patches = readdirSync(HERE).filter((file) => file.endsWith(".patch"));
const emulated = emulatedCuda();
const hasGpu = spawnSync("nvidia-smi", ["-L"]).status === 0;
if (hasGpu) console.info("the rehearsal without a GPU is skipped: there is one");

test("patches apply, where there are any, each alone and all together", () => {
  for (const set of [...patches.map((each) => [each]), patches]) {
    const files = set.map((file) => join(HERE, file));
    if (files.length > 0) execFileSync("git", ["apply", "--check", ...files], { cwd: ROOT });
  }
});

test.skipIf(hasGpu)(
  "without a GPU each step on it fails, and the script goes on to its end",
  () => {
    const folder = temporaryFolder();
    const unpacked = join(folder, "proofmill");
    mkdirSync(join(unpacked, "bin"), { recursive: true });
    for (const part of ["packages", "test", "node_modules"]) {
      symlinkSync(join(ROOT, part), join(unpacked, part));
    }
    symlinkSync(process.execPath, join(unpacked, "bin/node"));
    const launcher = '#!/bin/sh\nexec bin/node packages/server/bin/proofmill.mjs "$@"\n';
    writeFileSync(join(unpacked, "proofmill"), launcher, { mode: 0o755 });
    const { status, stdout } = spawnSync("bash", [join(HERE, "gpu-day.sh")], {
      env: { ...process.env, UNPACKED: unpacked, OUT: folder, BUDGET: "21" },
      encoding: "utf8",
    });
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /cuBLASLt found by itself: rc 1, \d+ s\n +proofmill: device cuda cannot/,
    );
    expect(stdout).toMatch(/selftest: rc 1, \d+ s\n +proofmill: device cuda cannot be used: /);
    expect(stdout).toMatch(/(bench qwen3-0\.6b seq 256: rc 1|SKIPPED bench qwen3-0\.6b seq 256)/);
    expect(stdout).toMatch(/the end\n$/);
    expect(readFileSync(join(folder, "log.txt"), "utf8")).toContain("===== machine");
  },
);

// The golden model alone: what the emulation computes in a moment.
test.skipIf(emulated.length === 0)("the probe compares validity on CPU and GPU", () => {
  const args = [join(HERE, "probe.mjs"), "validity", "0.01"];
  const stdout = execFileSync(process.execPath, args, {
    cwd: ROOT,
    env: {
      ...process.env,
      PROBE_LIBRARY: EMULATED_LIBRARY,
      PROBE_BIG: "qwen2-tiny-strong",
      PROBE_BATCH: "8",
    },
    encoding: "utf8",
  });
  const lines = stdout.match(/validity differs for \d+ of \d+ nonces, \d+ of them valid/g);
  expect(lines).toHaveLength(4);
  expect(stdout).toContain("probe validity: all right");
});
