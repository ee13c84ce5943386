import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { nvidiaGpu } from "./nvidia-gpu.ts";

/** What a machine with these files shows. */
function seen(files: Record<string, string>) {
  const root = mkdtempSync(join(tmpdir(), "proofmill-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  }
  return nvidiaGpu(root);
}

const pci = (vendor: string, kind: string) => ({
  "sys/bus/pci/devices/0000:00:1f.0/vendor": "0x8086\n",
  "sys/bus/pci/devices/0000:00:1f.0/class": "0x030000\n",
  "sys/bus/pci/devices/0000:01:00.0/vendor": `${vendor}\n`,
  "sys/bus/pci/devices/0000:01:00.0/class": `${kind}\n`,
});

test("a driver that lets us at its GPU, on Linux and on the Linux inside Windows", () => {
  expect(seen({ "dev/nvidiactl": "" })).toBe("given");
  expect(seen({ "dev/dxg": "", "usr/lib/wsl/lib/libcuda.so.1": "" })).toBe("given");
});

test("a GPU without a driver, and a container that was not given one", () => {
  expect(seen(pci("0x10de", "0x030200"))).toBe("present");
  expect(seen({ "proc/driver/nvidia/version": "NVRM version: 580" })).toBe("present");
});

test("machines without: other vendors' displays, NVIDIA's bridges, no bus at all", () => {
  expect(seen(pci("0x1002", "0x030000"))).toBe("none");
  expect(seen(pci("0x10de", "0x060400"))).toBe("none");
  expect(seen({ "dev/dxg": "" })).toBe("none");
  expect(seen({})).toBe("none");
});
