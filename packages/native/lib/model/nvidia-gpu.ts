/** What a machine shows of an NVIDIA GPU in its files, before CUDA is asked. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What the driver makes on Linux. */
const DEVICE_FILE = "dev/nvidiactl";
/** On the Linux inside Windows any GPU makes the first; NVIDIA's driver brings the second. */
const WINDOWS_FILES = ["dev/dxg", "usr/lib/wsl/lib/libcuda.so.1"];
/** What the driver shows to everybody, containers that were given no GPU included. */
const KERNEL_FILE = "proc/driver/nvidia/version";
const PCI_DEVICES = "sys/bus/pci/devices";
const NVIDIA = "0x10de";
/** PCI's class of displays, which accelerators without one are in too. */
const DISPLAY = "0x03";

/**
 * Whether there is an NVIDIA GPU: `given`, the driver lets this process at it; `present`, the machine
 * has one, but there is no driver, or this is a container that was not given the GPU; or `none`.
 */
export type NvidiaGpu = "given" | "present" | "none";

/** @param root where the machine's files are; other than `/` for tests */
export function nvidiaGpu(root = "/"): NvidiaGpu {
  const isThere = (file: string) => existsSync(join(root, file));
  if (isThere(DEVICE_FILE) || WINDOWS_FILES.every(isThere)) return "given";
  return isThere(KERNEL_FILE) || isOnPci(join(root, PCI_DEVICES)) ? "present" : "none";
}

function isOnPci(folder: string): boolean {
  try {
    return readdirSync(folder).some((device) => {
      const read = (file: string) => readFileSync(join(folder, device, file), "utf8");
      return read("vendor").trim() === NVIDIA && read("class").startsWith(DISPLAY);
    });
  } catch {
    return false; // a machine without such a bus, or one that does not show it
  }
}
