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

/**
 * What something beside a search costs it: pairs of stretches of one round, one with it and one without.
 *
 * @param {object} options
 * @param {import("@proofmill/client").PocClient} options.client of a node that searches
 * @param {number} options.pairs
 * @param {number} options.seconds of each stretch
 * @param {(signal: AbortSignal) => Promise<void>} options.beside goes on until the signal aborts
 * @returns for each pair the rate with it divided by the one without
 */
export async function ratiosBeside({ client, pairs, seconds, beside }) {
  const checked = async () => (await client.status({ limit: 1 })).total_checked;
  /** When the next batch is counted; a stretch of whole batches is not rounded to some. */
  const counted = async () => {
    const last = await checked();
    for (;;) {
      const now = await checked();
      if (now !== last) return [now, performance.now()];
      await sleep(20);
    }
  };
  const rate = async (isBeside) => {
    const end = new AbortController();
    const done = isBeside ? beside(end.signal) : null;
    const [before, began] = await counted();
    await sleep(1000 * seconds);
    const [after, ended] = await counted();
    end.abort();
    await done;
    return (1000 * (after - before)) / (ended - began);
  };
  const ratios = [];
  for (let i = 0; i < pairs; i++) {
    const rates = new Map();
    // In turn which comes first: a machine may get slower all the while.
    for (const isBeside of i % 2 ? [true, false] : [false, true]) {
      rates.set(isBeside, await rate(isBeside));
    }
    ratios.push(rates.get(true) / rates.get(false));
  }
  return ratios;
}

/** @param {number} value with four digits behind the point */
export function round(value) {
  return Math.round(value * 1e4) / 1e4;
}

/** @param {readonly number[]} ratios */
export function summaryOf(ratios) {
  return {
    ratio: round(median(ratios)),
    ratios: { tenth: round(quantile(ratios, 0.1)), nine_tenths: round(quantile(ratios, 0.9)) },
  };
}

/** @param {readonly number[]} values @param {number} share 0 to 1 */
export function quantile(values, share) {
  return values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))];
}

export function median(values) {
  return quantile(values, 0.5);
}
