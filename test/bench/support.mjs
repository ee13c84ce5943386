// What the benches share: a node of their own, statistics, the machine's description.
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
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

let block = 0;

/**
 * Nonces per second of a round that is begun over REST, once its jobs have grown to their size.
 *
 * @param {object} options
 * @param {string} options.url of the node
 * @param {object} options.round of its init body: r_target, seq_len and the like
 * @param {number} options.seconds
 */
export async function searchRate({ url, round, seconds }) {
  async function call(path, body) {
    const response = await fetch(`${url}/api/v1/pow/${path}`, {
      method: body ? "POST" : "GET",
      ...(body
        ? { body: JSON.stringify(body), headers: { "content-type": "application/json" } }
        : {}),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }
  await call("init/generate", {
    ...{ block_hash: `block-${block++}`, block_height: 1, public_key: "bench" },
    ...{ node_id: 0, node_count: 1, ...round },
  });
  const checked = async () => (await call("status?limit=1")).total_checked;
  /** When the next batch is counted; a stretch of whole batches is not rounded to some. */
  const counted = async () => {
    const last = await checked();
    for (;;) {
      const now = await checked();
      if (now !== last) return [now, performance.now()];
      await sleep(50);
    }
  };
  await sleep(1500);
  const [before, begin] = await counted();
  await sleep(1000 * seconds);
  const [after, end] = await counted();
  await call("stop", {});
  return (1000 * (after - before)) / (end - begin);
}

/** @param {readonly number[]} values @param {number} share 0 to 1 */
export function quantile(values, share) {
  return values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))];
}

export function median(values) {
  return quantile(values, 0.5);
}
