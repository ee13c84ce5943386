import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { freemem, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { notLinux, skipped } from "@proofmill/core/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { availableMemory } from "./available-memory.ts";

const MIB = 2 ** 20;
/** What version 1 says where there is no limit. */
const NONE = "9223372036854771712\n";

/** A machine's `proc` and `sys`, as far as they are looked at. */
function machine(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

test("no more than the machine has", () => {
  const available = availableMemory();
  expect(available).toBeGreaterThan(0);
  expect(available).toBeLessThanOrEqual(totalmem());
  if (process.platform === "linux") expect(available / freemem()).toBeLessThan(1.1);
});

describe.skipIf(skipped(notLinux))("what is left of a control group's limit", () => {
  test("version 2: files that are cached give way", () => {
    const group = "sys/fs/cgroup/system.slice/node.service";
    const root = machine({
      "proc/self/cgroup": "0::/system.slice/node.service\n",
      [`${group}/memory.max`]: `${200 * MIB}\n`,
      [`${group}/memory.current`]: `${150 * MIB}\n`,
      [`${group}/memory.stat`]: `anon 1\ninactive_file ${70 * MIB}\nactive_file ${30 * MIB}\n`,
    });
    expect(availableMemory(root)).toBe(150 * MIB);
  });

  test("the limit of a group around it counts as well", () => {
    const root = machine({
      "proc/self/cgroup": "0::/pods/node\n",
      "sys/fs/cgroup/pods/node/memory.max": "max\n",
      "sys/fs/cgroup/pods/node/memory.current": `${10 * MIB}\n`,
      "sys/fs/cgroup/pods/memory.max": `${64 * MIB}\n`,
      "sys/fs/cgroup/pods/memory.current": `${60 * MIB}\n`,
      "sys/fs/cgroup/pods/memory.stat": "anon 1\n",
    });
    expect(availableMemory(root)).toBe(4 * MIB);
  });

  test("version 1, whose group a container sees as the root", () => {
    const root = machine({
      "proc/self/cgroup": "9:cpu,cpuacct:/docker/f00\n4:memory:/docker/f00\n0::/\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": `${100 * MIB}\n`,
      "sys/fs/cgroup/memory/memory.usage_in_bytes": `${90 * MIB}\n`,
      "sys/fs/cgroup/memory/memory.stat": `inactive_file 1\ntotal_inactive_file ${40 * MIB}\ntotal_active_file ${2 * MIB}\n`,
    });
    expect(availableMemory(root)).toBe(52 * MIB);
  });

  test("a group beyond its limit has nothing left", () => {
    const root = machine({
      "proc/self/cgroup": "0::/\n",
      "sys/fs/cgroup/memory.max": `${MIB}\n`,
      "sys/fs/cgroup/memory.current": `${2 * MIB}\n`,
    });
    expect(availableMemory(root)).toBe(0);
  });

  test.each([
    [
      "unlimited, version 2",
      { "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n" },
    ],
    [
      "unlimited, version 1",
      {
        "proc/self/cgroup": "4:memory:/a\n",
        "sys/fs/cgroup/memory/a/memory.limit_in_bytes": NONE,
        "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "5\n",
      },
    ],
    ["no groups at all", {}],
  ])("%s: the machine's own", (_, files) => {
    expect(availableMemory(machine(files as Record<string, string>)) / freemem()).toBeCloseTo(1, 1);
  });
});
