/** The run on a GPU machine, as far as it needs no GPU. */

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { skipped } from "@proofmill/core/testing";
import { describe, expect, test } from "vitest";
import { EMULATED_LIBRARY, emulatedCuda, notEmulated } from "../conformance/cuda.ts";
import { temporaryFolder } from "../helpers.ts";
import { buildNativeTarget, NATIVE_BUILD } from "../native-target.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const HERE = join(ROOT, "test/gpu");
const patches = readdirSync(HERE).filter((file) => file.endsWith(".patch"));
emulatedCuda();
const hasGpu = spawnSync("nvidia-smi", ["-L"]).status === 0;

test("patches apply, where there are any, each alone and all together", () => {
  for (const set of [...patches.map((each) => [each]), patches]) {
    const files = set.map((file) => join(HERE, file));
    if (files.length > 0) execFileSync("git", ["apply", "--check", ...files], { cwd: ROOT });
  }
});

/** What the script prints here, of the folder as it was built in place of a bundle. */
function rehearse(environment: Record<string, string>) {
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
    env: { ...process.env, UNPACKED: unpacked, OUT: folder, ...environment },
    encoding: "utf8",
  });
  expect(status).toBe(0);
  expect(stdout).toMatch(/the end\n$/);
  const file = (name: string) => readFileSync(join(folder, name), "utf8");
  return { summary: file("summary.txt"), log: file("log.txt") };
}

test.skipIf(skipped(hasGpu ? "there is a GPU, and it rehearses what is done without one" : null))(
  "without a GPU each step on it fails, and the script goes on to its end",
  () => {
    const { summary, log } = rehearse({ BUDGET: "21" });
    expect(summary).toMatch(
      /cuBLASLt found by itself: rc 1, \d+ s\n +proofmill: device cuda cannot/,
    );
    expect(summary).toMatch(/selftest: rc 1, \d+ s\n +proofmill: device cuda cannot be used: /);
    expect(summary).toMatch(/(bench qwen3-0\.6b seq 256: rc 1|SKIPPED bench qwen3-0\.6b seq 256)/);
    expect(log).toContain("===== machine");
  },
);

test.skipIf(skipped(hasGpu ? "there is a GPU, and it rehearses what is done without one" : null))(
  "sections run by their numbers",
  () => {
    const { summary } = rehearse({ ONLY: "5 7", BUDGET: "60" });
    expect(summary.match(/--- \d\. .*/g)).toEqual([
      "--- 5. token sessions",
      "--- 7. races and stray accesses",
    ]);
    expect(
      summary.match(/decode .* sessions: rc 1, \d+ s\n.*device cuda cannot be used/g),
    ).toHaveLength(4);
    expect(summary).toMatch(/chats over HTTP, 1 and 16 clients: rc 1/);
    expect(summary).not.toContain("selftest");
  },
);

test.skipIf(skipped(notEmulated)).each(["forward", "reverse"])(
  "attention over pages: right, and the same bits alone and in any company, threads %s",
  (order) => {
    buildNativeTarget("paged_probe");
    const stdout = execFileSync(join(NATIVE_BUILD, "paged_probe"), ["check"], {
      env: { ...process.env, CUDA_EMULATED_ORDER: order },
      encoding: "utf8",
    });
    expect(stdout).not.toMatch(/^BAD/m);
    expect(stdout.match(/^ok {3}the same bits: (bf16|f32)/gm)).toHaveLength(14);
  },
);

/** What a mode of the probe prints, on golden models. */
function probe(mode: readonly string[], environment: Record<string, string>): string {
  const small = { PROBE_SMALL: "golden/qwen3-tiny", PROBE_BIG: "golden/qwen2-tiny-strong" };
  const stdout = execFileSync(process.execPath, [join(HERE, "probe.mjs"), ...mode], {
    cwd: ROOT,
    env: { ...process.env, ...small, ...environment },
    encoding: "utf8",
  });
  expect(stdout).toContain(`probe ${mode[0]}: all right`);
  return stdout;
}

// The golden models alone: what the emulation computes in a moment.
test.skipIf(skipped(notEmulated))("the probe compares validity on CPU and GPU", () => {
  const stdout = probe(["validity", "0.01"], {
    PROBE_LIBRARY: EMULATED_LIBRARY,
    PROBE_BATCH: "8",
  });
  const lines = stdout.match(/validity differs for \d+ of \d+ nonces, \d+ of them valid/g);
  expect(lines).toHaveLength(4);
});

describe("the probe, on this CPU", () => {
  const cpu = { PROBE_DEVICE: "cpu" };

  test("compares answers and jobs at once with each alone", () => {
    const stdout = probe(["chat", "0.3", "8", "6"], cpu);
    const lines = stdout.match(/\d+ answers whole and \d+ cancelled.* [1-9]\d* jobs beside them/g);
    expect(lines).toHaveLength(3);
  });

  test("has the same digest for the same numbers alone", () => {
    const digest = (...of: string[]) => /DIGEST (\w+)/.exec(probe(["digest", ...of], cpu))?.[1];
    const first = digest("3", "1,17");
    expect(first).toMatch(/^[0-9a-f]{32}$/);
    expect(digest("3", "1,17")).toBe(first);
    expect(digest("4", "1,17")).not.toBe(first);
  });

  test("searches for some seconds and says how fast", () => {
    const stdout = probe(["steady", "golden/qwen3-tiny", "17", "1"], cpu);
    expect(stdout).toMatch(/nonces\/s each second: \d+\n[\d.]+ nonces\/s over /);
  });
});
