/** How much memory this process may still take. */
import { readFileSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import { dirname, join } from "node:path";

/** The files that tell a control group's limit, its use and its page cache, in both versions. */
const VERSIONS = [
  {
    mount: "sys/fs/cgroup",
    controller: /^0::(.*)$/m,
    limit: "memory.max",
    use: "memory.current",
    files: /^(?:in)?active_file (\d+)$/gm,
  },
  {
    mount: "sys/fs/cgroup/memory",
    controller: /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m,
    limit: "memory.limit_in_bytes",
    use: "memory.usage_in_bytes",
    files: /^total_(?:in)?active_file (\d+)$/gm,
  },
];

/**
 * Bytes that this process may still take: what the machine can free, or what is left of the limits
 * of its control groups (a container's, a service's), whichever is least. Files in the page cache,
 * the model's own among them, count as free: they give way.
 *
 * @param root where `proc` and `sys` lie
 */
export function availableMemory(root = "/"): number {
  if (process.platform !== "linux") {
    const limit = process.constrainedMemory();
    return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  }
  return Math.min(freemem(), ...leftOfLimits(root)); // on Linux "free" is MemAvailable
}

/** What is left of the limit of each group that this process is in, as far as they can be seen. */
function leftOfLimits(root: string): number[] {
  const groups = read(join(root, "proc/self/cgroup")) ?? "";
  return VERSIONS.flatMap(({ mount, controller, limit, use, files }) => {
    const group = controller.exec(groups)?.[1];
    if (group === undefined) return [];
    // A container may see its own group as the root, under whatever name it has outside.
    return upwards(group).flatMap((path) => {
      const at = (file: string) => read(join(root, mount, path, file)) ?? "";
      const [most, used] = [Number(at(limit)), Number(at(use))];
      if (!(most > 0) || at(limit).trim() === "") return []; // "max", or none here
      let cached = 0;
      for (const [, bytes] of at("memory.stat").matchAll(files)) cached += Number(bytes);
      return [Math.max(most - Math.max(used - cached, 0), 0)];
    });
  });
}

/** `/a/b` → `/a/b`, `/a`, `/`. */
function upwards(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [path] : [path, ...upwards(parent)];
}

function read(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}
