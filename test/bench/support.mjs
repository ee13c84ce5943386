// What the benches share: a node of their own, statistics, the machine's description.
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseConfig, startNode } from "@proofmill/server";

/** @param {string} [device] beside the processor, what computes */
export function machine(device) {
  return { cpu: cpus()[0]?.model.trim(), threads: cpus().length, node: process.version, device };
}

/**
 * A node in this process with a data folder that goes when it is closed.
 *
 * @param {readonly string[]} [args] further ones of `proofmill serve`
 * @param {import("@proofmill/server").NodeOptions} [options]
 */
export async function startBenchNode(args = [], options = {}) {
  const folder = mkdtempSync(join(tmpdir(), "proofmill-bench-"));
  const always = ["--enable-poc", "--port", "0", "--log-level", "error", "--data-dir", folder];
  const node = await startNode(parseConfig([...always, ...args]), options);
  await node.loaded;
  return {
    url: node.url,
    async close() {
      await node.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** @param {readonly number[]} values @param {number} share 0 to 1 */
export function quantile(values, share) {
  return values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))];
}

export function median(values) {
  return quantile(values, 0.5);
}
