/** How much memory this process holds. */
import { readFileSync } from "node:fs";

export interface Memory {
  /** Bytes that are resident now. */
  present: number;
  /** The most that ever were. */
  peak: number;
}

export function processMemory(): Memory {
  if (process.platform === "linux") {
    // The system's figure of a peak counts what the parent held when it started this process.
    const status = readFileSync("/proc/self/status", "utf8");
    const bytes = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0) * 1024;
    return { present: bytes("VmRSS"), peak: bytes("VmHWM") };
  }
  return { present: process.memoryUsage.rss(), peak: process.resourceUsage().maxRSS * 1024 };
}
