/** What a node says of GPUs follows a driver's program, whatever that prints or does. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Gpus } from "./gpus.ts";

/** A driver's program that is this shell script. */
function program(script: string): string {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "nvidia-smi");
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
}

const VERSIONS = `echo "NVIDIA-SMI version  : 580.95.05"
echo "NVML version        : 580.95"
echo "DRIVER version      : 580.95.05"
echo "CUDA Version        : 13.0"`;

test("GPUs with their numbers as integers, null for what the driver does not know", async () => {
  const gpus = new Gpus(
    program(`case "$1" in
--version) ${VERSIONS} ;;
*) echo "0, NVIDIA H100 80GB HBM3, 81559, 81070.5, 4, 0, 31"
   echo "1, NVIDIA GB10, [N/A], [N/A], [N/A], 12, [Not Supported]" ;;
esac`),
  );
  expect(await gpus.devices()).toEqual([
    {
      ...{ index: 0, name: "NVIDIA H100 80GB HBM3", total_memory_mb: 81559 },
      ...{ free_memory_mb: 81071, used_memory_mb: 4, utilization_percent: 0, temperature_c: 31 },
      ...{ is_available: true, error_message: null },
    },
    {
      ...{ index: 1, name: "NVIDIA GB10", total_memory_mb: null },
      ...{ free_memory_mb: null, used_memory_mb: null, utilization_percent: 12 },
      temperature_c: null,
      ...{ is_available: false, error_message: "the driver does not know its memory" },
    },
  ]);
  expect(gpus.last).toHaveLength(2);
  expect(await gpus.driver()).toEqual({
    ...{ driver_version: "580.95.05", cuda_driver_version: "13.0", nvml_version: "580.95" },
  });
});

test("no program, one that fails, and one that prints rubbish: no GPU, and no driver or unknown versions", async () => {
  const none = new Gpus(join(tmpdir(), "there-is-no-such-program"));
  const failing = new Gpus(program('echo "0, A, 1, 1, 1, 1, 1"; exit 9'));
  for (const gpus of [none, failing]) {
    expect(await gpus.devices()).toEqual([]);
    expect(await gpus.driver()).toBeNull();
  }
  const rubbish = new Gpus(
    program("head -c 4096 /dev/urandom; echo; echo a,b,c; echo ',,,'; echo ',A,,,,,'"),
  );
  expect(await rubbish.devices()).toEqual([]);
  const unknown = { driver_version: "unknown", cuda_driver_version: "unknown" };
  expect(await rubbish.driver()).toEqual({ ...unknown, nvml_version: "unknown" });
  const endless = new Gpus(program("exec yes '0, A, 1, 1, 1, 1, 1'"));
  expect(await endless.devices()).toEqual([]);
});

test("a program that hangs is ended, asked once meanwhile, and nobody waits for it who need not", async () => {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const gpus = new Gpus(program(`echo $$ >> ${folder}/asked\nexec sleep 600`), { timeout: 500 });
  expect(gpus.last).toEqual([]);
  const [first, second] = await Promise.all([gpus.devices(), gpus.devices()]);
  expect([first, second]).toEqual([[], []]);
  const { readFileSync } = await import("node:fs");
  const [pid, ...others] = readFileSync(`${folder}/asked`, "utf8").trim().split("\n");
  expect(others).toEqual([]);
  expect(() => process.kill(Number(pid), 0)).toThrow("ESRCH");
});
